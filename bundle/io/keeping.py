"""Arrays that a run has loaded, kept in a temporary file until it ends.

The audit of a list loads every joint to say whether it can be used. What it has loaded is kept here, so that no file is
decoded twice and memory stays flat, however long the list is. The file has no name and goes with the process. Once it
is full, what comes after is not kept and has to be loaded from its file again.
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
"""Bytes that are kept, at most; never more than a quarter of what is free where temporary files lie."""


class Kept:
    """Arrays in a temporary file; forked processes read them, too.

    Args:
        limit: bytes that are kept, at most.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit, self.length = limit, 0

    @cached_property
    def _file(self) -> BinaryIO:
        self.limit = min(self.limit, shutil.disk_usage(tempfile.gettempdir()).free // 4)
        return tempfile.TemporaryFile(buffering=0)

    def keep(self, array: NDArray[Any]) -> KeptArray | None:
        """Keep an array; None where there is no room for it."""
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
        """The bytes at a place."""
        return bytearray(os.pread(self._file.fileno(), length, place))


@dataclass(frozen=True, eq=False)
class KeptArray:
    """An array that is kept; pickled it becomes None, for only forked processes share the file.

    Attributes:
        kept: where it is kept.
        place: of its first byte.
        shape: of the array.
        dtype: of the array.
    """

    kept: Kept
    place: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self) -> NDArray[Any]:
        """The array, a copy of its own."""
        length = int(np.prod(self.shape)) * self.dtype.itemsize
        return np.frombuffer(self.kept.read(self.place, length), self.dtype).reshape(self.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeptArray) and np.array_equal(self.read(), other.read())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


@dataclass(frozen=True)
class KeptJoint:
    """A joint (3, H, W) that is kept, its masks as bits.

    Attributes:
        radiograph: float32 (H, W).
        masks: of 0 and 1, packed.
    """

    radiograph: KeptArray
    masks: KeptArray

    @classmethod
    def of(cls, joint: Tensor, kept: Kept) -> KeptJoint | None:
        """Keep a joint; None where there is no room, or its masks are not of 0 and 1."""
        masks = joint[1:].numpy()
        radiograph = kept.keep(joint[0].numpy()) if np.isin(masks, (0.0, 1.0)).all() else None
        bits = None if radiograph is None else kept.keep(np.packbits(masks.astype(bool)))
        return None if radiograph is None or bits is None else cls(radiograph, bits)

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width in pixels."""
        return self.radiograph.shape

    def tensor(self) -> Tensor:
        """The joint, float32 (3, H, W)."""
        radiograph = torch.from_numpy(self.radiograph.read())[None]
        bits = np.unpackbits(self.masks.read(), count=2 * radiograph.numel())
        masks = torch.from_numpy(bits.astype(np.float32)).reshape(2, *self.shape)
        return torch.cat([radiograph, masks])

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> None:
    """What arrays that are kept become in another process."""
