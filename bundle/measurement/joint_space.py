"""Joint space width (JSW) measured on masks and layers, and a grade of narrowing similar to Sharp/van der Heijde.

Three methods measure the mean signed gap between the facing surfaces over the central part of the joint, negative for
overlapping bones:

- :func:`joint_space_width`: on masks, vertically. The fastest method; a vertical motion changes it by exactly the
  motion, and phantoms use this definition. For the control of motions.
- :func:`measure_joint_space`: on masks, along the joint's axis, with the minimum. For reporting JSW.
- :func:`joint_space_by_alignment`: on layers, by moving the bones until they touch, like the annotators of the paper.
  For reporting JSW where outlines are not accurate to a tenth of a millimetre, as with manual annotations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from bundle.joint import MCP
from bundle.measurement.facing import central_columns, facing_rows
from bundle.physics import RigidMotion, attenuation, move, sample
from torch import Tensor
from torch.nn import functional as F

VERTICAL = "vertical gap of the masks (bundle.measurement.joint_space_width)"
"""Definition of the JSW in truth files and of the target of scoring networks."""

ALONG_AXIS = "gap of the masks along the joint's axis (bundle.measurement.measure_joint_space)"
"""Definition of the JSW of masks in evaluations; it differs from the vertical JSW by 0.07 mm (SD) on real joints."""

ALIGNED = "motion along the joint's axis until the bones touch (bundle.measurement.joint_space_by_alignment)"
"""Definition of the JSW of layers."""

AXIS_WINDOW = 2 / 3
"""Central fraction of the common columns in which the midline between the bones determines the joint's axis."""

LARGEST_TURN = 60.0
"""Maximum angle in degrees of a joint's axis from the vertical; beyond it the bones are not one above the other."""

SURFACE = 1 / 6
"""Attenuation at the surface of a bone, relative to that just inside: the foot of its edge.

This level matches the outlines of phantoms, whose bones have rounded limbs and detector blur. Half of the attenuation
is reached only 0.1 mm (lower bone) to 0.2 mm (upper bone) inside.
"""

INSIDE = (0.25, 0.7)
"""Range of depths just inside a bone, in mm from the surface."""

_START, _OUTSIDE, _STEP = 0.45, 1.0, 0.04
"""Search range of the surface, in mm inside and outside the outline, and its step in mm."""

_ALONG, _OUTLINE = 0.5, 0.25
"""Sigma in mm of the smoothing along the surface, for attenuation, and for outlines and gaps."""

_FAR = 30.0
"""Lower bound exp(-30) of Gaussian weights; it avoids slow denormal numbers."""


@dataclass(frozen=True)
class JointSpace:
    """Joint space of B joints; NaN where it cannot be measured.

    Attributes:
        mean: mean signed width over the central part of the joint, (B,) in mm; negative values overlap.
        minimum: minimum signed width there, after smoothing over a few columns, (B,) in mm.
        axis: direction of measurement, (B,) in degrees from the vertical, positive clockwise on the screen (x towards
            y).
    """

    mean: Tensor
    minimum: Tensor
    axis: Tensor


def joint_space_width(masks: Tensor, spacing: float | Tensor, window: float = 1 / 3) -> Tensor:
    """Measure the mean vertical gap between the bones over the central part of their common columns, in mm.

    In each column the area of the mask defines the edge of the bone, so soft masks give sub-pixel precision. The gap is
    negative where the upper bone extends below the lower bone's edge (overlap). It changes by exactly the amount of a
    vertical motion; for a rotated joint use :func:`measure_joint_space`.

    Args:
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
        window: averaged central fraction of the common columns, in (0, 1].

    Returns:
        JSW in mm, (B,); NaN if the bones have no common column.
    """
    edges, common = facing_rows(masks)
    weight = central_columns(common, window).to(masks.dtype)
    gap = edges[:, 0] - edges[:, 1]
    return (gap * weight).sum(-1) / weight.sum(-1) * _pixel(spacing, gap)[:, 0]


def measure_joint_space(
    masks: Tensor, spacing: float | Tensor, window: float = 1 / 3, axis: Tensor | None = None
) -> JointSpace:
    """Measure the mean and minimum gap between the bones over the central part of the joint, along the joint's axis.

    Applies :func:`joint_space_width` to a view rotated by the axis, in which bones that leave the frame at top or
    bottom are continued. Binary masks also give sub-pixel precision, because their steps are averaged: in the mean over
    the central columns, in the minimum over a Gaussian with a sigma of 0.25 mm.

    Args:
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
        window: central fraction of the common columns, in (0, 1].
        axis: axis in degrees, (B,); default: that of :func:`joint_axis`.

    Returns:
        Joint space; NaN if the bones have no common column, or the upper bone does not lie above the lower one.
    """
    axis = joint_axis(masks) if axis is None else axis
    view = turned(masks, axis)
    edges, common = facing_rows(view)
    pixel = _pixel(spacing, view)
    gap = (edges[:, 0] - edges[:, 1]) * pixel
    central = central_columns(common, window)
    even = _smooth(gap[:, None], central, _OUTLINE / pixel)[:, 0]
    return _joint_space(gap, even, central & _in_order(view, axis), axis)


def joint_space_by_alignment(
    layers: Tensor,
    masks: Tensor,
    spacing: float | Tensor,
    window: float = 1 / 3,
    axis: Tensor | None = None,
    rounds: int = 2,
) -> JointSpace:
    """Measure JSW as the displacement that makes the bones touch, an automated version of the LSN annotation method.

    Both bone layers move along the joint's axis by half the displacement each (:func:`bundle.physics.move`; overlapping
    bones move apart) until their surfaces touch. The surfaces are detected in the attenuation of the layers
    (:data:`SURFACE`); the masks only define the search range (1 mm outside to 0.45 mm inside their outlines), so small
    errors of an outline have no effect, gross errors do. The bones touch

    - for the mean: when gap and overlap between the surfaces are equal over the central part of the joint;
    - for the minimum: at their first contact, when no overlap would remain.

    The surface of a bone below the other one is visible only in layers that separate the overlap. The weight-free
    separator (:func:`bundle.physics.separate`) divides it by the distance to the outlines: on overlapping phantoms its
    mean error is 0.24 mm, that of the shipped network 0.03 mm. For gaps of 0.3 mm or more, both have 0.04 mm.

    :data:`SURFACE` is fitted to phantoms. On real radiographs, whose edges may be softer, the true JSW is unknown; the
    width is 0.40 mm less than that of the annotated masks (standard deviation 0.09 mm).

    Args:
        layers: soft tissue, lower and upper bone, (B, 3, H, W) in [0, 1].
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
        window: central fraction of the common columns, in (0, 1].
        axis: axis in degrees, (B,); default: that of :func:`joint_axis`.
        rounds: number of iterations of motion and detection. The second changes the result by 0.01 mm in the mean, a
            third by 0.001 mm.

    Returns:
        Joint space; NaN if the masks have no common column, the upper bone does not lie above the lower one, or a
        surface is not detected in half of the columns.
    """
    axis = joint_axis(masks) if axis is None else axis
    displacement = layers.new_zeros(len(layers))
    for _ in range(rounds):
        motion = _closing(displacement.nan_to_num(), axis.nan_to_num())
        left = _contact(*move(layers, masks, motion, spacing), spacing, window, axis)
        displacement = displacement + left.mean
    return JointSpace(displacement, displacement - left.mean + left.minimum, left.axis)


def joint_axis(masks: Tensor, window: float = AXIS_WINDOW, rounds: int = 4) -> Tensor:
    """Estimate the joint's axis, perpendicular to the midline between the facing surfaces, (B,) in degrees.

    Starting from the line through the bones' centres, the view is rotated until the regression line through the
    midpoints of the gap in the central columns is horizontal. For re-takes of phantoms rotated by up to 2 degrees, the
    repeatability is 0.4 degrees (standard deviation of differences). The midlines of the shafts, of which the frame
    shows only a few mm, reach 0.8 degrees and give JSW a larger SDD.

    Args:
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
        window: central fraction of the common columns for the regression, in (0, 1].
        rounds: number of rotations.

    Returns:
        Degrees from the vertical, positive clockwise (x towards y); NaN if the unrotated bones have no common column,
        or the axis deviates from the vertical by more than :data:`LARGEST_TURN`.
    """
    coarse = F.avg_pool2d(masks, 2) if min(masks.shape[-2:]) >= 128 else masks
    together = facing_rows(coarse)[1].any(-1)
    axis = torch.where(together, _axis_of_centres(coarse), math.nan)
    for _ in range(rounds):
        edges, common = facing_rows(turned(coarse, axis))
        axis = axis + _slope(edges.mean(dim=1), central_columns(common, window).to(masks.dtype))
    return torch.where(axis.abs() <= LARGEST_TURN, axis, math.nan)


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


def _closing(displacement: Tensor, axis: Tensor) -> RigidMotion:
    """Motion of both bones towards each other by (B,) mm in total, along the axis (B,) in degrees."""
    angle = torch.deg2rad(axis).to(displacement)
    down = torch.stack([-angle.sin(), angle.cos()], dim=-1) * displacement[:, None] / 2
    return replace(RigidMotion.still(len(down)).to(down), translation=torch.stack([-down, down], dim=1))


def _contact(layers: Tensor, masks: Tensor, spacing: float | Tensor, window: float, axis: Tensor) -> JointSpace:
    """Measure the remaining gap or overlap between the surfaces of the bones."""
    view = turned(masks, axis)
    edges, common = facing_rows(view)
    central = central_columns(common, window) & _in_order(view, axis)
    pixel = _pixel(spacing, layers)
    lower, upper = _surfaces(layers, edges, central, pixel, axis).unbind(1)
    gap = (lower - upper) * pixel
    seen = central & gap.isfinite()
    enough = 2 * seen.sum(-1, keepdim=True) >= central.sum(-1, keepdim=True)
    return _joint_space(gap, gap, seen & enough, axis)


def _surfaces(layers: Tensor, edges: Tensor, central: Tensor, pixel: Tensor, axis: Tensor) -> Tensor:
    """Detect the rows of the surfaces (B, 2, W) in the rotated view, near the edges of the masks; NaN if not found.

    The second search starts from the result of the first, so that the depth range just inside the bone does not depend
    on the masks.
    """
    depth = torch.arange(-_OUTSIDE, INSIDE[1] + _STEP, _STEP).to(layers)
    inwards = layers.new_tensor([1.0, -1.0])[:, None] / pixel[..., None]
    around = _smooth(edges, central, _OUTLINE / pixel)
    bones = attenuation(layers[:, 1:])
    for _ in range(2):
        places = around[:, :, None] + inwards[:, :, None] * depth[:, None]
        profile = _smooth(_along(bones, places, axis), central, _ALONG / pixel)
        found = around + inwards * _foot(profile, depth)
        offset = torch.where(central[:, None], found - around, math.nan).nanmedian(dim=-1, keepdim=True).values
        around = around + offset.nan_to_num()
    return found


def _along(bones: Tensor, rows: Tensor, axis: Tensor) -> Tensor:
    """Sample each bone (B, 2, H, W) at its rows (B, 2, K, W) of the rotated view, (B, 2, K, W)."""
    height, width = bones.shape[-2:]
    x = torch.arange(width).to(bones) - (width - 1) / 2
    y = (rows - height / 2).nan_to_num().flatten(0, 1)
    return _sampled(bones.flatten(0, 1)[:, None], x.expand_as(y), y, axis.repeat_interleave(2)).reshape(rows.shape)


def _foot(profile: Tensor, depth: Tensor) -> Tensor:
    """Depth in mm, (B, 2, W), at which profiles (B, 2, K, W) rise above :data:`SURFACE` times the level inside."""
    inside = (depth >= INSIDE[0]) & (depth <= INSIDE[1])
    level = SURFACE * profile[:, :, inside].mean(dim=2, keepdim=True)
    before = int((depth < _START).sum())
    below = profile[:, :, :before] < level
    last = torch.where(below, torch.arange(before, device=depth.device)[:, None], -1).amax(dim=2, keepdim=True)
    under, over = (profile.gather(2, (last + step).clamp(min=0)) for step in (0, 1))
    rise = (level - under) / (over - under)
    foot = depth[last.clamp(min=0)] + rise * _STEP
    return torch.where((last >= 0) & (over >= level), foot, math.nan).squeeze(2)


def _smooth(values: Tensor, shown: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian mean of values (B, ..., W) over the shown columns (B, W), with sigma (B, 1) in pixels."""
    columns = torch.arange(values.shape[-1]).to(values)
    apart = ((columns[:, None] - columns) / sigma[..., None]) ** 2 / 2
    kernel = torch.exp(-apart.clamp(max=_FAR)) * shown[:, :, None]
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    return (torch.where(shown[:, None], values.flatten(1, -2), 0.0) @ kernel).reshape(values.shape)


def _pixel(spacing: float | Tensor, like: Tensor) -> Tensor:
    """Pixel size in mm, (B, 1) or (1, 1)."""
    return torch.as_tensor(spacing, dtype=like.dtype, device=like.device).reshape(-1, 1)


def _in_order(view: Tensor, axis: Tensor) -> Tensor:
    """Whether the axis (B,) is defined and the centre of the upper bone lies above that of the lower bone: (B, 1)."""
    lower, upper = _centre(view)[..., 1].unbind(1)
    return ((upper < lower) & axis.isfinite())[:, None]


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


def _joint_space(gap: Tensor, even: Tensor, counted: Tensor, axis: Tensor) -> JointSpace:
    """Mean of the gap and minimum of the smoothed gap (B, W) in mm, over the counted columns."""
    count = counted.sum(-1)
    mean = torch.where(counted, gap, 0.0).sum(-1) / count
    least = torch.where(counted, even, math.inf).amin(-1)
    unknown = torch.where(count > 0, 0.0, math.nan).to(gap)
    return JointSpace(mean, least + unknown, axis.to(gap) + unknown)


def narrowing_grade(width: Tensor, normal: float = MCP.normal_joint_space_mm) -> Tensor:
    """Compute the grade of joint space narrowing, 0 (normal) to 4 (ankylosis or overlap), from JSW in mm.

    The grade is similar to Sharp/van der Heijde, based only on the ratio to the normal width (LSN section 3.5): 0 from
    the normal width, 1 from 3/4, 2 from 1/2, 3 from 1/4 of it, otherwise 4; -1 for NaN. It is not a reader's score,
    which also considers focal narrowing and subluxation.

    Args:
        width: JSW in mm, any shape.
        normal: normal JSW of the joint in mm.
    """
    limits = torch.tensor([0.25, 0.5, 0.75, 1.0], device=width.device, dtype=width.dtype) * normal
    grade = 4 - torch.bucketize(width.contiguous(), limits, right=True)
    return torch.where(width.isnan(), -1, grade)
