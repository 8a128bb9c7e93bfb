"""A MONAI reader of radiographs in every format: ``LoadImaged(keys, reader=RadiographReader())``.

The array is intensity (H, W), rows first, unlike that of MONAI's own readers. Its metadata has an affine of the spacing
in mm and what the file says of the radiograph, and nothing of the patient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import ImageReader
from monai.utils.enums import MetaKeys
from numpy.typing import NDArray

from bundle.data.dicom import is_dicom, read_dicom
from bundle.data.reading import is_nifti, read_radiograph
from bundle.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".nii", ".nii.gz")
"""Names of files that are read; DICOM files are known by what is in them, too."""


class RadiographReader(ImageReader):
    """Reads radiographs from DICOM, PNG, JPEG, BMP, TIFF and 2D NIfTI files.

    Args:
        spacing: height and width of a pixel in mm, or one for both; it counts before what a file says. 0 for what the
            file says.

    Raises:
        InputError: the spacing is no length; on reading, if a file cannot be used, or its spacing is known neither from
            it nor from the argument.
    """

    def __init__(self, spacing: float | Sequence[float] = 0.0) -> None:
        super().__init__()
        pair = tuple(float(length) for length in np.broadcast_to(np.asarray(spacing, float), 2))
        if not all(math.isfinite(length) and length >= 0.0 for length in pair) or (0.0 in pair and any(pair)):
            msg = f"expected a spacing in mm, got {spacing}: give the height and width of a pixel, or one for both"
            raise InputError(msg)
        self.spacing = (pair[0], pair[1]) if any(pair) else None

    def verify_suffix(self, filename: Any) -> bool:
        """Whether files are read, by their names or because they are DICOM."""
        return all(str(path).lower().endswith(SUFFIXES) or is_dicom(path) for path in _listed(filename))

    def read(self, data: Any, **kwargs: Any) -> list[Any]:
        """The files, which only :meth:`get_data` reads.

        MONAI's ``LoadImage`` answers a reader that raises here by trying its own ones, which guess.
        """
        return _listed(data)

    def get_data(self, img: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """The array (H, W) of one file, or (C, H, W) of several of one size, with metadata of the first."""
        arrays, metadata = zip(*(self._read(path) for path in img), strict=True)
        if len({array.shape for array in arrays}) != 1:
            msg = f"expected radiographs of one size, got {', '.join(str(array.shape) for array in arrays)}"
            raise InputError(msg)
        single = len(arrays) == 1
        channel = {MetaKeys.ORIGINAL_CHANNEL_DIM: math.nan if single else 0}
        return arrays[0] if single else np.stack(arrays), {**metadata[0], **channel}

    def _read(self, path: str | Path) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """The array (H, W) of a file and its metadata."""
        if is_dicom(path):
            found = read_dicom(path)
            intensity, stated, said = found.intensity, found.spacing, (found.laterality, found.modality)
        else:
            intensity, stated, said = read_radiograph(path), _stated(path), ("", "")
        spacing = self.spacing or stated
        if spacing is None:
            msg = f"expected a radiograph that says its spacing, got one that does not: {path}: give it by --spacing"
            raise InputError(msg)
        return intensity, _metadata(intensity.shape, spacing, *said)


def _listed(files: Any) -> list[Any]:
    return list(files) if isinstance(files, (list, tuple)) else [files]


def _stated(path: str | Path) -> tuple[float, float] | None:
    """The spacing in the header of a NIfTI file that states its unit; a picture has none to be relied on."""
    if not is_nifti(path):
        return None
    header: Any = nib.load(path).header
    if header.get_xyzt_units()[0] != "mm":
        return None
    width, height = (float(length) for length in header.get_zooms()[:2])
    return height, width


def _metadata(shape: tuple[int, ...], spacing: tuple[float, float], laterality: str, modality: str) -> dict[str, Any]:
    affine = np.diag([*spacing, 1.0, 1.0])
    return {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.array(shape),
        "spacing": np.array(spacing),
        "laterality": laterality,
        "modality": modality,
    }
