"""Gap between the outlines of the bones of a joint: the quantity that a motion changes exactly, whatever the layers.

The outline of the upper bone is the rim of its base. The gap is 1 to 1.5 mm less than the joint space width
(:func:`bundle.measurement.measure_joint_space`), and negative where the masks overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from bundle.measurement.axis import in_order, joint_axis, turned
from bundle.measurement.facing import central_columns, facing_rows
from torch import Tensor

VERTICAL = "vertical gap of the masks (bundle.measurement.outline_gap)"
"""Definition of the width in truth files and of the target of scoring networks."""

ALONG_AXIS = "gap of the masks along the joint's axis (bundle.measurement.outline_gap_along_axis)"
"""Definition of the gap in evaluations; it differs from the vertical gap by 0.07 mm (SD) on real joints."""

_SIGMA = 0.25
"""Sigma in mm of the Gaussian along the outline that smooths the steps of binary masks."""

_FAR = 30.0
"""Lower bound exp(-30) of Gaussian weights; it avoids slow denormal numbers."""


@dataclass(frozen=True)
class OutlineGap:
    """Gap between the outlines of B joints; NaN where it cannot be measured.

    Attributes:
        mean: mean signed gap over the central part of the joint, (B,) in mm; negative values overlap.
        minimum: minimum signed gap there, after smoothing over a few columns, (B,) in mm.
        axis: direction of measurement, (B,) in degrees from the vertical, positive clockwise on the screen (x towards
            y).
    """

    mean: Tensor
    minimum: Tensor
    axis: Tensor


def outline_gap(masks: Tensor, spacing: float | Tensor, window: float = 1 / 3) -> Tensor:
    """Measure the mean vertical gap between the outlines over the central part of their common columns, in mm.

    In each column the area of the mask defines the edge of the bone, so soft masks give sub-pixel precision. The gap is
    negative where the upper bone extends below the lower bone's edge (overlap). It changes by exactly the amount of a
    vertical motion.

    Args:
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
        window: averaged central fraction of the common columns, in (0, 1].

    Returns:
        Gap in mm, (B,); NaN if the bones have no common column.
    """
    edges, common = facing_rows(masks)
    weight = central_columns(common, window).to(masks.dtype)
    gap = edges[:, 0] - edges[:, 1]
    return (gap * weight).sum(-1) / weight.sum(-1) * _pixel(spacing, gap)[:, 0]


def outline_gap_along_axis(
    masks: Tensor, spacing: float | Tensor, window: float = 1 / 3, axis: Tensor | None = None
) -> OutlineGap:
    """Measure the mean and minimum gap between the outlines over the central part of the joint, along the joint's axis.

    Applies :func:`outline_gap` to a view rotated by the axis, in which bones that leave the frame at top or bottom are
    continued. Binary masks also give sub-pixel precision, because their steps are averaged: in the mean over the
    central columns, in the minimum over a Gaussian with a sigma of 0.25 mm.

    Args:
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
        window: central fraction of the common columns, in (0, 1].
        axis: axis in degrees, (B,); default: that of :func:`bundle.measurement.joint_axis`.

    Returns:
        Gap; NaN if the bones have no common column, or the upper bone does not lie above the lower one.
    """
    axis = joint_axis(masks) if axis is None else axis
    view = turned(masks, axis)
    edges, common = facing_rows(view)
    pixel = _pixel(spacing, view)
    gap = (edges[:, 0] - edges[:, 1]) * pixel
    central = central_columns(common, window)
    even = _smooth(gap, central, _SIGMA / pixel)
    return _outline_gap(gap, even, central & in_order(view, axis), axis)


def _smooth(values: Tensor, shown: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian mean of values (B, W) over the shown columns (B, W), with sigma (B, 1) in pixels."""
    columns = torch.arange(values.shape[-1]).to(values)
    apart = ((columns[:, None] - columns) / sigma[..., None]) ** 2 / 2
    kernel = torch.exp(-apart.clamp(max=_FAR)) * shown[:, :, None]
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    return (torch.where(shown, values, 0.0)[:, None] @ kernel)[:, 0]


def _pixel(spacing: float | Tensor, like: Tensor) -> Tensor:
    """Pixel size in mm, (B, 1) or (1, 1)."""
    return torch.as_tensor(spacing, dtype=like.dtype, device=like.device).reshape(-1, 1)


def _outline_gap(gap: Tensor, even: Tensor, counted: Tensor, axis: Tensor) -> OutlineGap:
    """Mean of the gap and minimum of the smoothed gap (B, W) in mm, over the counted columns."""
    count = counted.sum(-1)
    mean = torch.where(counted, gap, 0.0).sum(-1) / count
    least = torch.where(counted, even, math.inf).amin(-1)
    unknown = torch.where(count > 0, 0.0, math.nan).to(gap)
    return OutlineGap(mean, least + unknown, axis.to(gap) + unknown)
