"""Radiographs with the properties that their files state besides the pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from bundle.errors import InputError
from bundle.io.files import stored
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

SQUARE = 0.01
"""Largest deviation from 1 of the aspect ratio (height / width) of pixels that count as square."""


@dataclass(frozen=True)
class StatedRadiograph:
    """Radiograph with the properties that its file states, without the patient's identity.

    Attributes:
        intensity: float32 (H, W) in [0, 1].
        spacing: height and width of a pixel in mm; None if the file states none.
        laterality: "L", "R" or "".
        modality: modality of a DICOM file, such as "CR".
        ratio: height of a pixel divided by its width, as the file states it; 1 if it states none.
        unstated: reason why the usual spacing cannot be assumed if ``spacing`` is None; empty if it can.
    """

    intensity: NDArray[np.float32]
    spacing: tuple[float, float] | None = None
    laterality: str = ""
    modality: str = ""
    ratio: float = 1.0
    unstated: str = ""

    def pixel(self, width: float = 0.0) -> tuple[float, float] | None:
        """Return height and width of a pixel in mm; a given width replaces the file's own, whose ratio is kept.

        Args:
            width: width of a pixel in mm; 0 uses the file's own spacing.
        """
        if not width:
            return self.spacing
        return (width if is_square(self.ratio) else width * self.ratio), width

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pixels."""
        return hashlib.sha256(self.intensity.tobytes()).hexdigest()


NO_SPACING = b"a picture without a pixel spacing"
"""Description in the header of a NIfTI file made from an image without a pixel spacing."""


def is_square(ratio: float) -> bool:
    """Whether pixels of an aspect ratio (height / width) count as square."""
    return abs(ratio - 1.0) <= SQUARE


def stated(
    intensity: NDArray[np.float32],
    spacing: tuple[float, float] | None,
    ratio: float,
    laterality: str = "",
    modality: str = "",
) -> StatedRadiograph:
    """Make a stated radiograph; its ratio is that of its spacing if the file states one."""
    ratio = spacing[0] / spacing[1] if spacing else ratio
    unstated = "" if is_square(ratio) else f"its pixels are not square (height / width {ratio:.3f})"
    return StatedRadiograph(intensity, spacing, laterality, modality, ratio, unstated)


def unreadable(path: str | Path, error: BaseException) -> InputError:
    """Make the error of a file that cannot be read, with the reason."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file. Correct the path.")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path}: a folder, not a file. Pass the path of a radiograph.")
    if isinstance(error, PermissionError):
        return InputError(f"{path}: no permission to read the image. Change the permissions of the file.")
    reason = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "neither PNG, JPEG, BMP, TIFF nor NIfTI"
    return InputError(f"{path}: the image cannot be read ({reason}). Copy it again.")


def bytes_of(path: str | Path) -> bytes:
    """Read the content of a file, on disk or in a packed data set.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return stored(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
