"""NIfTI files as radiographs."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from bundle.errors import InputError
from bundle.io.stated import NO_SPACING, StatedRadiograph, bytes_of, stated, unreadable
from numpy.typing import NDArray

NIFTI_UNITS = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}
"""Millimetres of the units of length that a NIfTI header may state."""


def is_nifti(path: str | Path) -> bool:
    """Whether a file is NIfTI by its name."""
    return str(path).lower().endswith((".nii", ".nii.gz"))


def open_nifti(path: str | Path) -> Any:
    """The image of a NIfTI file, version 1 or 2."""
    data = bytes_of(path)
    try:
        content = gzip.decompress(data) if str(path).lower().endswith(".gz") else data
        length = int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")
        kind = nib.Nifti2Image if nib.Nifti2Header.sizeof_hdr in length else nib.Nifti1Image
        return kind.from_bytes(content)
    except Exception as error:  # as in nifti_values
        raise unreadable(path, error) from error


def nifti_values(image: Any, path: str | Path) -> NDArray[np.float32]:
    """Values of a 2D NIfTI file (trailing axes of length 1 are dropped), float32 (H, W)."""
    try:
        values = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:  # a broken file raises about anything: zlib, header, value, OS errors
        raise unreadable(path, error) from error
    shape = values.shape
    if values.size == 0 or len(shape) < 2 or any(length != 1 for length in shape[2:]):
        msg = f"expected one 2D image, got an array of shape {shape}: {path}: write one file per radiograph or mask"
        raise InputError(msg)
    return np.ascontiguousarray(values.reshape(shape[:2]).T)


def stated_nifti(intensity: NDArray[np.float32], image: Any) -> StatedRadiograph:
    """A NIfTI radiograph with the spacing of its header, in mm.

    A packed frame says that it stands for a picture without a spacing (:data:`NO_SPACING`).
    """
    unit, zooms = image.header.get_xyzt_units()[0], [float(length) for length in image.header.get_zooms()[:2]]
    if not all(math.isfinite(length) and length > 0.0 for length in zooms):
        return StatedRadiograph(intensity, unstated=f"its NIfTI header has pixel sizes {zooms}")
    ratio = zooms[1] / zooms[0]
    if unit in NIFTI_UNITS:
        height, width = zooms[1] * NIFTI_UNITS[unit], zooms[0] * NIFTI_UNITS[unit]
        return stated(intensity, (height, width), ratio)
    known = image.header["descrip"].tobytes().rstrip(b"\0") == NO_SPACING
    unstated = "" if known else "its NIfTI header states no unit of length"
    return StatedRadiograph(intensity, ratio=ratio, unstated=unstated)
