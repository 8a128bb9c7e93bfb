"""Start of the reading room."""

from __future__ import annotations

import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from bundle.errors import InputError
from bundle.inference import JOINT_LINES
from bundle.io import MARKER, bundle_root, readable
from bundle.reader_study import STUDIES
from bundle.reading_room.data_set import SyntheticImages, is_data_set
from bundle.reading_room.library import FixedLibrary, Library, Report
from bundle.reading_room.measuring import Measuring
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.radiographs import Radiographs
from bundle.reading_room.results import Results
from bundle.reading_room.rows import JointRow, row_id
from bundle.reading_room.security import Gate, in_address, is_everywhere, is_loopback
from bundle.reading_room.server import Rooms, application
from bundle.reading_room.studies import Studies
from bundle.reading_room.visits import Visits
from starlette.routing import Route

_WAITING = 2048
"""Number of connections that wait for the server."""


def library_of(folder: Path, spacing_mm: float = 0.0) -> Library:
    """Return the joints of a folder: inference results, a data set, or radiographs.

    Args:
        folder: the folder.
        spacing_mm: pixel size in mm of radiographs that state none; 0: not given.

    Raises:
        InputError: the folder is missing, or holds none of these.
    """
    with readable(folder):
        if not folder.is_dir():
            fault = "a file, not a folder" if folder.exists() else "there is no such folder"
            msg = f"{folder}: {fault}. Pass results, a data set or radiographs, or --demo."
            raise InputError(msg)
        if is_data_set(folder):
            return SyntheticImages(folder)
        if any((folder / name).is_file() for name in (JOINT_LINES, MARKER)):  # MARKER: a run that has just begun
            return Results(folder)
        return Radiographs(folder, spacing_mm)


def readings_folder(folder: Path | None) -> Path:
    """Return the usual folder of the readings of a folder, or of phantoms: its name with a checksum of its path."""
    if folder is None:
        return bundle_root() / "outputs" / "reading_room" / "demo"
    place = folder.resolve()
    return bundle_root() / "outputs" / "reading_room" / f"{place.name}-{row_id(str(place))[:8]}"


class NoJoints(FixedLibrary):
    """The joints that readers of a study see: none."""

    kind, title = "studies", "Reader studies"

    def read(self) -> list[JointRow]:
        """See :meth:`FixedLibrary.read`."""
        return []

    def load(self, row: JointRow, report: Report) -> OpenedJoint:
        """See :meth:`Library.load`."""
        msg = "Readers of a study see no joints."
        raise InputError(msg)


def study_rooms(readings: Path) -> list[Route]:
    """Return the addresses for the readers of a study: the studies alone, without joints, figures and making."""
    rooms = Rooms(NoJoints(), ["studies"])
    return [*rooms.routes(), *Studies(readings / STUDIES, figures=False).routes()]


def rooms_of(library: Library, readings: Path, seed: int = 0) -> list[Route]:
    """Return the addresses of all rooms.

    Args:
        library: the joints.
        readings: folder of the readings and studies.
        seed: random seed of the order in which joints are measured.

    Raises:
        InputError: the folder is a file or cannot be read, or a file in it is damaged.
    """
    _check_readings(readings)
    rooms = Rooms(library)
    data_set = library.folder if isinstance(library, SyntheticImages) else None
    measuring = Measuring(library, readings, seed, rooms.openings.begin)
    more = Visits(rooms.openings), measuring, Studies(readings / STUDIES, data_set)
    return [*rooms.routes(), *(route for room in more for route in room.routes())]


def _check_readings(folder: Path) -> None:
    with readable(folder):
        if folder.exists() and not folder.is_dir():
            msg = f"{folder}: a file, not a folder. Pass another --output_dir."
            raise InputError(msg)
        if folder.exists():
            os.stat(os.path.join(folder, "."))  # refused if the files cannot be reached


@dataclass(frozen=True)
class Place:
    """Where a server listens.

    Attributes:
        host: address; another one than the loopback address needs a token, which is made and printed.
        port: port; 0 for any free one.
        browser: whether a browser is opened.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    browser: bool = True


def serve(rooms: list[Route], place: Place, say: Callable[[str], None] = print) -> None:
    """Serve a reading room until it is interrupted.

    Args:
        rooms: addresses of the rooms (:func:`rooms_of`).
        place: where it listens.
        say: receiver of the address.

    Raises:
        InputError: the address cannot be used.
    """
    token = "" if is_loopback(place.host) else secrets.token_urlsafe(24)
    listening = _listen(place.host, place.port)
    port = listening.getsockname()[1]
    name = socket.gethostname()
    app = application(rooms, Gate(place.host, port, token, [name] if token else []))
    own, shown = ("localhost", name) if is_everywhere(place.host) else (place.host, place.host)
    query = f"?token={token}" if token else ""
    say(f"Reading room: http://{in_address(shown)}:{port}/{query} (end it with Ctrl-C)")
    if place.browser:
        webbrowser.open(f"http://{in_address(own)}:{port}/{query}")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False, date_header=False))
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Open the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_WAITING)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        msg = f"{host}:{port} cannot be used ({reason}). Pass another --port."
        raise InputError(msg) from error
    return listening
