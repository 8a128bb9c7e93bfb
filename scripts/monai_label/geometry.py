"""Geometry of a radiograph in ITK, and thus in 3D Slicer."""

from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
from numpy.typing import NDArray

_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Transform from ITK's axes (left, back, head) to those of NIfTI (right, front, head)."""


def itk_affine(path: str | Path) -> NDArray[np.float64] | None:
    """Return the NIfTI affine (4, 4) of a radiograph as ITK reads it; None if ITK cannot read the file.

    ITK takes the spacing of a DICOM file from a different element than the separator, that of JPEG and TIFF from their
    resolution, and 1 mm for others.
    """
    try:
        file = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
        file.SetFileName(str(path))
        file.ReadImageInformation()
        return _affine(file)
    except Exception:  # ITK raises RuntimeError, and AttributeError where no format is found
        return None


def _affine(file: itk.ImageIOBase) -> NDArray[np.float64]:
    """Return the affine of a file that ITK has read; missing axes are those of one slice of 1 mm."""
    affine = np.eye(4)
    axes = min(file.GetNumberOfDimensions(), 3)
    for axis in range(axes):
        affine[:axes, axis] = np.asarray(file.GetDirection(axis))[:axes] * file.GetSpacing(axis)
        affine[axis, 3] = file.GetOrigin(axis)
    placed: NDArray[np.float64] = _RAS @ affine
    return placed
