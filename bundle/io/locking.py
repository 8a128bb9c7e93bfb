"""Locks of output folders, to which one run at a time writes: a file with the host and the process of the run.

The processes that ``torchrun`` starts are one run. The lock of a dead process is taken over.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bundle.base import read_json
from bundle.errors import InputError

LOCK = "run.lock"
"""Lock file in a folder to which a run is writing."""

_ATTEMPTS = 40
_PAUSE = 0.05
_DEAD = ("Z", "X")


@dataclass(frozen=True)
class Holder:
    """Run that holds a lock.

    Attributes:
        host: host name.
        process: id of the process on that host; that of ``torchrun`` if it started the run.
        started: start time of that process in the host's units; empty if unknown.
        run: identifier of the run, the same for all its processes.
    """

    host: str
    process: int
    started: str
    run: str

    @classmethod
    def here(cls) -> Holder:
        """Return the run of this process."""
        host, elastic = socket.gethostname(), os.environ.get("TORCHELASTIC_RUN_ID")
        process = os.getpid() if elastic is None else os.getppid()
        started = _state(process)[1]
        name = f"{host} {process} {started}"
        if elastic is not None:
            name = " ".join([elastic, os.environ.get("MASTER_ADDR", host), os.environ.get("MASTER_PORT", "")])
        return cls(host, process, started, name)

    def is_dead(self) -> bool:
        """Whether its process has ended; False if this host cannot determine it."""
        if self.host != socket.gethostname() or os.name == "nt":
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        state, started = _state(self.process)
        return state in _DEAD or started != self.started


def _state(process: int) -> tuple[str, str]:
    """State and start time of a process under Linux; empty elsewhere."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[19]


def is_first() -> bool:
    """Whether this process is the first one of its run, which cleans up."""
    return os.environ.get("RANK", "0") == "0"


def acquire(folder: Path) -> None:
    """Lock a folder for this run, which may hold it already.

    Raises:
        InputError: another run holds it, with its host and process.
        OSError: the lock cannot be written.
    """
    path, mine = folder / LOCK, Holder.here()
    for _ in range(_ATTEMPTS):
        try:
            with path.open("x") as file:
                file.write(json.dumps(asdict(mine)))
            return
        except FileExistsError:
            holder = _read(path)
        if holder is None:  # another process is just writing or removing it
            time.sleep(_PAUSE)
            continue
        if holder.run == mine.run:
            return
        if not holder.is_dead():
            raise _held(folder, holder)
        _take_away(path, holder)
    msg = f"{path}: the lock cannot be read. Delete it if no other run is writing to that folder."
    raise InputError(msg)


def release(folder: Path) -> None:
    """Release the lock of a folder if this run holds it."""
    mine, holder = Holder.here(), _read(folder / LOCK)
    if holder is not None and holder.run == mine.run and is_first():
        with suppress(OSError):
            (folder / LOCK).unlink()


def holder_of(folder: Path) -> Holder | None:
    """Return the run that holds the lock of a folder; None without one, or if the folder cannot be read."""
    with suppress(OSError):
        os.scandir(folder).close()  # a shared folder: what other machines have written shows once it is opened
    return _read(folder / LOCK)


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**read_json(path))
    except (OSError, ValueError, TypeError):
        return None


def _take_away(path: Path, dead: Holder) -> None:
    """Remove the lock of a dead process; a lock that another run has written meanwhile is restored."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with suppress(OSError):
        os.replace(path, aside)
        if _read(aside) != dead:
            os.link(aside, path)
    with suppress(OSError):
        aside.unlink()


def _held(folder: Path, holder: Holder) -> InputError:
    ended = f" If that process has ended, delete its {LOCK}."
    unknown = holder.host != socket.gethostname() or os.name == "nt"
    return InputError(
        f"{folder.absolute()}: process {holder.process} on {holder.host} is writing to this output folder. Wait until "
        f"it ends or choose another output folder.{ended if unknown else ''}"
    )
