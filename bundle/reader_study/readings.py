"""Append-only log of readings: a JSON Lines file that loses no acknowledged line."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from bundle.base import parse_json
from bundle.errors import InputError, path_argument
from bundle.io import bundle_version, readable, storing
from bundle.reader_study.fields import shown

try:
    import fcntl
except ImportError:  # Windows: threads are locked, processes are not
    fcntl = None  # type: ignore[assignment]

UNDOES = "undoes"
"""Field of a line that undoes another one: the id of that line."""

UNFINISHED = ".unfinished"
"""Ending of the file that receives lines whose writing was interrupted."""

_OWN = ("id", "time", "version")
"""Fields that the log sets."""

Record = dict[str, Any]


class ReadingLog:
    """Append-only JSON Lines file of readings, shared by threads and processes.

    Each line is an object with a running number ``id``, the ``time`` (UTC, ISO 8601), the ``version`` of the bundle and
    the fields of the reading. A line is on the disk when :meth:`append` returns. Lines are never changed: another line
    ``{"undoes": id}`` undoes one. A line whose writing was interrupted by a kill was never acknowledged; it is
    moved to the file ``<name>.unfinished`` at the next opening or writing.

    Args:
        path: file; it is created by the first reading, its folder must exist.

    Raises:
        InputError: the file cannot be read, or a line is damaged; the message names file and line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path_argument("path", path)
        self._threads = threading.Lock()
        self._known: list[Record] = []
        self._end = 0
        self._file: tuple[int, int] | None = None
        self._writable = True
        if os.path.lexists(self.path):
            with self._open() as file:
                self._update(file)

    @cached_property
    def version(self) -> str:
        """Version of the bundle."""
        return bundle_version()

    def append(self, record: Mapping[str, Any]) -> Record:
        """Append a reading and return it as written, once it is on the disk.

        Args:
            record: fields of the reading, with values for JSON.

        Raises:
            InputError: the record is not valid, an undone line does not exist, or the file cannot be written; then
                nothing of the line stays in the file.
        """
        return self.append_after(lambda _: record)

    def append_after(self, make: Callable[[Sequence[Record]], Mapping[str, Any]]) -> Record:
        """Append the record that a function makes from the effective records, while no other process appends.

        Args:
            make: function that returns the record; one of the effective records is returned and not appended again.

        Raises:
            InputError: as :meth:`append`, or raised by ``make``.
        """
        with self._open(os.O_CREAT) as file:
            self._update(file)
            effective = _effective(self._known)
            made = make([record for record in effective if UNDOES not in record])
            if any(made is record for record in effective):
                return dict(made)
            line = self._completed(made, effective)
            data = _encoded(line, self.path)
            _write(file, data, self._end)
            if not self._end:
                _flush_folder(self.path.parent)
            self._known.append(line)
            self._end += len(data)
        return dict(line)

    def undo(self, identity: int, **more: Any) -> Record:
        """Append a line that undoes another one.

        Args:
            identity: id of the line.
            more: further fields of the new line; a ``reader`` must be that of the other line.

        Raises:
            InputError: there is no such line, it is undone already, or it is another reader's.
        """
        return self.append({UNDOES: identity, **more})

    def records(self) -> list[Record]:
        """Return all lines.

        Raises:
            InputError: the file cannot be read, or a line is damaged.
        """
        if os.path.lexists(self.path):
            with self._open() as file:
                self._update(file)
        return [dict(record) for record in self._known]

    def effective(self) -> list[Record]:
        """Return the readings that are not undone; raises as :meth:`records`."""
        return [record for record in _effective(self.records()) if UNDOES not in record]

    @contextmanager
    def _open(self, create: int = 0) -> Iterator[int]:
        """Open the file, read-only if it cannot be written, and lock it against other threads and processes."""
        with self._threads, (storing if create else readable)(self.path):
            file, self._writable = _opened(self.path, create)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    msg = f"{self.path} is not a regular file. Move it away or choose another file."
                    raise InputError(msg)
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX if self._writable else fcntl.LOCK_SH)
                yield file
            finally:
                os.close(file)  # releases the lock

    def _update(self, file: int) -> None:
        """Read the lines that other processes have appended; move an unfinished one out of the way."""
        found = os.fstat(file)
        if self._file != (found.st_dev, found.st_ino) or found.st_size < self._end:
            self._known, self._end, self._file = [], 0, (found.st_dev, found.st_ino)
        data = _read_from(file, self._end)
        whole, _, rest = data.rpartition(b"\n")
        if rest and self._writable:
            self._set_aside(file, rest, found.st_size - len(rest))
        lines = whole.split(b"\n") if len(rest) < len(data) else []
        known = list(self._known)
        for line in lines:
            known.append(_parsed(line, known, self.path))
        self._known, self._end = known, found.st_size - len(rest)

    def _set_aside(self, file: int, rest: bytes, size: int) -> None:
        """Move the unfinished end of the file to its own file."""
        aside = self.path.with_name(self.path.name + UNFINISHED)
        with storing(aside), aside.open("ab") as other:
            other.write(rest + b"\n")
            other.flush()
            os.fsync(other.fileno())
        _flush_folder(self.path.parent)
        os.ftruncate(file, size)
        os.fsync(file)

    def _completed(self, record: Mapping[str, Any], effective: Sequence[Record]) -> Record:
        if not isinstance(record, Mapping) or any(name in record for name in _OWN):
            msg = f"{self.path}: a reading is a record without {', '.join(_OWN)}, which are set here. Leave them out."
            raise InputError(msg)
        if UNDOES in record:
            _check_undo(record, effective, self.path)
        identity = self._known[-1]["id"] + 1 if self._known else 1
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        return {"id": identity, "time": now, "version": self.version, **record}


def _opened(path: Path, create: int) -> tuple[int, bool]:
    """Open a log, and return whether it can be written."""
    flags = os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, os.O_RDWR | flags | create, 0o666), True
    except OSError as error:
        if create or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    return os.open(path, os.O_RDONLY | flags), False


def _effective(records: Sequence[Record]) -> list[Record]:
    """The lines that no effective line undoes."""
    undone: set[int] = set()
    kept = []
    for record in reversed(records):
        if record["id"] not in undone:
            kept.append(record)
            undone |= {record[UNDOES]} if UNDOES in record else set()
    return kept[::-1]


def _check_undo(record: Mapping[str, Any], effective: Sequence[Record], path: Path) -> None:
    wanted = record[UNDOES]
    identity = wanted if isinstance(wanted, int) and not isinstance(wanted, bool) else None
    found = next((line for line in effective if line["id"] == identity), None)
    if found is None:
        msg = f"{path}: there is no line {shown(wanted)} that could be undone. Reload the list of readings."
        raise InputError(msg)
    if "reader" in record and found.get("reader", record["reader"]) != record["reader"]:
        msg = f"{path}: line {identity} is a reading of another reader. Undo your own readings only."
        raise InputError(msg)


def _encoded(line: Record, path: Path) -> bytes:
    try:
        return f"{json.dumps(line, allow_nan=False)}\n".encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{path}: the reading cannot be written as JSON ({error}). Use finite numbers, texts, lists and objects."
        raise InputError(msg) from error


def _parsed(line: bytes, known: Sequence[Record], path: Path) -> Record:
    """The record of a line; its id is above those of the lines before."""
    try:
        record = parse_json(line)
    except ValueError:
        record = None
    if not _is_reading(record, known[-1]["id"] if known else 0):
        msg = (
            f"{path}: line {len(known) + 1} is not a reading of this log. Restore the file from a copy, or move that "
            "line to another file."
        )
        raise InputError(msg)
    return dict(record)


def _is_reading(record: Any, last: int) -> bool:
    if not isinstance(record, dict):
        return False
    number, undone = record.get("id"), record.get(UNDOES, 1)
    return type(number) is int and type(undone) is int and number > last


def _read_from(file: int, start: int) -> bytes:
    os.lseek(file, start, os.SEEK_SET)
    parts = []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _write(file: int, data: bytes, size: int) -> None:
    """Append data to a file of ``size`` bytes and flush it to the disk; a failure leaves the file as it was."""
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise


def _flush_folder(folder: Path) -> None:
    """Flush the entry of a new file to the disk, where the system can."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
