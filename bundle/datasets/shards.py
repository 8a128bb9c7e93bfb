"""Shards of a data set: folders of files, or tar archives for the ``webdataset`` library, complete or absent.

WebDataset decodes every image to 8 bits, which turns a 16-bit image white. Archives therefore hold radiographs as
compressed NumPy arrays, ``npy.gz``, which all its decoders return as 16-bit values, and :func:`decode_shard` as
intensity.
"""

from __future__ import annotations

import errno
import gzip
import io
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io import PART, grey_png_bytes, gzip_bytes, replacing, storing, unfinished
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from webdataset import TarWriter

Files = Mapping[str, bytes]
"""Files of one image by their endings."""


class ShardFormat(ABC):
    """Storage format of the images of a shard."""

    @abstractmethod
    def radiograph(self, pixels: NDArray[np.uint16], what: str = "") -> Files:
        """Return the file of a radiograph, by its ending.

        Args:
            pixels: (H, W), intensity times 65535.
            what: prefix of the ending that names the content; empty for the joint itself.
        """

    @abstractmethod
    def path(self, folder: Path, name: str) -> Path:
        """Return the path of a shard."""

    @abstractmethod
    def files(self, folder: Path, name: str) -> list[Path]:
        """Return the files of a shard."""

    @abstractmethod
    def write(self, folder: Path, name: str, images: Iterable[tuple[str, Files]]) -> None:
        """Write a shard from the key and the files of each image.

        Raises:
            InputError: the operating system refused.
        """


class FolderShards(ShardFormat):
    """A folder per shard, with the files ``<key>.<ending>``; radiographs are 16-bit PNG."""

    def radiograph(self, pixels: NDArray[np.uint16], what: str = "") -> Files:
        """See :meth:`ShardFormat.radiograph`."""
        return {f"{what}png": grey_png_bytes(pixels)}

    def path(self, folder: Path, name: str) -> Path:
        """See :meth:`ShardFormat.path`."""
        return folder / name

    def files(self, folder: Path, name: str) -> list[Path]:
        """See :meth:`ShardFormat.files`."""
        return list(self.path(folder, name).iterdir())

    def write(self, folder: Path, name: str, images: Iterable[tuple[str, Files]]) -> None:
        """See :meth:`ShardFormat.write`."""
        path = self.path(folder, name)
        begun = unfinished(path)
        with storing(path):
            _clear(path)
            begun.mkdir()
            try:
                _fill(begun, images)
                _replace(begun, path)
            except BaseException:
                shutil.rmtree(begun, ignore_errors=True)
                raise


class TarShards(ShardFormat):
    """A tar archive per shard, for WebDataset: the files of a key are adjacent; radiographs are ``npy.gz``."""

    def radiograph(self, pixels: NDArray[np.uint16], what: str = "") -> Files:
        """See :meth:`ShardFormat.radiograph`."""
        content = io.BytesIO()
        np.save(content, pixels)
        return {f"{what}npy.gz": gzip_bytes(content.getvalue())}

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
        _clear(path)
        with replacing(path) as file, TarWriter(file, **stated) as archive:
            for key, files in images:
                archive.write({"__key__": key, **files})


def _clear(path: Path) -> None:
    """Remove what other processes have begun of a shard.

    A process that was killed left it. One that was only slow finds its files gone, and gives up: they are renamed
    first, so that it cannot complete a part of them.
    """
    for begun in path.parent.glob(f".{path.name}.*{PART}"):
        _remove(begun, path)


def _remove(old: Path, path: Path) -> None:
    """Remove a file or folder of a shard, if it is still there, under the name of an unfinished one."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}{PART}")
    with suppress(FileNotFoundError):
        old.rename(aside)
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink()


def _fill(folder: Path, images: Iterable[tuple[str, Files]]) -> None:
    for key, files in images:
        for ending, content in files.items():
            (folder / f"{key}.{ending}").write_bytes(content)


_ATTEMPTS = 5
"""Maximum number of attempts to replace a shard that other processes replace at the same time."""


def _replace(begun: Path, path: Path) -> None:
    """Replace a folder by a complete one, while other processes may do the same."""
    for left in reversed(range(_ATTEMPTS)):
        _remove(path, path)
        try:
            begun.rename(path)
        except OSError as error:
            if not left or error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return


FORMATS: dict[str, Callable[[], ShardFormat]] = {"png": FolderShards, "webdataset": TarShards}


def shard_format(name: str | ShardFormat) -> ShardFormat:
    """Return the format with a name; a format object is returned as it is.

    Raises:
        InputError: there is no such format.
    """
    if not isinstance(name, str):
        return name
    if name not in FORMATS:
        msg = f"{name} is not a shard format. Choose {' or '.join(FORMATS)}."
        raise InputError(msg)
    return FORMATS[name]()


_FULL = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


def decode_shard(key: str, data: bytes) -> Tensor | None:
    """Decode the images of a shard: a handler for ``webdataset.WebDataset(...).decode(decode_shard)``.

    Older archives, whose radiographs are 16-bit PNG, are decoded as well.

    Args:
        key: ending of a file, such as ``npy.gz``, ``lower.png`` or ``hand.npy``.
        data: content of the file.

    Returns:
        Radiographs and masks as float32 (1, H, W) in [0, 1]; None for other files, which the next handler decodes.

    Raises:
        ValueError: the pixels have neither 8 nor 16 bits.
    """
    ending = key.lower().removesuffix(".gz").rpartition(".")[2]
    if ending not in ("npy", "png"):
        return None
    content = io.BytesIO(gzip.decompress(data) if key.lower().endswith(".gz") else data)
    read = partial(np.load, allow_pickle=False) if ending == "npy" else partial(Image.open, formats=["PNG"])
    pixels = np.asarray(read(content))
    if pixels.dtype not in _FULL or pixels.ndim != 2:
        msg = f"{key}: {pixels.dtype} of shape {pixels.shape}, not grey pixels of 8 or 16 bits"
        raise ValueError(msg)
    return torch.from_numpy((pixels / _FULL[pixels.dtype]).astype(np.float32))[None]
