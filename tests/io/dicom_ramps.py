"""Stored values and tables of DICOM radiographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

Make = Callable[..., Path]
SHAPE = (64, 48)


def ramp(bits: int = 12, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Stored values from 0 to full scale, no two rows alike."""
    return np.linspace(0, 2**bits - 1, np.prod(shape)).round().reshape(shape)


def lut(values: np.ndarray, first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.LUTData = values.astype("<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return item
