"""Shards of a data set: folders of files, or tar archives for the ``webdataset`` library, whole or not there at all.

WebDataset decodes every picture by way of 8 bits, whereby one of 16 bits comes out all white. So archives hold
radiographs as compressed NumPy arrays, ``npy.gz``, which all its decoders give as 16-bit values, and
:func:`decode_shard` as intensity.
"""

from __future__ import annotations

import gzip
import io
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io import PART, png_bytes, replacing, storing
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from webdataset import TarWriter

Files = Mapping[str, bytes]
"""The files of one image by their endings."""

RUNS = 3
"""zlib's Z_RLE: on radiographs, which are noisy, files are as small as by any other way, and written faster."""


class ShardFormat(ABC):
    """How the files of a shard's images are kept."""

    @abstractmethod
    def radiograph(self, pixels: NDArray[np.uint16], what: str = "") -> Files:
        """The file of a radiograph, by its ending.

        Args:
            pixels: (H, W), intensity by 65535.
            what: it shows, before the ending; empty for the joint itself.
        """

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
    """A folder a shard, with the files ``<key>.<ending>``; radiographs are PNG of 16 bits."""

    def radiograph(self, pixels: NDArray[np.uint16], what: str = "") -> Files:
        """See :meth:`ShardFormat.radiograph`."""
        return {f"{what}png": png(pixels)}

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
    """A tar archive a shard, for WebDataset: the files of a key follow each other; radiographs are ``npy.gz``."""

    def radiograph(self, pixels: NDArray[np.uint16], what: str = "") -> Files:
        """See :meth:`ShardFormat.radiograph`."""
        content = io.BytesIO()
        np.save(content, pixels)
        return {f"{what}npy.gz": gzip.compress(content.getvalue(), compresslevel=1, mtime=0)}

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


def shard_format(name: str | ShardFormat) -> ShardFormat:
    """The format of a name; one that is given as an object is taken as it is.

    Raises:
        InputError: there is none.
    """
    if not isinstance(name, str):
        return name
    if name not in FORMATS:
        msg = f"expected one of the formats {', '.join(FORMATS)}, got {name}"
        raise InputError(msg)
    return FORMATS[name]()


_FULL = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


def decode_shard(key: str, data: bytes) -> Tensor | None:
    """Decode the pictures of a shard's images: a handler for ``webdataset.WebDataset(...).decode(decode_shard)``.

    Also those of archives made before radiographs were ``npy.gz``, whose radiographs are PNG of 16 bits.

    Args:
        key: ending of a file, such as ``npy.gz``, ``lower.png`` or ``hand.npy``.
        data: what it holds.

    Returns:
        Radiographs and masks as float32 (1, H, W) in [0, 1]; None for other files, which the next handler decodes.

    Raises:
        ValueError: pixels that are neither of 8 nor of 16 bits.
    """
    ending = key.lower().removesuffix(".gz").rpartition(".")[2]
    if ending not in ("npy", "png"):
        return None
    content = io.BytesIO(gzip.decompress(data) if key.lower().endswith(".gz") else data)
    read = partial(np.load, allow_pickle=False) if ending == "npy" else partial(Image.open, formats=["PNG"])
    pixels = np.asarray(read(content))
    if pixels.dtype not in _FULL or pixels.ndim != 2:
        msg = f"expected grey pixels of 8 or 16 bits, got {pixels.dtype} of shape {pixels.shape}: {key}"
        raise ValueError(msg)
    return torch.from_numpy((pixels / _FULL[pixels.dtype]).astype(np.float32))[None]


def png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Grey pixels (H, W) as a PNG of their depth."""
    return png_bytes(pixels, RUNS)
