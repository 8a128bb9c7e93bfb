"""The room of the reader studies: real or synthetic?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.errors import InputError
from bundle.reader_study import (
    FoundStudy,
    Study,
    StudyReport,
    data_set_candidates,
    find_studies,
    make_study,
    study_report,
)
from bundle.reading_room.library import UnknownJoint
from bundle.reading_room.requests import body_of, plainly, saved_report, shown_report, text, whole_number
from bundle.reading_room.rows import row_id
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MOST = 500
"""Images on each side of a study."""

LARGEST_SEED = 2**31 - 1


class Studies:
    """The answers of the room.

    Args:
        folder: folder that holds the studies, one folder each.
        data_set: folder of the data set that studies are made of; None if there is none.
    """

    def __init__(self, folder: Path, data_set: Path | None = None) -> None:
        self.folder, self.data_set = folder, data_set

    def routes(self) -> list[Route]:
        """Return the addresses of the room."""
        return [
            Route("/api/studies", plainly(self.studies)),
            Route("/api/studies", plainly(self.make), methods=["POST"]),
            Route("/api/studies/{study}/begin", plainly(self.begin), methods=["POST"]),
            Route("/api/studies/{study}/answers", plainly(self.answer), methods=["POST"]),
            Route("/api/studies/{study}/undo", plainly(self.undo), methods=["POST"]),
            Route("/api/studies/{study}/images/{image}", plainly(self.image)),
            Route("/api/studies/{study}/report", plainly(self.report)),
            Route("/api/studies/{study}/report.csv", plainly(self.table)),
        ]

    async def studies(self, request: Request) -> Response:
        """List the studies with their readers."""
        found = await run_in_threadpool(self._found)
        listed = [await run_in_threadpool(_described, id, study) for id, study in found.items()]
        return JSONResponse({"studies": listed, "can_make": self.data_set is not None})

    async def make(self, request: Request) -> Response:
        """Make a study of the data set."""
        body = await body_of(request)
        count, seed = whole_number(body, "count", 2, MOST), whole_number(body, "seed", 0, LARGEST_SEED)
        return JSONResponse(await run_in_threadpool(self._make, text(body, "name"), count, seed))

    async def begin(self, request: Request) -> Response:
        """Return what is left to a reader."""
        reader = text(await body_of(request), "reader")
        return JSONResponse(await run_in_threadpool(_state, self._study(request), reader))

    async def answer(self, request: Request) -> Response:
        """Store an answer."""
        body, study = await body_of(request), self._study(request)
        return JSONResponse(await run_in_threadpool(_answered, study, body))

    async def undo(self, request: Request) -> Response:
        """Take back the last answer of a reader."""
        reader, study = text(await body_of(request), "reader"), self._study(request)
        await run_in_threadpool(study.undo, reader)
        return JSONResponse(await run_in_threadpool(_state, study, reader))

    async def image(self, request: Request) -> Response:
        """Send an image."""
        path = self._study(request).image_path(request.path_params["image"])
        return Response(await run_in_threadpool(path.read_bytes), media_type="image/png")

    async def report(self, request: Request) -> Response:
        """Describe the answers of all readers."""
        return shown_report(await run_in_threadpool(_report, self._study(request)))

    async def table(self, request: Request) -> Response:
        """Send the figures of all readers as CSV."""
        return saved_report(await run_in_threadpool(_report, self._study(request)), "study.csv")

    def _found(self) -> dict[str, FoundStudy]:
        """The studies by their identifiers."""
        return {row_id(study.folder.name): study for study in find_studies(self.folder)}

    def _study(self, request: Request) -> Study:
        found = self._found().get(request.path_params["study"])
        if found is None:
            msg = "There is no such study. Reload the page."
            raise UnknownJoint(msg)
        if found.study is None:
            raise InputError(found.failure)
        return found.study

    def _make(self, name: str, count: int, seed: int) -> dict[str, Any]:
        if self.data_set is None:
            msg = "A study is made of a data set. Start the reading room with the folder of one."
            raise InputError(msg)
        real, synthetic = data_set_candidates(self.data_set)
        folder = self.folder / (re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "study")
        self.folder.mkdir(parents=True, exist_ok=True)
        study = make_study(folder, real, synthetic, name=name, count=count, seed=seed)
        return {"id": row_id(folder.name), "name": study.name, "matching": dict(study.matching)}


def _described(id: str, found: FoundStudy) -> dict[str, Any]:
    """A study for the list."""
    if found.study is None:
        return {"id": id, "name": found.folder.name, "failure": found.failure}
    answers, total = found.study.log.effective(), len(found.study.images)
    names = dict.fromkeys(str(record["reader"]) for record in answers)
    readers = [{"reader": name, "done": sum(one["reader"] == name for one in answers)} for name in names]
    known = {"images": total, "seed": found.study.seed, "matching": dict(found.study.matching)}
    return {"id": id, "name": found.study.name, "failure": "", **known, "readers": readers}


def _state(study: Study, reader: str) -> dict[str, Any]:
    """What is left to a reader."""
    left, total = study.remaining(reader), len(study.images)
    return {"total": total, "done": total - len(left), "next": left[0] if left else None}


def _answered(study: Study, body: Mapping[str, Any]) -> dict[str, Any]:
    reader = text(body, "reader")
    given = {name: body.get(name) for name in ("image", "answer", "confidence", "seconds")}
    stored = study.answer({**given, "reader": reader})
    return {"saved": stored["id"], **_state(study, reader)}


def _report(study: Study) -> StudyReport:
    return study_report(study, study.log.effective(), seed=study.seed)
