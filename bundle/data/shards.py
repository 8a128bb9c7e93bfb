"""Shards of a data set: folders of files, or tar archives for the ``webdataset`` library, whole or not there at all."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from webdataset import TarWriter

from bundle.data.writing import PART, png_bytes, replacing, storing
from bundle.errors import InputError

Files = Mapping[str, bytes]
"""The files of one image by their endings."""

RUNS = 3
"""zlib's Z_RLE: on radiographs, which are noisy, files are as small as by any other way, and written faster."""


class ShardFormat(ABC):
    """How the files of a shard's images are kept."""

    @abstractmethod
    def path(self, folder: Path, name: str) -> Path:
        """Where the shard of a name lies."""

    @abstractmethod
    def files(self, folder: Path, name: str) -> list[Path]:
        """The files of the shard of a name."""

    @abstractmethod
    def write(self, folder: Path, name: str, images: Iterable[tuple[str, Files]]) -> None:
        """Write the shard of a name: key and files of each image.

        Raises:
            InputError: the operating system refused.
        """


class FolderShards(ShardFormat):
    """A folder a shard, with the files ``<key>.<ending>``."""

    def path(self, folder: Path, name: str) -> Path:
        """See :meth:`ShardFormat.path`."""
        return folder / name

    def files(self, folder: Path, name: str) -> list[Path]:
        """See :meth:`ShardFormat.files`."""
        return list(self.path(folder, name).iterdir())

    def write(self, folder: Path, name: str, images: Iterable[tuple[str, Files]]) -> None:
        """See :meth:`ShardFormat.write`."""
        path, begun = self.path(folder, name), folder / f".{name}{PART}"
        with storing(path):
            for old in (begun, path):
                shutil.rmtree(old, ignore_errors=True)
            begun.mkdir()
            for key, files in images:
                for ending, content in files.items():
                    (begun / f"{key}.{ending}").write_bytes(content)
            begun.rename(path)


class TarShards(ShardFormat):
    """A tar archive a shard, for WebDataset: the files of a key follow each other."""

    def path(self, folder: Path, name: str) -> Path:
        """See :meth:`ShardFormat.path`."""
        return folder / f"{name}.tar"

    def files(self, folder: Path, name: str) -> list[Path]:
        """See :meth:`ShardFormat.files`."""
        return [self.path(folder, name)]

    def write(self, folder: Path, name: str, images: Iterable[tuple[str, Files]]) -> None:
        """See :meth:`ShardFormat.write`."""
        stated = {"encoder": False, "mtime": 0, "user": "", "group": "", "format": "PAX_FORMAT"}
        path = self.path(folder, name)
        for begun in folder.glob(f".{path.name}.*{PART}"):  # by a process that was killed
            begun.unlink()
        with replacing(path) as file, TarWriter(file, **stated) as archive:
            for key, files in images:
                archive.write({"__key__": key, **files})


FORMATS: dict[str, Callable[[], ShardFormat]] = {"png": FolderShards, "webdataset": TarShards}


def shard_format(name: str) -> ShardFormat:
    """The format of a name.

    Raises:
        InputError: there is none.
    """
    if name not in FORMATS:
        msg = f"expected one of the formats {', '.join(FORMATS)}, got {name}"
        raise InputError(msg)
    return FORMATS[name]()


def png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Grey pixels (H, W) as a PNG of their depth."""
    return png_bytes(pixels, RUNS)
