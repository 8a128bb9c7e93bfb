"""Access to the files of a data set, on disk or inside a pack (:mod:`bundle.io.packed`)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Protocol

from bundle.errors import InputError
from bundle.io.packed import find_member, open_pack


class Stored(Protocol):
    """File of a data set, existing or not."""

    def is_file(self) -> bool:
        """Whether the file exists."""

    def read_bytes(self) -> bytes:
        """Read all bytes; raises OSError if the file cannot be read, InputError if it or its pack is unusable."""

    def head(self, count: int) -> bytes:
        """Read the first bytes; raises as :meth:`read_bytes`."""

    def open(self) -> BinaryIO:
        """Open the file for reading; raises as :meth:`read_bytes`."""

    def state(self) -> tuple[int, int]:
        """Return the modification time in ns and the size in bytes; raises as :meth:`read_bytes`."""


class _OnDisk:
    """Regular file on disk; a FIFO, a device or a socket, which may never end, is rejected before opening."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def is_file(self) -> bool:
        return self.path.is_file()

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return file.read()

    def head(self, count: int) -> bytes:
        with self.open() as file:
            return file.read(count)

    def open(self) -> BinaryIO:
        self._found()
        return self.path.open("rb")

    def state(self) -> tuple[int, int]:
        found = self._found()
        return found.st_mtime_ns, found.st_size

    def _found(self) -> os.stat_result:
        found = self.path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            msg = f"{self.path} is a FIFO, a device or a socket. Name a regular file."
            raise InputError(msg)
        return found


def stored(path: str | Path) -> Stored:
    """Locate the file at ``path``, on disk or inside a pack.

    Raises:
        InputError: a pack above ``path`` is unusable (:func:`bundle.io.packed.find_member`).
    """
    return find_member(path) or _OnDisk(path)


def data_set_root(dataset_dir: str | Path) -> Path:
    """Resolve the root of a data set with all links: its folder, or its pack file.

    Raises:
        InputError: the path does not exist, or the file is not a usable pack.
    """
    root = Path(dataset_dir).expanduser()
    if root.is_file():
        open_pack(root.resolve())
    elif not root.is_dir():
        msg = f"{root}: no such data set folder. Correct dataset_dir."
        raise InputError(msg)
    return root.resolve()


def packed_lists(root: Path) -> list[Path]:
    """List the paths of the lists in the pack at ``root``; none for a folder."""
    return [root / name for name in open_pack(root).lists] if root.is_file() else []


def files_at(root: Path) -> list[Path]:
    """List the files directly in a folder, or at the root of a pack."""
    if root.is_file():
        return [root / name for name in open_pack(root).names() if "/" not in name]
    return list(root.iterdir())
