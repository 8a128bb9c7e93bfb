"""Sampling and smoothing of images, with common conventions for moving, cropping and blurring."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from monai.networks.layers import GaussianFilter
from torch import Tensor
from torch.nn import functional as F

REACH = 4.0
"""Truncation radius of Gaussians in standard deviations."""


Made = TypeVar("Made")


def pixel_sizes(spacing: float | Tensor) -> list[float]:
    """Return pixel sizes in mm on the host; synchronizes with an accelerator."""
    return torch.as_tensor(spacing, dtype=torch.float64).reshape(-1).tolist()


def by_pixel_size(make: Callable[..., Made], spacing: float | Tensor, *parts: Tensor) -> list[Made]:
    """Call ``make(pixel, *parts)`` once for frames of one pixel size, or for each frame if the sizes differ.

    The result for a frame does not depend on the other frames of its batch.

    Args:
        make: function of a pixel size in mm and of tensors (B, ...).
        spacing: pixel size in mm; scalar or one for each of B frames.
        parts: tensors (B, ...).
    """
    sizes = pixel_sizes(spacing)
    if len(set(sizes)) == 1:
        return [make(sizes[0], *parts)]
    return [make(size, *(part[row : row + 1] for part in parts)) for row, size in enumerate(sizes)]


def sample(images: Tensor, grid: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Interpolate images at positions between their pixels.

    Positions range from -1 to 1 between the borders, so the centre of the first pixel lies half a pixel inside.

    Args:
        images: images, (B, C, H, W).
        grid: positions (B, h, w, 2), x first; converted to the dtype of the images.
        mode: interpolation, ``bilinear``, ``bicubic`` or ``nearest``.
        padding: values past the border, ``border`` (repeats the outermost pixels) or ``zeros``.

    Returns:
        (B, C, h, w).
    """
    return F.grid_sample(images, grid.to(images), mode=mode, padding_mode=padding, align_corners=False)


def blur(images: Tensor, sigma: float | Sequence[float], padding: str = "replicate") -> Tensor:
    """Blur images with a Gaussian; padding at the border prevents darkening.

    Args:
        images: images, (B, C, H, W).
        sigma: standard deviation in pixels, one for both axes or (rows, columns); 0 disables blurring.
        padding: padding past the border, ``replicate`` or ``reflect``.
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
    """Pixels of padding; reflection is limited to the size of the image."""
    reach = math.ceil(REACH * sigma)
    return min(reach, side - 1) if padding == "reflect" else reach
