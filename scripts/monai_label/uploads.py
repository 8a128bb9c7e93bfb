"""Temporary files: readable by the server's user only, and removed with their request or process.

MONAI Label keeps uploads in the temporary folder, removes them only after successful requests, and leaves behind those
of a stopped training. Here every request, and every process that MONAI Label starts, has its own folder.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from filelock import FileLock, Timeout
from monailabel.utils.async_tasks.utils import background_processes, stop_background_task

SERVER = "FINGER_JOINT_LABEL_SERVER"
"""Environment variable of the processes that a server starts: the server's process id."""

_FOLDERS = "finger_joint_label_"
_PROCESS = "process_"
_LOCK = ".lock"
_POLL = 0.5

_of_request: ContextVar[str] = ContextVar("of_request", default="")


def keep_private() -> Path:
    """Make the server's temporary folder, remove those of killed servers, and return it; watch the processes."""
    os.umask(0o077)
    parent = Path(tempfile.gettempdir())
    _remove_abandoned(parent, _FOLDERS)
    folder = _locked_folder(parent, _FOLDERS)
    os.environ.update({"TMPDIR": str(folder), SERVER: str(os.getpid())})
    tempfile.tempdir = str(folder)
    tempfile.gettempdir = lambda: _of_request.get() or str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    threading.Thread(target=_watch, args=(folder,), daemon=True).start()
    return folder


@contextmanager
def request_folder() -> Iterator[Path]:
    """Place temporary files made inside in a folder that is removed at the end, whatever happens."""
    folder = tempfile.mkdtemp(prefix="request_", dir=tempfile.tempdir)
    token = _of_request.set(folder)
    try:
        yield Path(folder)
    finally:
        _of_request.reset(token)
        shutil.rmtree(folder, ignore_errors=True)


def is_upload(path: str) -> bool:
    """Whether a path is a file sent with the current request."""
    folder = _of_request.get()
    return bool(folder) and os.path.dirname(path) == folder and os.path.isfile(path) and not os.path.islink(path)


@contextmanager
def process_folder() -> Iterator[Path]:
    """Like :func:`request_folder`, for a process started by the server; it ends with the server."""
    os.umask(0o077)
    before = tempfile.gettempdir()
    folder = _locked_folder(Path(before), _PROCESS)
    tempfile.tempdir = str(folder)
    threading.Thread(target=_end_with_server, args=(folder,), daemon=True).start()
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def server_ended() -> bool:
    """Whether the server that started this process is gone; False if none did."""
    server = os.environ.get(SERVER)
    return server is not None and os.getpid() != int(server) != os.getppid()


def _end_with_server(folder: Path) -> None:
    while not server_ended():
        time.sleep(_POLL)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


_held: list[FileLock] = []


def _locked_folder(parent: Path, prefix: str) -> Path:
    """Make a new folder for this process, locked for its lifetime."""
    folder = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=parent))
    lock = FileLock(folder / _LOCK)
    lock.acquire(timeout=0)
    _held.append(lock)
    return folder.rename(parent / folder.name[1:])


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the user's folders whose process is gone."""
    for folder in filter(_is_own, parent.glob(f"{prefix}*")):
        try:
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (Timeout, OSError):
            continue


def _is_own(folder: Path) -> bool:
    return not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.getuid()


def _watch(folder: Path) -> None:
    """Remove the folders of ended processes; when the server ends, end the others."""
    while threading.main_thread().is_alive():
        _remove_abandoned(folder, _PROCESS)
        time.sleep(_POLL)
    while True:
        for method in list(background_processes):
            stop_background_task(method)
        time.sleep(0.1)
