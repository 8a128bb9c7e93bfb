"""Folders that one run at a time writes to: a lock file that names the host and the process of the run.

The processes that ``torchrun`` starts are one run. The lock of a process that is dead is taken over.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bundle.base import parse_json
from bundle.errors import InputError

LOCK = "run.lock"
"""File in a folder that a run is writing to."""

_ATTEMPTS = 40
_PAUSE = 0.05
_DEAD = ("Z", "X")


@dataclass(frozen=True)
class Holder:
    """The run that holds a lock.

    Attributes:
        host: its name.
        process: id of the process on that host; that of ``torchrun`` where it has started the run.
        started: when that process was started, as the host counts; empty where it does not say.
        run: the same for all processes of the run.
    """

    host: str
    process: int
    started: str
    run: str

    @classmethod
    def here(cls) -> Holder:
        """The run of this process."""
        host, elastic = socket.gethostname(), os.environ.get("TORCHELASTIC_RUN_ID")
        process = os.getpid() if elastic is None else os.getppid()
        started = _state(process)[1]
        name = f"{host} {process} {started}"
        if elastic is not None:
            name = " ".join([elastic, os.environ.get("MASTER_ADDR", host), os.environ.get("MASTER_PORT", "")])
        return cls(host, process, started, name)

    def is_dead(self) -> bool:
        """Whether its process has ended; False where this host cannot know."""
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
    """State and start of a process as Linux tells them; empty elsewhere."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[19]


def is_first() -> bool:
    """Whether this process is the first one of its run, which clears up."""
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
    msg = f"{path}: a lock that cannot be read: delete it if no other run is writing to that folder"
    raise InputError(msg)


def release(folder: Path) -> None:
    """Give back the lock of a folder, if this run holds it."""
    mine, holder = Holder.here(), _read(folder / LOCK)
    if holder is not None and holder.run == mine.run and is_first():
        with suppress(OSError):
            (folder / LOCK).unlink()


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**parse_json(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _take_away(path: Path, dead: Holder) -> None:
    """Remove the lock of a dead process; one that another run has put in its place meanwhile is put back."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with suppress(OSError):
        os.replace(path, aside)
        if _read(aside) != dead:
            os.link(aside, path)
    with suppress(OSError):
        aside.unlink()


def _held(folder: Path, holder: Holder) -> InputError:
    ended = f", or delete its {LOCK} if that process has ended"
    unknown = holder.host != socket.gethostname() or os.name == "nt"
    return InputError(
        f"{folder.absolute()}: process {holder.process} on {holder.host} is writing to this output folder: wait until "
        f"it ends, choose another output folder{ended if unknown else ''}"
    )
