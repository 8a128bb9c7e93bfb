# ruff: noqa: E402 - imports of what may be missing come after the skips
"""One server of phantoms and one browser for all tests of the pages; faults of the page fail the test."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the reading room is not installed: requirements-room.txt")
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: requirements-dev.txt")

import uvicorn
from bundle.errors import InputError
from bundle.face import Layers
from bundle.reading_room.library import FixedLibrary, Report
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.rows import CLOSED, FAILED, READY, JointRow, row_id
from bundle.reading_room.security import Gate
from bundle.reading_room.server import Rooms, application
from starlette.routing import Route
from tests.reading_room.conftest import separated

sync_api.expect.set_options(timeout=20_000)  # several tests at once on few cores

ROOT = Path(__file__).parents[3]
ARGUMENTS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-compositing")
MARKUP = "<img src=x onerror=alert(1)>"
"""Name of a joint, which the pages show as text."""

TALL, MARKED, LATE, BAD = (row_id(name) for name in ("tall", MARKUP, "late", "bad"))
"""A joint that is higher than wide, one with markup in its name, one that is closed, and one that fails."""


@cache
def tall() -> OpenedJoint:
    """A joint whose frame is higher than wide."""
    square = separated().layers
    cut = {"radiograph": square.joint.radiograph[..., 20:-20], "masks": square.joint.masks[..., 20:-20]}
    return OpenedJoint.of(Layers(replace(square.joint, **cut), square.layers[..., 20:-20], square.separator))


class Phantoms(FixedLibrary):
    """Phantoms that are separated without weights."""

    kind, title = "demo", "phantoms"

    def __init__(self) -> None:
        self.made: dict[str, OpenedJoint] = {}

    def read(self) -> list[JointRow]:
        """See :class:`FixedLibrary`."""
        known = {"finger": "ring", "joint_space_mm": 1.6, "joint_space_sd_mm": 0.08, "grade": 1, "plausible": True}
        return [
            JointRow(id=TALL, name="tall", state=READY, **known),
            JointRow(id=MARKED, name=MARKUP, state=READY, reasons=(MARKUP,), **{**known, "plausible": False}),
            JointRow(id=LATE, name="late", state=CLOSED),
            JointRow(id=BAD, name="bad", state=FAILED, failure="bad.png: damaged. Remove it."),
        ]

    def load(self, row: JointRow, report: Report) -> OpenedJoint:
        """See :class:`Library`."""
        report("separating", 0.5)
        if row.state == FAILED:
            raise InputError(row.failure)
        self.made[row.id] = tall() if row.id == TALL else separated()
        return self.made[row.id]


@dataclass
class Room:
    """A running server.

    Attributes:
        address: address of the page.
        library: its joints.
    """

    address: str
    library: Phantoms


@contextmanager
def serving(rooms: list[Route]) -> Iterator[str]:
    """Serve rooms in a thread, and return the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(application(rooms, Gate("127.0.0.1", port)), log_level="warning"))
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def room() -> Iterator[Room]:
    """A server of phantoms in a thread."""
    library = Phantoms()
    with serving(Rooms(library).routes()) as address:
        yield Room(address, library)


@pytest.fixture(scope="session")
def chromium() -> Iterator[sync_api.Browser]:
    """A browser, from the environment variable ``CHROMIUM`` or the path; skips where there is none."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Faults:
    """What a page reports as an error: exceptions, violations of its policy, files that are missing."""

    found: list[str] = field(default_factory=list)

    def watch(self, page: sync_api.Page) -> None:
        """Collect the faults of a page from now on."""
        page.on("console", lambda line: line.type == "error" and self.found.append(line.text))
        page.on("pageerror", lambda error: self.found.append(str(error)))
        page.on("dialog", lambda dialog: (self.found.append(f"a script ran: {dialog.message}"), dialog.dismiss()))


@pytest.fixture
def faults() -> Faults:
    """Faults of the pages of a test; a test that provokes some clears them."""
    return Faults()


@pytest.fixture(scope="session")
def address(room: Room) -> str:
    """Address of the server that ``page`` asks; a file of tests may name another one."""
    return room.address


@pytest.fixture
def page(chromium: sync_api.Browser, address: str, faults: Faults) -> Iterator[sync_api.Page]:
    """A new page, not yet at any address, which must end without faults; small, because the processor renders it."""
    context = chromium.new_context(viewport={"width": 900, "height": 600}, base_url=address)
    context.set_default_timeout(20_000)
    made = context.new_page()
    faults.watch(made)
    yield made
    context.close()
    assert faults.found == []
