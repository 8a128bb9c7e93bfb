"""Where the files of a data set are read: on disk, or inside a pack (:mod:`bundle.io.packed`)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Protocol

from bundle.errors import InputError
from bundle.io.packed import find_member, open_pack


class Stored(Protocol):
    """A file of a data set, there or not."""

    def is_file(self) -> bool:
        """Whether it is there."""

    def read_bytes(self) -> bytes:
        """All its bytes; raises OSError where it cannot be read, InputError where it or its pack cannot be used."""

    def head(self, count: int) -> bytes:
        """Its first bytes; raises as :meth:`read_bytes`."""

    def open(self) -> BinaryIO:
        """The file, open for reading; raises as :meth:`read_bytes`."""

    def state(self) -> tuple[int, int]:
        """When it was changed last, in ns, and its length; raises as :meth:`read_bytes`."""


class _OnDisk:
    """A regular file on disk: a FIFO, a device or a socket, which may never end, is refused before it is opened."""

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
    """The file at ``path``, on disk or inside a pack.

    Raises:
        InputError: a pack above ``path`` cannot be used (:func:`bundle.io.packed.find_member`).
    """
    return find_member(path) or _OnDisk(path)


def data_set_root(dataset_dir: str | Path) -> Path:
    """The root of a data set with all links resolved: its folder, or the file of its pack.

    Raises:
        InputError: there is neither, or the file is no pack that can be used.
    """
    root = Path(dataset_dir).expanduser()
    if root.is_file():
        open_pack(root.resolve())
    elif not root.is_dir():
        msg = f"expected the folder of a data set, found none: {root}: correct dataset_dir"
        raise InputError(msg)
    return root.resolve()


def packed_lists(root: Path) -> list[Path]:
    """The lists of the pack at ``root``; none of a folder."""
    return [root / name for name in open_pack(root).lists] if root.is_file() else []


def files_at(root: Path) -> list[Path]:
    """The files right in a folder, or at the root of a pack."""
    if root.is_file():
        return [root / name for name in open_pack(root).names() if "/" not in name]
    return list(root.iterdir())
