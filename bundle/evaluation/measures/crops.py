"""Crops of radiographs as a classifier sees them."""

from __future__ import annotations

import torch
from bundle.phantoms import NATIVE
from bundle.physics import blur
from torch import Tensor
from torch.nn import functional as F

BORDER = 8 * NATIVE
"""Height in mm of the strips at top and bottom that are not looked at: there the bones are continued past the frame."""


DETAIL = 2.0
"""Sigma in pixels of the Gaussian that parts the detail of a frame from its shading."""


def cut_out(radiographs: Tensor, places: Tensor, margin: int) -> Tensor:
    """Windows that are ``margin`` pixels smaller on each side, at places of their own.

    Args:
        radiographs: (N, C, H, W).
        places: pixels that each radiograph moves to the right and down in its window, up to ``margin``: (N, 2).
        margin: in pixels.
    """
    height, width = (side - 2 * margin for side in radiographs.shape[-2:])
    corners = [(margin - round(y), margin - round(x)) for x, y in places.tolist()]
    windows = [one[:, y : y + height, x : x + width] for one, (y, x) in zip(radiographs, corners, strict=True)]
    return torch.stack(windows)


def as_seen(radiographs: Tensor, spacing: Tensor, native: bool) -> Tensor:
    """Radiographs (N, 1, H, W) as the classifier sees them: on the detector's grid or their own, without the border.

    Args:
        radiographs: in [0, 1].
        spacing: mm per pixel, (N,); images of one stack have one grid, made by the median.
        native: whether to resample, antialiased, to 0.15 mm per pixel (coarser frames stay as they are).
    """
    pixel = float(spacing.median())
    height, width = radiographs.shape[-2:]
    if native and pixel < NATIVE:
        size = [round(side * pixel / NATIVE) for side in (height, width)]
        radiographs = F.interpolate(radiographs, size, mode="bilinear", antialias=True, align_corners=False)
        pixel = NATIVE
    border = min(round(BORDER / pixel), (radiographs.shape[-2] - 1) // 2)
    return radiographs[..., border : radiographs.shape[-2] - border, :].contiguous()


def with_detail(frames: Tensor) -> Tensor:
    """Beside frames (N, 1, H, W) what a Gaussian of :data:`DETAIL` removes from them, in units of 0.02: (N, 2, H, W).

    The traces of a synthesis are a few thousandths of the intensity; offered so, they are learned in few epochs.
    """
    smooth = torch.cat([blur(part, DETAIL) for part in frames.split(32)])
    return torch.cat([frames - 0.5, (frames - smooth) / 0.02], dim=1)


def shifted(batch: Tensor, reach: int, random: torch.Generator) -> Tensor:
    """Cut (B, C, H, W) to ``reach`` pixels less on each side, at a place drawn within them (one for the batch)."""
    if reach == 0:
        return batch
    y, x = torch.randint(2 * reach + 1, (2,), generator=random).tolist()
    height, width = (side - 2 * reach for side in batch.shape[-2:])
    return batch[..., y : y + height, x : x + width]
