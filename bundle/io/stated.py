"""What the file of a radiograph states besides its pixels."""

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
"""Largest deviation from 1 of the ratio of height to width of pixels that count as square."""


@dataclass(frozen=True)
class StatedRadiograph:
    """A radiograph with what its file says of it, and nothing of the patient.

    Attributes:
        intensity: float32 (H, W) in [0, 1].
        spacing: height and width of a pixel in mm; None where the file does not say it.
        laterality: "L", "R" or "".
        modality: of a DICOM file, as "CR".
        ratio: height of a pixel divided by its width, as the file states it; 1 where it states none.
        unstated: why the usual spacing cannot be assumed where ``spacing`` is None; empty where it can.
    """

    intensity: NDArray[np.float32]
    spacing: tuple[float, float] | None = None
    laterality: str = ""
    modality: str = ""
    ratio: float = 1.0
    unstated: str = ""

    def pixel(self, width: float = 0.0) -> tuple[float, float] | None:
        """Height and width of a pixel in mm; a given width replaces that of the file, whose ratio is kept.

        Args:
            width: in mm; 0 for what the file states.
        """
        if not width:
            return self.spacing
        return (width if is_square(self.ratio) else width * self.ratio), width

    @cached_property
    def digest(self) -> str:
        """What tells its pixels from others."""
        return hashlib.sha256(self.intensity.tobytes()).hexdigest()


NO_SPACING = b"a picture without a pixel spacing"
"""Description in the header of a NIfTI file that was made from a picture that states no spacing."""


def is_square(ratio: float) -> bool:
    """Whether pixels of a ratio of height to width count as square."""
    return abs(ratio - 1.0) <= SQUARE


def stated(
    intensity: NDArray[np.float32],
    spacing: tuple[float, float] | None,
    ratio: float,
    laterality: str = "",
    modality: str = "",
) -> StatedRadiograph:
    """A radiograph; its ratio is that of its spacing where the file states one."""
    ratio = spacing[0] / spacing[1] if spacing else ratio
    unstated = "" if is_square(ratio) else f"its pixels are not square (height / width {ratio:.3f})"
    return StatedRadiograph(intensity, spacing, laterality, modality, ratio, unstated)


def unreadable(path: str | Path, error: BaseException) -> InputError:
    """The error that says why a file cannot be read."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"expected a file, found none: {path}")
    reason = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "neither PNG, JPEG, BMP, TIFF nor NIfTI"
    return InputError(f"expected a readable image file, got one that cannot be read ({reason}): {path}: copy it again")


def bytes_of(path: str | Path) -> bytes:
    """The content of a file, also of one in a packed data set.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return stored(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
