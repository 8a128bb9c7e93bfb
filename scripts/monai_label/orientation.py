"""Order of the pixels of a radiograph with an EXIF orientation: upright for the separator, as stored for ITK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from bundle.io import exif_orientation
from numpy.typing import NDArray

_TRANSPOSED = (5, 6, 7, 8)
"""EXIF orientations whose stored rows are columns of the upright image."""
_FLIPPED = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
"""Axes to reverse by EXIF orientation, after an exchange of rows and columns, for the upright image."""
_OF_TIFF = {5: 5, 6: 7, 7: 5, 8: 7}
"""What remains of the orientation of a TIFF file: ITK reverses its rows and columns, but does not exchange them."""


def upright(values: NDArray[Any], path: str | Path) -> NDArray[Any]:
    """Rearrange pixels (H, W) from the order in which ITK reads a radiograph to the upright one of the separator.

    The separator applies the EXIF orientation of an image; ITK does not, or only in part.
    """
    orientation = _left_by_itk(path)
    return np.flip(values.T if orientation in _TRANSPOSED else values, _FLIPPED.get(orientation, ()))


def as_stored(values: NDArray[Any], path: str | Path) -> NDArray[Any]:
    """Rearrange pixels (H, W) of an upright radiograph into the order of ITK; the inverse of :func:`upright`."""
    orientation = _left_by_itk(path)
    flipped = np.flip(values, _FLIPPED.get(orientation, ()))
    return flipped.T if orientation in _TRANSPOSED else flipped


def _left_by_itk(path: str | Path) -> int:
    """Return the EXIF orientation of a file that ITK does not apply."""
    orientation = exif_orientation(path)
    return _OF_TIFF.get(orientation, 1) if Path(path).suffix.lower() in (".tif", ".tiff") else orientation
