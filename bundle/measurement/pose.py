"""Pose of a joint in its frame: where the joint lies and how it is rotated, from the masks of its bones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from bundle.measurement.axis import joint_axis, turned
from bundle.measurement.curves import between_samples, columns, fitted_parabola
from bundle.measurement.facing import facing_rows, middle_and_extent
from torch import Tensor

SEARCHED = 0.84
"""Fraction of the common columns, around the middle of the joint, in which the joint surfaces are searched for."""


ABOVE_HEAD_MM = 0.6
"""Distance from the outline of the lower bone's head up to the nominal middle of the joint space: a constant, so that
narrowing does not move the middle relative to the lower bone."""


@dataclass(frozen=True)
class JointPose:
    """Poses of B joints in their frames.

    Attributes:
        axis: direction of the joint's axis, (B,) in degrees from the vertical, positive clockwise (x towards y); NaN if
            the masks show no joint.
        middle: mean of the middles of both bones, (B,) in mm across the axis from the frame's centre.
        outline: parabola fitted to the outline of the lower bone's head, (B, K) in mm along the axis from the frame's
            centre, in the columns of :func:`bundle.measurement.curve_positions`.
        weight: weight of the columns in searches, (B, K).
        extent: extent of the common columns, (B,) in mm.
        pixel: pixel size, (B, 1) in mm.
    """

    axis: Tensor
    middle: Tensor
    outline: Tensor
    weight: Tensor
    extent: Tensor
    pixel: Tensor

    @property
    def head(self) -> Tensor:
        """Outline of the head in the middle of the joint, (B,) in mm along the axis from the frame's centre."""
        return self.outline[:, self.outline.shape[1] // 2]

    @property
    def space(self) -> Tensor:
        """Middle of the joint space, (B,) in mm along the axis from the frame's centre."""
        return self.head - ABOVE_HEAD_MM


def joint_pose(masks: Tensor, spacing: float | Tensor) -> JointPose:
    """Find the pose of joints.

    Args:
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
    """
    pixel = torch.as_tensor(spacing, dtype=masks.dtype, device=masks.device).reshape(-1, 1).expand(len(masks), 1)
    axis = joint_axis(masks)
    view = turned(masks, axis)
    edges, common = facing_rows(view)
    height = masks.shape[-2]
    middle, extent = (length * pixel[:, 0] for length in middle_and_extent(view))
    across = columns().to(masks)
    outline, known = _resampled((edges[:, 0] - height / 2) * pixel, common, middle[:, None] + across, pixel)
    weight = (known & (across.abs() <= SEARCHED / 2 * extent[:, None])).to(masks) + 1e-6
    return JointPose(axis, middle, fitted_parabola(outline, weight), weight, extent, pixel)


def _resampled(values: Tensor, known: Tensor, x: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate values (B, W) of pixel columns at positions (B, K) in mm; also whether they are known there."""
    width = values.shape[-1]
    place = (x / pixel + width / 2 - 0.5).clamp(0, width - 1.001)
    return between_samples(values, place), known.gather(1, place.long())


def rotated(x: Tensor, y: Tensor, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate positions (x, y) about the origin, clockwise (x towards y)."""
    angle = torch.deg2rad(degrees)
    return angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y
