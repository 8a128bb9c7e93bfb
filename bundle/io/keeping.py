"""Cache of loaded arrays in a temporary file, for the duration of a run.

The audit of a list loads every joint to decide whether it is usable. The loaded data are cached here, so that no file
is decoded twice and memory use does not grow with the list. The file has no name and disappears with the process. Once
it is full, further arrays are not cached and are loaded from their files again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LIMIT = 16 * 2**30
"""Maximum size of the cache in bytes; never more than a quarter of the free space for temporary files."""


class Kept:
    """Cache of arrays in a temporary file, which forked processes can read.

    Args:
        limit: maximum size in bytes.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit, self.length = limit, 0

    @cached_property
    def _file(self) -> BinaryIO:
        self.limit = min(self.limit, shutil.disk_usage(tempfile.gettempdir()).free // 4)
        return tempfile.TemporaryFile(buffering=0)

    def keep(self, array: NDArray[Any]) -> KeptArray | None:
        """Cache an array; None if there is no room for it."""
        number, place = self._file.fileno(), self.length
        if place + array.nbytes > self.limit:
            return None
        try:
            written = os.pwrite(number, np.ascontiguousarray(array).data, place)
        except OSError:  # the disk is full
            return None
        if written < array.nbytes:
            return None
        self.length += array.nbytes
        return KeptArray(self, place, array.shape, array.dtype)

    def read(self, place: int, length: int) -> bytearray:
        """Read ``length`` bytes at the offset ``place``."""
        return bytearray(os.pread(self._file.fileno(), length, place))


@dataclass(frozen=True, eq=False)
class KeptArray:
    """Cached array; pickled it becomes None because only forked processes share the file.

    Attributes:
        kept: its cache.
        place: offset of its first byte.
        shape: shape of the array.
        dtype: type of the array.
    """

    kept: Kept
    place: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self) -> NDArray[Any]:
        """Read the array as a copy."""
        length = int(np.prod(self.shape)) * self.dtype.itemsize
        return np.frombuffer(self.kept.read(self.place, length), self.dtype).reshape(self.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeptArray) and np.array_equal(self.read(), other.read())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


@dataclass(frozen=True)
class KeptJoint:
    """Cached joint (3, H, W), its masks as bits.

    Attributes:
        radiograph: float32 (H, W).
        masks: masks of 0 and 1, packed to bits.
    """

    radiograph: KeptArray
    masks: KeptArray

    @classmethod
    def of(cls, joint: Tensor, kept: Kept) -> KeptJoint | None:
        """Cache a joint; None if there is no room, or its masks have values besides 0 and 1."""
        masks = joint[1:].numpy()
        radiograph = kept.keep(joint[0].numpy()) if np.isin(masks, (0.0, 1.0)).all() else None
        bits = None if radiograph is None else kept.keep(np.packbits(masks.astype(bool)))
        return None if radiograph is None or bits is None else cls(radiograph, bits)

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width in pixels."""
        return self.radiograph.shape

    def tensor(self) -> Tensor:
        """Read the joint, float32 (3, H, W)."""
        radiograph = torch.from_numpy(self.radiograph.read())[None]
        bits = np.unpackbits(self.masks.read(), count=2 * radiograph.numel())
        masks = torch.from_numpy(bits.astype(np.float32)).reshape(2, *self.shape)
        return torch.cat([radiograph, masks])

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> None:
    """Unpickled value of cached arrays in another process."""
