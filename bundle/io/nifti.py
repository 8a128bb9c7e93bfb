"""Radiographs and masks from NIfTI files."""

from __future__ import annotations

import gzip
import io
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from bundle.errors import InputError
from bundle.io.stated import NO_SPACING, StatedRadiograph, bytes_of, stated, unreadable
from numpy.typing import NDArray

NIFTI_UNITS = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}
"""Units of length of a NIfTI header, in mm."""

LARGEST = 2**30
"""Largest unpacked size of a NIfTI file in bytes."""


def is_nifti(path: str | Path) -> bool:
    """Whether a file has the name of a NIfTI file."""
    return str(path).lower().endswith((".nii", ".nii.gz"))


def open_nifti(path: str | Path) -> Any:
    """Open the image of a NIfTI file, version 1 or 2.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    data = bytes_of(path)
    try:
        content = _unpacked(data) if str(path).lower().endswith(".gz") else data
        length = int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")
        kind = nib.Nifti2Image if nib.Nifti2Header.sizeof_hdr in length else nib.Nifti1Image
        return kind.from_bytes(content)
    except Exception as error:  # as in nifti_values
        raise unreadable(path, error) from error


def _unpacked(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        msg = f"more than {LARGEST} bytes unpacked"
        raise ValueError(msg)
    return content


def nifti_values(image: Any, path: str | Path) -> NDArray[np.float32]:
    """Read the values of a 2D NIfTI file (trailing axes of length 1 are dropped), float32 (H, W).

    Raises:
        InputError: the data cannot be read or are not one 2D image.
    """
    try:
        values = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:  # a broken file raises almost any error: zlib, header, value, OS errors
        raise unreadable(path, error) from error
    shape = values.shape
    if values.size == 0 or len(shape) < 2 or any(length != 1 for length in shape[2:]):
        msg = f"{path}: an array of shape {shape} is not one 2D image. Write one file per radiograph or mask."
        raise InputError(msg)
    return np.ascontiguousarray(values.reshape(shape[:2]).T)


def nifti_channels(path: str | Path, channels: int) -> tuple[NDArray[np.float32], float]:
    """Read the channels that :func:`bundle.io.write_layers` wrote: float32 (C, H, W), and the pixel size in mm.

    Raises:
        InputError: the file is missing, unreadable, or holds something else.
    """
    image = open_nifti(path)
    try:
        values = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:  # as in nifti_values
        raise unreadable(path, error) from error
    if values.ndim == 4 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim != 3 or values.shape[2] != channels:
        wanted = f"{channels} channels (W, H, 1, {channels})"
        msg = f"{path}: an array of shape {values.shape}, not {wanted}. Separate the joint again."
        raise InputError(msg)
    return np.ascontiguousarray(values.transpose(2, 1, 0)), float(image.header.get_zooms()[0])


def stated_nifti(intensity: NDArray[np.float32], image: Any) -> StatedRadiograph:
    """Describe a NIfTI radiograph by the pixel spacing of its header, in mm.

    The header of a packed frame marks an image without a pixel spacing (:data:`NO_SPACING`).
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
