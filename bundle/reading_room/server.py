"""The web application: pages, and the answers that they ask for."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bundle.io import bundle_version
from bundle.reading_room.exporting import MOST, PAGES, exported_page
from bundle.reading_room.files import attachment, changed_radiograph
from bundle.reading_room.library import Library
from bundle.reading_room.opened import Change, OpenedJoint
from bundle.reading_room.opening import Openings
from bundle.reading_room.requests import body_of, identifiers, number, plainly, switch, whole_number, word
from bundle.reading_room.rows import CLOSED, FAILED, JointRow
from bundle.reading_room.security import Gate
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

ROOMS = ("list", "look", "measure", "visits", "studies")
"""Names of the rooms in the pages."""

FARTHEST_MM, LARGEST_TURN_DEG = 10.0, 45.0
"""Largest shift and rotation that may be requested."""

_log = logging.getLogger("bundle")


class Rooms:
    """Request handlers of the pages that list and show joints.

    Args:
        library: the joints.
        offered: names of the rooms that the pages offer; all by default.
    """

    def __init__(self, library: Library, offered: Sequence[str] = ROOMS) -> None:
        self.library, self.openings, self.offered = library, Openings(library), offered
        self.version = bundle_version()
        self._revision = secrets.randbelow(2**40)  # a page that outlives the server does not take its list for this one
        self._listed: tuple[JointRow, ...] = ()

    def routes(self) -> list[Route]:
        """Return the addresses of the rooms."""
        return [
            Route("/api/room", plainly(self.room)),
            Route("/api/joints", plainly(self.joints)),
            Route("/api/joints/{id}", plainly(self.joint)),
            Route("/api/joints/{id}/open", plainly(self.open), methods=["POST"]),
            Route("/api/joints/{id}/planes", plainly(self.planes)),
            Route("/api/joints/{id}/thumbnail", plainly(self.thumbnail)),
            Route("/api/joints/{id}/synthesize", plainly(self.synthesize), methods=["POST"]),
            Route("/api/export", plainly(self.export), methods=["POST"]),
        ]

    async def room(self, request: Request) -> Response:
        """Describe the room."""
        known = {"title": self.library.title, "kind": self.library.kind, "version": self.version}
        return JSONResponse({**known, "rooms": list(self.offered)})

    async def joints(self, request: Request) -> Response:
        """List the joints, unless the page has the present list."""
        listed = await run_in_threadpool(self.library.rows)
        rows = tuple(self.openings.stated(row) for row in listed)
        if rows != self._listed:
            self._revision, self._listed = self._revision + 1, rows
        if request.query_params.get("revision") == str(self._revision):
            return JSONResponse({"revision": self._revision, "joints": None})
        return JSONResponse({"revision": self._revision, "joints": [asdict(row) for row in rows]})

    async def open(self, request: Request) -> Response:
        """Begin to open a joint, and state how far it is."""
        await body_of(request)
        return JSONResponse(self.openings.begin(request.path_params["id"]))

    async def joint(self, request: Request) -> Response:
        """Describe the geometry of a joint."""
        row, opened = await self.opened(request)
        return JSONResponse({"id": row.id, "name": row.name, **opened.geometry()})

    async def planes(self, request: Request) -> Response:
        """Send the planes of a joint."""
        _, opened = await self.opened(request)
        return Response(await run_in_threadpool(opened.planes), media_type="application/octet-stream")

    async def thumbnail(self, request: Request) -> Response:
        """Send a small radiograph of a joint that need not be separated first."""
        row = self.library.row(request.path_params["id"])
        if row.state == FAILED or (row.state == CLOSED and not self.openings.is_open(row.id)):
            return JSONResponse({"error": "The joint has not been opened."}, status_code=404)
        content = await run_in_threadpool(self.openings.thumbnail, row.id)
        return Response(content, media_type="image/png")

    async def synthesize(self, request: Request) -> Response:
        """Send a radiograph with another joint space as a file."""
        body = await body_of(request)
        change = Change(
            number(body, "change_mm", -FARTHEST_MM, FARTHEST_MM, 0.0),
            number(body, "sideways_mm", -FARTHEST_MM, FARTHEST_MM, 0.0),
            number(body, "rotation_deg", -LARGEST_TURN_DEG, LARGEST_TURN_DEG, 0.0),
        )
        seed = whole_number(body, "seed", 0, 2**31 - 1, 0)
        textured, ending = switch(body, "noise_texture", True), word(body, "format", ("png", "dcm"), "png")
        row, opened = await self.opened(request)
        return await run_in_threadpool(
            changed_radiograph, opened, row.name, change, seed if textured else None, ending, self.version
        )

    async def export(self, request: Request) -> Response:
        """Send one HTML file with several joints."""
        wanted = self.library.chosen(identifiers(await body_of(request), "ids", MOST))
        content = await run_in_threadpool(self._exported, wanted)
        return attachment(content.encode(), f"{self.library.title}.html", "text/html")

    def _exported(self, rows: Sequence[JointRow]) -> str:
        joints = [(row.name, self.openings.get(row.id)) for row in rows]
        return exported_page(joints, self.library.title, self.version)

    async def opened(self, request: Request) -> tuple[Any, OpenedJoint]:
        """Return the row and the joint of a request."""
        row = self.library.row(request.path_params["id"])
        return row, await run_in_threadpool(self.openings.get, row.id)


async def _index(request: Request) -> Response:
    return FileResponse(PAGES / "index.html", media_type="text/html")


async def _fault(request: Request, error: Exception) -> Response:
    """Answer a program error."""
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "The server has a program error. See its log."}, status_code=500)


def application(rooms: list[Route], gate: Gate) -> Starlette:
    """Return the web application.

    Args:
        rooms: addresses of the rooms.
        gate: checks of each request.
    """
    routes = [Route("/", _index), *rooms, Mount("/pages", StaticFiles(directory=PAGES))]
    layers = [Middleware(BaseHTTPMiddleware, dispatch=gate), Middleware(GZipMiddleware, compresslevel=1)]
    return Starlette(routes=routes, middleware=layers, exception_handlers={Exception: _fault})
