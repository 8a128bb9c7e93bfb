"""The room in which people measure joint spaces: sessions, readings, and their agreement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bundle.errors import InputError
from bundle.io import storing
from bundle.reader_study import (
    MeasuringReport,
    Presentation,
    ReadingLog,
    left_to_measure,
    measuring_report,
    person,
    plan_measurements,
    spelling,
    validated,
)
from bundle.reading_room.library import Library, UnknownJoint
from bundle.reading_room.requests import (
    BadRequest,
    body_of,
    identifiers,
    plainly,
    saved_report,
    shown_report,
    switch,
    text,
)
from bundle.reading_room.rows import FAILED, row_id
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

READINGS, SESSIONS = "readings.jsonl", "sessions.jsonl"
"""Files of the readings, and of the joints of each session."""

MOST = 5000
"""Number of joints in a session."""


class Measuring:
    """Request handlers of the measuring page.

    A session has each of its joints once and some of them twice, in an order that depends on reader and seed. A page
    learns which joint is next, but not whether it is a repeat.

    Args:
        library: the joints.
        folder: folder of the readings; created by the first session.
        seed: random seed of the order.
        prepare: begins to open a joint, by its identifier.
    """

    def __init__(
        self, library: Library, folder: Path, seed: int = 0, prepare: Callable[[str], Any] = lambda _: None
    ) -> None:
        self.library, self.folder, self.seed, self.prepare = library, folder, seed, prepare
        self.readings, self.sessions = ReadingLog(folder / READINGS), ReadingLog(folder / SESSIONS)

    def routes(self) -> list[Route]:
        """Return the routes of the page."""
        return [
            Route("/api/measuring", plainly(self.readers)),
            Route("/api/measuring/begin", plainly(self.begin), methods=["POST"]),
            Route("/api/measuring/readings", plainly(self.read), methods=["POST"]),
            Route("/api/measuring/undo", plainly(self.undo), methods=["POST"]),
            Route("/api/measuring/report", plainly(self.report)),
            Route("/api/measuring/report.csv", plainly(self.table)),
        ]

    async def readers(self, request: Request) -> Response:
        """List the readers with the state of their sessions."""
        return JSONResponse({"readers": await run_in_threadpool(self._readers)})

    async def begin(self, request: Request) -> Response:
        """Begin or resume the session of a reader."""
        body = await body_of(request)
        reader, again = text(body, "reader"), switch(body, "new", False)
        joints = identifiers(body, "ids", MOST) if body.get("ids") is not None else None
        return JSONResponse(await run_in_threadpool(self._begin, reader, joints, again))

    async def read(self, request: Request) -> Response:
        """Store the measurement of the next joint of a session."""
        body = await body_of(request)
        return JSONResponse(await run_in_threadpool(self._read, body))

    async def undo(self, request: Request) -> Response:
        """Take back the last measurement of a reader."""
        reader = text(await body_of(request), "reader")
        return JSONResponse(await run_in_threadpool(self._undo, reader))

    async def report(self, request: Request) -> Response:
        """Describe the agreement of all readings."""
        return shown_report(await run_in_threadpool(self._report))

    async def table(self, request: Request) -> Response:
        """Send the agreement of all readings as CSV."""
        return saved_report(await run_in_threadpool(self._report), "agreement.csv")

    def _readers(self) -> list[dict[str, Any]]:
        known = dict.fromkeys(record["reader"] for record in self._begun())
        return [self._state(reader) for reader in known]

    def _begin(self, name: str, ids: Sequence[str] | None, again: bool) -> dict[str, Any]:
        reader = spelling(person(name), (record["reader"] for record in self._begun()))
        if again or self._session(reader) is None:
            reader = self._opened(name, self._measurable(ids), again)["reader"]
        return self._shown(reader)

    def _measurable(self, ids: Sequence[str] | None) -> list[str]:
        """Names of the joints of a new session."""
        rows = self.library.rows() if ids is None else self.library.chosen(ids)
        joints = [row.name for row in rows if row.state != FAILED][:MOST]
        if not joints:
            msg = "No joint can be measured. The list states why."
            raise InputError(msg)
        return joints

    def _opened(self, name: str, joints: Sequence[str], again: bool) -> Mapping[str, Any]:
        """Store a session; without ``again`` one that another page or server has begun meanwhile is returned."""

        def session(effective: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
            known = {record["reader"]: record for record in self._checked(effective)}
            reader = spelling(person(name), known)
            fresh = {"reader": reader, "joints": list(joints), "seed": self.seed}
            return fresh if again else known.get(reader, fresh)

        with storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        return self.sessions.append_after(session)

    def _begun(self) -> Sequence[Mapping[str, Any]]:
        """The sessions of all readers."""
        return self._checked(self.sessions.effective())

    def _checked(self, sessions: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """The lines of sessions if all of them are sessions."""
        for record in sessions:
            kinds = {"reader": str, "joints": list, "seed": int}
            if any(type(record.get(name)) is not kind for name, kind in kinds.items()):
                msg = f"{self.sessions.path}: line {record['id']} is not a session. Restore the file from a copy."
                raise InputError(msg)
        return sessions

    def _session(self, reader: str) -> Mapping[str, Any] | None:
        """The last session of a reader."""
        own = [record for record in self._begun() if record["reader"] == reader]
        return own[-1] if own else None

    def _plan(self, reader: str) -> tuple[Mapping[str, Any], list[Presentation]]:
        session = self._session(reader)
        if session is None:
            msg = f"{reader} has no session. Begin one."
            raise BadRequest(msg)
        return session, plan_measurements(session["joints"], reader, int(session["seed"]))

    def _records(self, reader: str, session: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The readings of a session."""
        own = {"reader": reader, "session": session["id"]}
        return [record for record in self.readings.effective() if own.items() <= record.items()]

    def _left(self, reader: str) -> tuple[list[Presentation], list[Presentation]]:
        """The plan of a session, and what is left of it."""
        session, plan = self._plan(reader)
        return plan, left_to_measure(plan, self._records(reader, session), reader)

    def _state(self, reader: str) -> dict[str, Any]:
        """Return how far a session is, and its next joint."""
        plan, left = self._left(reader)
        done, following = len(plan) - len(left), row_id(left[0].joint) if left else None
        return {"reader": reader, "total": len(plan), "done": done, "place": done, "next": following}

    def _shown(self, reader: str) -> dict[str, Any]:
        """Return the state of a session, and open the joint after the next one while the reader measures."""
        _, left = self._left(reader)
        with suppress(UnknownJoint):
            for upcoming in left[1:2]:
                self.prepare(row_id(upcoming.joint))
        return self._state(reader)

    def _read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        reader = text(body, "reader")
        session, plan = self._plan(reader)
        own = {"reader": reader, "session": session["id"]}

        def next_record(effective: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
            done = [record for record in effective if own.items() <= record.items()]
            left = left_to_measure(plan, done, reader)
            if not left or row_id(left[0].joint) != body.get("id") or len(done) != body.get("place"):
                msg = "This joint has been measured already, perhaps in another window. Reload the page."
                raise InputError(msg)
            return {**_record(body, reader, left[0]), "session": session["id"]}

        stored = self.readings.append_after(next_record)
        return {"saved": stored["id"], **self._shown(reader)}

    def _undo(self, reader: str) -> dict[str, Any]:
        session, _ = self._plan(reader)
        own = self._records(reader, session)
        if not own:
            msg = "There is no measurement to take back."
            raise BadRequest(msg)
        self.readings.undo(int(own[-1]["id"]), reader=reader)
        return self._shown(reader)

    def _report(self) -> MeasuringReport:
        automatic = {row.name: row.joint_space_mm for row in self.library.rows()}
        return measuring_report(self.readings.effective(), automatic, seed=self.seed)


def _record(body: Mapping[str, Any], reader: str, shown: Presentation) -> dict[str, Any]:
    """Return the record of a measurement."""
    given = {name: body.get(name) for name in ("value_mm", "grade", "seconds", "displacement_mm")}
    known = {"reader": reader, "joint": shown.joint, "repeat": shown.repeat, "method": "alignment"}
    return validated({**given, **known})
