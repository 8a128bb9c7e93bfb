"""Axis of a joint from the masks of its bones, and views rotated by it."""

from __future__ import annotations

import math

import torch
from bundle.measurement.facing import facing_rows, middle_and_extent
from bundle.physics import sample
from torch import Tensor
from torch.nn import functional as F

AXIS_WINDOW = 2 / 3
"""Fraction of the common columns, around the middle of the joint, in which the midline determines the axis."""

LARGEST_TURN = 60.0
"""Maximum angle in degrees of a joint's axis from the vertical; beyond it the bones are not one above the other."""


def joint_axis(masks: Tensor, window: float = AXIS_WINDOW, rounds: int = 4) -> Tensor:
    """Estimate the joint's axis, perpendicular to the midline between the facing surfaces, (B,) in degrees.

    Starting from the line through the bones' centres, the view is rotated until the regression line through the
    midpoints of the gap around the middle of the joint (:func:`bundle.measurement.facing.middle_and_extent`) is
    horizontal. Four rotations are within 0.02 degrees (standard deviation) of the limit. Around the middle of the
    common columns, which moves with the view, the axis of some joints would be undetermined by 5 degrees.

    Args:
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
        window: fraction of the common columns for the regression, in (0, 1].
        rounds: number of rotations.

    Returns:
        Degrees from the vertical, positive clockwise (x towards y); NaN if the unrotated bones have no common column,
        or the axis deviates from the vertical by more than :data:`LARGEST_TURN`.
    """
    coarse = F.avg_pool2d(masks, 2) if min(masks.shape[-2:]) >= 128 else masks
    together = facing_rows(coarse)[1].any(-1)
    axis = torch.where(together, _axis_of_centres(coarse), math.nan)
    for _ in range(rounds):
        axis = axis + _slope(*_midline(turned(coarse, axis), window))
    return torch.where(axis.abs() <= LARGEST_TURN, axis, math.nan)


def _midline(view: Tensor, window: float) -> tuple[Tensor, Tensor]:
    """Rows (B, W) of the midpoints of the gap, and the weights of their columns, around the middle of the joint."""
    edges, common = facing_rows(view)
    middle, extent = middle_and_extent(view)
    width = view.shape[-1]
    x = torch.arange(width).to(view) + 0.5 - width / 2
    inside = (window * extent / 2)[:, None] + 0.5 - (x - middle[:, None]).abs()
    return edges.mean(dim=1), inside.clamp(0.0, 1.0) * common


def turned(maps: Tensor, axis: Tensor) -> Tensor:
    """Rotate maps about the frame's centre so that an axis becomes vertical; bilinear, continued above and below.

    Args:
        maps: maps, (B, C, H, W).
        axis: axis in degrees from the vertical, (B,), positive clockwise (x towards y).
    """
    height, width = maps.shape[-2:]
    y, x = (torch.arange(side).to(maps) - (side - 1) / 2 for side in (height, width))
    return _sampled(maps, x.expand(height, width), y[:, None].expand(height, width), axis)


def _sampled(maps: Tensor, x: Tensor, y: Tensor, axis: Tensor) -> Tensor:
    """Sample maps (B, C, H, W) at positions (..., h, w) of the rotated view, in pixels from the centre."""
    height, width = maps.shape[-2:]
    angle = torch.deg2rad(axis.nan_to_num()).to(maps).reshape(-1, 1, 1)
    cosine, sine = angle.cos() * 2, angle.sin() * 2
    across = (cosine * x - sine * y) / width
    down = ((sine * x + cosine * y) / height).clamp(1 / height - 1, 1 - 1 / height)
    grid = torch.stack([across, down], dim=-1)
    return sample(maps, grid, padding="zeros")


def _centre(masks: Tensor) -> Tensor:
    """Centres of the bones in pixels from the frame's corner, (B, 2, (x, y)); NaN for an empty mask."""
    area = masks.sum(dim=(-2, -1))
    ways = [(masks.sum(dim=dim) * torch.arange(masks.shape[-3 - dim]).to(masks)).sum(-1) for dim in (-2, -1)]
    return torch.stack(ways, dim=-1) / area[..., None]


def _axis_of_centres(masks: Tensor) -> Tensor:
    """Axis through the centres of the bones, (B,) in degrees."""
    lower, upper = _centre(masks).unbind(1)
    x, y = (lower - upper).unbind(-1)
    return torch.rad2deg(torch.atan2(-x, y))


def _slope(rows: Tensor, weight: Tensor) -> Tensor:
    """Angle of the regression line through rows (B, W) of weighted columns, (B,) in degrees."""
    x = torch.arange(rows.shape[-1]).to(rows)
    x = x - (x * weight).sum(-1, keepdim=True) / weight.sum(-1, keepdim=True)
    return torch.rad2deg(torch.atan2((x * rows * weight).sum(-1), (x * x * weight).sum(-1)))


def in_order(view: Tensor, axis: Tensor) -> Tensor:
    """Whether the axis (B,) is defined and the centre of the upper bone lies above that of the lower bone: (B, 1)."""
    lower, upper = _centre(view)[..., 1].unbind(1)
    return ((upper < lower) & axis.isfinite())[:, None]
