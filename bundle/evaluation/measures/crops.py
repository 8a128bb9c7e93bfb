"""Crops of radiographs as input of a classifier."""

from __future__ import annotations

import torch
from bundle.phantoms import NATIVE
from bundle.physics import blur
from torch import Tensor
from torch.nn import functional as F

BORDER = 8 * NATIVE
"""Height in mm of the ignored strips at top and bottom, where the bones are continued beyond the frame."""


DETAIL = 2.0
"""Sigma in pixels of the Gaussian that separates the detail of a frame from its shading."""


def cut_out(radiographs: Tensor, places: Tensor, margin: int) -> Tensor:
    """Cut out windows that are ``margin`` pixels smaller on each side, each at its own position.

    Args:
        radiographs: (N, C, H, W).
        places: shift of each radiograph to the right and down in its window, in pixels up to ``margin``: (N, 2).
        margin: in pixels.
    """
    height, width = (side - 2 * margin for side in radiographs.shape[-2:])
    corners = [(margin - round(y), margin - round(x)) for x, y in places.tolist()]
    windows = [one[:, y : y + height, x : x + width] for one, (y, x) in zip(radiographs, corners, strict=True)]
    return torch.stack(windows)


def as_seen(radiographs: Tensor, spacing: Tensor, native: bool) -> Tensor:
    """Return radiographs (N, 1, H, W) as the classifier sees them: on the detector's grid or their own, no border.

    Args:
        radiographs: in [0, 1].
        spacing: pixel size in mm, (N,); images of one stack share one grid, that of the median.
        native: whether to resample, antialiased, to 0.15 mm per pixel (coarser frames stay as they are).
    """
    return on_grid(radiographs, float(spacing.median()), NATIVE if native else 0.0)


def on_grid(radiographs: Tensor, pixel: float, grid: float) -> Tensor:
    """Resample radiographs (N, 1, H, W) of smaller pixels, antialiased, to a grid in mm; the borders are cut off."""
    height, width = radiographs.shape[-2:]
    if pixel < grid:
        size = [round(side * pixel / grid) for side in (height, width)]
        radiographs = F.interpolate(radiographs, size, mode="bilinear", antialias=True, align_corners=False)
        pixel = grid
    border = min(round(BORDER / pixel), (radiographs.shape[-2] - 1) // 2)
    return radiographs[..., border : radiographs.shape[-2] - border, :].contiguous()


def with_detail(frames: Tensor) -> Tensor:
    """Append to frames (N, 1, H, W) the detail removed by a Gaussian of :data:`DETAIL`, over 0.02: (N, 2, H, W).

    The traces of a synthesis are a few thousandths of the intensity; in this form they are learned in few epochs.
    """
    smooth = torch.cat([blur(part, DETAIL) for part in frames.split(32)])
    return torch.cat([frames - 0.5, (frames - smooth) / 0.02], dim=1)


def shifted(batch: Tensor, reach: int, random: torch.Generator) -> Tensor:
    """Crop (B, C, H, W) by ``reach`` pixels on each side, at a random position (one for the batch)."""
    if reach == 0:
        return batch
    y, x = torch.randint(2 * reach + 1, (2,), generator=random).tolist()
    height, width = (side - 2 * reach for side in batch.shape[-2:])
    return batch[..., y : y + height, x : x + width]


def crops_of(frames: Tensor, reach: int, random: torch.Generator) -> Tensor:
    """Crop (N, C, H, W) by ``reach`` pixels on each side, each frame at a random position of its own."""
    places = torch.randint(-reach, reach + 1, (len(frames), 2), generator=random)
    return cut_out(frames, places, reach)
