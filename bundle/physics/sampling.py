"""Sampling and smoothing of images: the conventions that everything which moves, cuts or blurs pictures shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from monai.networks.layers import GaussianFilter
from torch import Tensor
from torch.nn import functional as F

REACH = 4.0
"""Gaussians are cut at so many standard deviations."""


Made = TypeVar("Made")


def pixel_sizes(spacing: float | Tensor) -> list[float]:
    """Pixel sizes in mm, of which the host decides how far it looks; on an accelerator it waits for them."""
    return torch.as_tensor(spacing, dtype=torch.float64).reshape(-1).tolist()


def by_pixel_size(make: Callable[..., Made], spacing: float | Tensor, *parts: Tensor) -> list[Made]:
    """What ``make(pixel, *parts)`` makes of frames of one pixel size, and of each frame by itself where sizes differ.

    So a frame gets what it would get alone, whatever other frames stand in its batch.

    Args:
        make: takes a pixel size in mm, and parts of the batch.
        spacing: mm per pixel, one for all or one for each of B frames.
        parts: tensors (B, ...).
    """
    sizes = pixel_sizes(spacing)
    if len(set(sizes)) == 1:
        return [make(sizes[0], *parts)]
    return [make(size, *(part[row : row + 1] for part in parts)) for row, size in enumerate(sizes)]


def sample(images: Tensor, grid: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Values of images at places between their pixels.

    Places span -1 to 1 from border to border, so the centre of the first pixel lies half a pixel inside.

    Args:
        images: (B, C, H, W).
        grid: places (B, h, w, 2), x first; taken to the type of the images.
        mode: ``bilinear``, ``bicubic`` or ``nearest``.
        padding: what lies past the border, ``border`` (the outermost pixels go on) or ``zeros``.

    Returns:
        (B, C, h, w).
    """
    return F.grid_sample(images, grid.to(images), mode=mode, padding_mode=padding, align_corners=False)


def blur(images: Tensor, sigma: float | Sequence[float], padding: str = "replicate") -> Tensor:
    """Gaussian blur of images (B, C, H, W) that are continued past their border, so that it does not darken.

    Args:
        images: (B, C, H, W).
        sigma: standard deviation in pixels, one for both axes or one for rows and one for columns; 0 is no blur.
        padding: how images go on past the border, ``replicate`` or ``reflect``.
    """
    height, width = images.shape[-2:]
    along, across = (sigma, sigma) if isinstance(sigma, (int, float)) else sigma
    if max(along, across) == 0.0:
        return images
    rows, columns = (_reach(*each, padding) for each in ((along, height), (across, width)))
    padded = F.pad(images, [columns, columns, rows, rows], padding)
    smooth: Tensor = GaussianFilter(2, [max(along, 1e-3), max(across, 1e-3)]).to(images)(padded)
    return smooth[..., rows : rows + height, columns : columns + width]


def _reach(sigma: float, side: int, padding: str) -> int:
    """Pixels past the border that are seen; a reflection has no more than the image."""
    reach = math.ceil(REACH * sigma)
    return min(reach, side - 1) if padding == "reflect" else reach
