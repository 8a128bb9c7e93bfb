"""Sampling and smoothing of images: the conventions that everything which moves, cuts or blurs pictures shares."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai.networks.layers import GaussianFilter
from torch import Tensor
from torch.nn import functional as F

REACH = 4.0
"""Gaussians are cut at so many standard deviations."""


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
