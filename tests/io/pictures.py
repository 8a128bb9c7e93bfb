"""Pictures of every format that is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 64


def radiograph() -> NDArray[np.uint8]:
    """Smooth, asymmetric, with every row and column different."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    return (40 + 2 * x + y).astype(np.uint8)


def square(top: int, bottom: int) -> NDArray[np.uint8]:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[top:bottom, 8:50] = 255
    return mask


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    if path.suffix in (".nii", ".gz"):
        nib.save(nib.Nifti1Image(pixels.T.astype(np.float32), np.eye(4)), path)
    else:
        Image.fromarray(pixels).save(path, **options)
    return path
