"""Start of the reading room."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn
from bundle.errors import InputError
from bundle.face import root
from bundle.inference import JOINT_LINES
from bundle.reading_room.data_set import SyntheticImages, is_data_set
from bundle.reading_room.library import Library
from bundle.reading_room.radiographs import Radiographs
from bundle.reading_room.results import Results
from bundle.reading_room.security import Gate, is_loopback
from bundle.reading_room.server import Rooms, application


def library_of(folder: Path, spacing_mm: float = 0.0) -> Library:
    """Return the joints of a folder: inference results, a data set, or radiographs.

    Args:
        folder: the folder.
        spacing_mm: pixel size of radiographs that do not state it; 0 for none.

    Raises:
        InputError: the folder is missing, or holds none of these.
    """
    if not folder.is_dir():
        msg = f"{folder}: there is no such folder. Pass results, a data set or radiographs, or --demo."
        raise InputError(msg)
    if is_data_set(folder):
        return SyntheticImages(folder)
    if (folder / JOINT_LINES).is_file():
        return Results(folder)
    return Radiographs(folder, spacing_mm)


def serve(library: Library, host: str, port: int, browser: bool = True, say: Callable[[str], None] = print) -> None:
    """Serve a reading room until it is interrupted.

    Args:
        library: the joints.
        host: address to listen on; another one than the loopback address needs a token, which is made and printed.
        port: port to listen on.
        browser: whether a browser is opened.
        say: receiver of the address.

    Raises:
        InputError: the address cannot be used.
    """
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    listening = _listen(host, port)
    app = application(Rooms(library, root()).routes(), Gate.of(host, port, token))
    address = f"http://{host}:{port}/" + (f"?token={token}" if token else "")
    say(f"Reading room: {address} (end it with Ctrl-C)")
    if browser:
        webbrowser.open(address)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False, date_header=False))
    server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Open the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        msg = f"{host}:{port} cannot be used ({error.strerror}). Pass another --port."
        raise InputError(msg) from error
    return listening
