"""MONAI image reader of radiographs in every format: ``LoadImaged(keys, reader=RadiographReader())``.

The array is intensity (H, W), rows first, unlike that of MONAI's own readers. Its metadata have an affine of the
spacing in mm and the properties that the file states, without the patient's identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bundle.errors import InputError
from bundle.io.dicom import is_dicom
from bundle.io.reading import read_stated
from bundle.io.stated import StatedRadiograph
from monai.data import ImageReader
from monai.utils.enums import MetaKeys
from numpy.typing import NDArray

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".nii", ".nii.gz")
"""Endings of the supported files; DICOM files are also recognized by their content."""


def is_radiograph(path: str | Path) -> bool:
    """Whether a file is supported, by its ending or as DICOM."""
    return str(path).lower().endswith(SUFFIXES) or is_dicom(path)


class RadiographReader(ImageReader):
    """Image reader of radiographs in DICOM, PNG, JPEG, BMP, TIFF and 2D NIfTI files.

    Args:
        spacing: height and width of a pixel in mm, or the width alone, with the height from the file's aspect ratio;
            it replaces the file's own spacing. 0 uses the file's own.

    Raises:
        InputError: the spacing is not a length; on reading, a file is unusable, or neither it nor the argument gives
            the spacing.
    """

    def __init__(self, spacing: float | Sequence[float] = 0.0) -> None:
        super().__init__()
        self._is_width = np.ndim(spacing) == 0
        try:
            pair = tuple(float(length) for length in np.broadcast_to(np.asarray(spacing, float), 2))
        except (TypeError, ValueError):
            pair = (math.nan, math.nan)
        if not all(math.isfinite(length) and length >= 0.0 for length in pair) or (0.0 in pair and any(pair)):
            msg = f"spacing {spacing} is not a pixel spacing. Pass height and width of a pixel in mm, or one for both."
            raise InputError(msg)
        self.spacing = (pair[0], pair[1]) if any(pair) else None

    def verify_suffix(self, filename: Any) -> bool:
        """Whether all files are supported, by their endings or as DICOM."""
        return all(is_radiograph(path) for path in _listed(filename))

    def read(self, data: Any, **kwargs: Any) -> list[Any]:
        """Return the files unread; :meth:`get_data` reads them.

        If a reader raises here, MONAI's ``LoadImage`` falls back to its own readers, which guess.
        """
        return _listed(data)

    def get_data(self, img: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Read the array (H, W) of one file, or (C, H, W) of several of one size, with the metadata of the first."""
        arrays, metadata = zip(*(self._read(path) for path in img), strict=True)
        if len({array.shape for array in arrays}) != 1:
            shapes = ", ".join(str(array.shape) for array in arrays)
            msg = f"the radiographs have the shapes {shapes}. Load radiographs of one size together."
            raise InputError(msg)
        single = len(arrays) == 1
        channel = {MetaKeys.ORIGINAL_CHANNEL_DIM: math.nan if single else 0}
        return arrays[0] if single else np.stack(arrays), {**metadata[0], **channel}

    def _read(self, path: str | Path) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """The array (H, W) of a file and its metadata."""
        found = read_stated(path)
        given = self.spacing or (0.0, 0.0)
        spacing = found.pixel(given[1]) if self._is_width else self.spacing or found.spacing
        if spacing is None:
            msg = f"{path} has no pixel spacing. Pass RadiographReader(spacing=MM)."
            raise InputError(msg)
        return found.intensity, _metadata(found, spacing)


def _listed(files: Any) -> list[Any]:
    return list(files) if isinstance(files, (list, tuple)) else [files]


def _metadata(found: StatedRadiograph, spacing: tuple[float, float]) -> dict[str, Any]:
    affine = np.diag([*spacing, 1.0, 1.0])
    return {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.array(found.intensity.shape),
        "spacing": np.array(spacing),
        "laterality": found.laterality,
        "modality": found.modality,
    }
