"""Continuation of bones past the border of the frame, so that a motion never uncovers a black band."""

from __future__ import annotations

import torch
from bundle.joint import MCP
from monai.networks.layers import gaussian_1d
from torch import Tensor
from torch.nn import functional as F

CONTINUED_MM = 64 * MCP.spacing_mm
"""Distance past the border to which bones are continued with texture, 5.25 mm; beyond it the last pixels repeat."""

DETAIL_MM = 3 * MCP.spacing_mm
"""Sigma of the Gaussian high-pass filter that extracts bone texture, 0.25 mm."""


def continue_texture(bones: Tensor, margin: int, detail: float) -> Tensor:
    """Continue bone layers past the border: repeat the smooth component, mirror the texture.

    Repeating the outermost pixels alone causes streaks; mirroring everything bends the shaft.

    Args:
        bones: bone layers, (B, C, H, W) in [0, 1].
        margin: pixels to add on each side, limited to H - 1 and W - 1.
        detail: sigma in pixels of the Gaussian high-pass filter that extracts the texture.

    Returns:
        (B, C, H + 2 margin, W + 2 margin), unchanged inside the frame and 0 beside the bones.
    """
    height, width = bones.shape[-2:]
    margin = min(margin, height - 1, width - 1)
    frame = (..., slice(margin, margin + height), slice(margin, margin + width))
    straight = F.pad(bones, [margin] * 4, mode="replicate")
    down, right = (_smoothing(side, margin, detail, bones) for side in (height, width))
    smooth = down @ bones @ right.T
    texture = F.pad(bones - smooth[frame], [margin] * 4, mode="reflect")
    continued = (smooth + texture).clamp(0.0, 1.0) * (straight > 0)
    inside = torch.zeros_like(continued, dtype=torch.bool)
    inside[frame] = True
    return torch.where(inside, straight, continued)


def _smoothing(side: int, margin: int, detail: float, like: Tensor) -> Tensor:
    """Matrix (side + 2 margin, side) that pads a line with its outermost pixels and smooths it with a Gaussian."""
    kernel = gaussian_1d(torch.tensor(detail), truncated=4.0).to(like, non_blocking=True)
    past = margin + len(kernel) // 2
    places = torch.arange(-past, side + past, device=like.device).clamp(0, side - 1)
    repeated = F.one_hot(places, side).to(like)
    return F.conv1d(repeated.T[:, None], kernel[None, None])[:, 0].T
