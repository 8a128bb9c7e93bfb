"""Reading of separated joints that inference stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io.nifti import nifti_channels
from bundle.io.reading import check_area, read_mask, shape_of
from bundle.joint import BONES, LAYER_NAMES
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class StoredJoint:
    """A separated joint as inference stored it.

    Attributes:
        layers: soft tissue, lower and upper bone, (3, H, W) in [0, 1].
        masks: bone masks, (2, H, W) in [0, 1].
        spacing_mm: pixel size of the frame.
    """

    layers: Tensor
    masks: Tensor
    spacing_mm: float


def read_separated(folder: str | Path, name: str) -> StoredJoint:
    """Read ``<name>_layers.nii.gz`` with ``<name>_masks.nii.gz``, or with the PNG files of predicted masks.

    Raises:
        InputError: a file is missing, unreadable, or does not fit the others.
    """
    layers, spacing = nifti_channels(Path(folder) / f"{name}_layers.nii.gz", len(LAYER_NAMES))
    masks = _masks(Path(folder), name)
    if masks.shape[1:] != layers.shape[1:]:
        msg = f"{folder}: masks of {name} have {shape_of(masks[0])} pixels, its layers {shape_of(layers[0])}."
        raise InputError(f"{msg} Separate the joint again.")
    for what, values in (("layers", layers), ("masks", masks)):
        if not (np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= 1.0):
            msg = f"{folder}: {what} of {name} exceed the range from 0 to 1. Separate the joint again."
            raise InputError(msg)
    return StoredJoint(torch.from_numpy(layers), torch.from_numpy(masks), spacing)


def _masks(folder: Path, name: str) -> NDArray[np.float32]:
    """Bone masks of a joint, (2, H, W)."""
    whole, single = folder / f"{name}_masks.nii.gz", [folder / f"{name}_mask_{bone}.png" for bone in BONES]
    if whole.is_file():
        values = nifti_channels(whole, len(BONES))[0]
        for mask in values:
            check_area(mask > 0.5, whole)
        return values
    if not all(path.is_file() for path in single):
        msg = f"{folder}: no masks of {name}. Separate the joint again with the present version."
        raise InputError(msg)
    return np.stack([read_mask(path).astype(np.float32) for path in single])
