"""The room of the reader studies: real or synthetic?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from bundle.errors import InputError
from bundle.io import storing, without_folders
from bundle.reader_study import (
    STUDY,
    FoundStudy,
    Study,
    StudyReport,
    data_set_candidates,
    find_studies,
    make_study,
    study_report,
)
from bundle.reading_room.library import UnknownJoint
from bundle.reading_room.requests import BadRequest, body_of, plainly, saved_report, shown_report, text, whole_number
from bundle.reading_room.rows import row_id
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MOST = 500
"""Images on each side of a study."""

LARGEST_SEED = 2**31 - 1


class Studies:
    """Request handlers of the page of studies.

    Args:
        folder: folder that holds the studies, one folder each.
        data_set: folder of the data set that studies are made from; None if there is none.
        figures: whether pages may ask for the figures of the answers.
    """

    def __init__(self, folder: Path, data_set: Path | None = None, figures: bool = True) -> None:
        self.folder, self.data_set, self.figures = folder, data_set, figures
        self._found: dict[str, _Scanned] = {}

    def routes(self) -> list[Route]:
        """Return the routes of the page."""
        reports = [
            Route("/api/studies/{study}/report", plainly(self.report)),
            Route("/api/studies/{study}/report.csv", plainly(self.table)),
        ]
        return [
            Route("/api/studies", plainly(self.studies)),
            Route("/api/studies", plainly(self.make), methods=["POST"]),
            Route("/api/studies/{study}/begin", plainly(self.begin), methods=["POST"]),
            Route("/api/studies/{study}/answers", plainly(self.answer), methods=["POST"]),
            Route("/api/studies/{study}/undo", plainly(self.undo), methods=["POST"]),
            Route("/api/studies/{study}/images/{image}", plainly(self.image)),
            *(reports if self.figures else []),
        ]

    async def studies(self, request: Request) -> Response:
        """List the studies with their readers."""
        found = await run_in_threadpool(self._scan)
        listed = [await run_in_threadpool(_described, id, scanned.found) for id, scanned in found.items()]
        allowed = {"can_make": self.data_set is not None, "can_report": self.figures}
        return JSONResponse({"studies": listed, **allowed})

    async def make(self, request: Request) -> Response:
        """Make a study from the data set."""
        body = await body_of(request)
        count, seed = whole_number(body, "count", 2, MOST), whole_number(body, "seed", 0, LARGEST_SEED)
        return JSONResponse(await run_in_threadpool(self._make, text(body, "name"), count, seed))

    async def begin(self, request: Request) -> Response:
        """Return the progress of a reader, and the next image."""
        reader = text(await body_of(request), "reader")
        return JSONResponse(await run_in_threadpool(_begun, self._study(request), reader))

    async def answer(self, request: Request) -> Response:
        """Store an answer."""
        body, study = await body_of(request), self._study(request)
        return JSONResponse(await run_in_threadpool(_answered, study, body))

    async def undo(self, request: Request) -> Response:
        """Take back the last answer of a reader."""
        reader, study = text(await body_of(request), "reader"), self._study(request)
        return JSONResponse(await run_in_threadpool(_undone, study, reader))

    async def image(self, request: Request) -> Response:
        """Send an image."""
        content = await run_in_threadpool(self._study(request).read_image, request.path_params["image"])
        return Response(content, media_type="image/png")

    async def report(self, request: Request) -> Response:
        """Describe the answers of all readers."""
        return shown_report(await run_in_threadpool(_report, self._study(request)))

    async def table(self, request: Request) -> Response:
        """Send the figures of all readers as CSV."""
        return saved_report(await run_in_threadpool(_report, self._study(request)), "study.csv")

    def _scan(self) -> dict[str, _Scanned]:
        """Find the studies by their identifiers; one that is unchanged keeps its log, which is read once."""
        before, now = self._found, {}
        for found in find_studies(self.folder):
            id = row_id(found.folder.relative_to(self.folder).as_posix())
            scanned = _Scanned(found, _state_of(found.folder / STUDY))
            now[id] = before[id] if id in before and before[id].equals(scanned) else scanned
        self._found = now
        return now

    def _study(self, request: Request) -> Study:
        """The study of a request; the folder is searched again only if its file has changed since."""
        scanned = self._found.get(request.path_params["study"])
        if scanned is None or scanned.state != _state_of(scanned.found.folder / STUDY):
            scanned = self._scan().get(request.path_params["study"])
        if scanned is None:
            msg = "There is no such study. Reload the page."
            raise UnknownJoint(msg)
        if scanned.found.study is None:
            raise InputError(scanned.found.failure)
        return scanned.found.study

    def _make(self, name: str, count: int, seed: int) -> dict[str, Any]:
        if self.data_set is None:
            msg = "A study is made from a data set. Start the reading room with the folder of one."
            raise InputError(msg)
        real, synthetic = data_set_candidates(self.data_set)
        with storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            folder = _free(self.folder / (re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "study"))
        study = make_study(folder, real, synthetic, name=name, count=count, seed=seed)
        return {"id": row_id(folder.name), "name": study.name, "matching": dict(study.matching)}


@dataclass(frozen=True)
class _Scanned:
    """A study that was found, and the state of its file then."""

    found: FoundStudy
    state: tuple[int, ...] | None

    def equals(self, other: _Scanned) -> bool:
        """Whether both are the same study in the same state."""
        return (self.state, self.found.failure) == (other.state, other.found.failure)


def _state_of(path: Path) -> tuple[int, ...] | None:
    """Inode, size and times of a file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _free(folder: Path) -> Path:
    """The folder or, if it exists, one with a number appended to its name."""
    numbered = (folder.with_name(f"{folder.name}_{number}") for number in count(2))
    return next(path for path in chain([folder], numbered) if not path.exists())


def _described(id: str, found: FoundStudy) -> dict[str, Any]:
    """A study for the list."""
    try:
        if found.study is None:
            raise InputError(found.failure)
        total, done = len(found.study.images), Counter(str(each.get("reader")) for each in found.study.log.effective())
    except InputError as error:
        return {"id": id, "name": found.folder.name, "failure": without_folders(str(error))}
    readers = [{"reader": name, "done": count} for name, count in done.items()]
    return {"id": id, "name": found.study.name, "failure": "", "images": total, "readers": readers}


def _state(study: Study, reader: str) -> dict[str, Any]:
    """The progress of a reader, and the next image."""
    left, total = study.remaining(reader), len(study.images)
    return {"reader": reader, "total": total, "done": total - len(left), "next": left[0] if left else None}


def _begun(study: Study, reader: str) -> dict[str, Any]:
    return _state(study, study.spelling(reader))


def _undone(study: Study, reader: str) -> dict[str, Any]:
    if study.undo(reader) is None:
        msg = "There is no answer to take back."
        raise BadRequest(msg)
    return _state(study, reader)


def _answered(study: Study, body: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: body.get(name) for name in ("image", "answer", "confidence", "seconds")}
    stored = study.answer({**given, "reader": text(body, "reader")})
    return {"saved": stored["id"], **_state(study, stored["reader"])}


def _report(study: Study) -> StudyReport:
    return study_report(study, study.log.effective(), seed=study.seed)
