"""Joint space width (JSW) measured on masks and on layers, and a grade of narrowing like Sharp/van der Heijde's.

Three ways, all of the mean signed gap between the facing surfaces over the central part of the joint, negative where
the bones overlap:

- :func:`joint_space_width`: of masks, vertically. The fastest; it is the change of JSW that a vertical motion makes,
  and the JSW that phantoms state. For controlling motions.
- :func:`measure_joint_space`: of masks, along the joint's own axis, with the minimum. For stating a joint's JSW.
- :func:`joint_space_by_alignment`: of layers, by moving the bones until they touch, as the annotators of the paper did.
  For stating a joint's JSW where outlines cannot be trusted to a tenth of a millimetre, as hand-drawn ones cannot.
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
"""How widths are defined that truth files and networks that read radiographs state."""

ALONG_AXIS = "gap of the masks along the joint's axis (bundle.measurement.measure_joint_space)"
"""How the widths of masks are defined in evaluations; from vertical ones they differ by 0.07 mm (SD) on real joints."""

ALIGNED = "motion along the joint's axis until the bones touch (bundle.measurement.joint_space_by_alignment)"
"""How the widths of layers are defined."""

AXIS_WINDOW = 2 / 3
"""Central part of the common columns in which the middle between the bones tells the joint's axis."""

LARGEST_TURN = 60.0
"""A joint's axis is at most so many degrees from the vertical: farther, the upper bone is not above the lower one."""

SURFACE = 1 / 6
"""The surface of a bone is where it has this part of the attenuation that it has just inside: the foot of its edge.

There the true layers of phantoms, whose bones have rounded limbs and are blurred as by a detector, have their outlines;
half of the attenuation is reached only 0.1 mm (lower bone) to 0.2 mm (upper) inside.
"""

INSIDE = (0.25, 0.7)
"""What counts as just inside, in mm from the surface."""

_START, _OUTSIDE, _STEP = 0.45, 1.0, 0.04
"""The surface is looked for from so many mm inside the outline to so many outside, in steps of so many mm."""

_ALONG, _OUTLINE = 0.5, 0.25
"""Sigma in mm of the smoothing along the surface, of attenuation and of outlines and the gap between them."""

_FAR = 30.0
"""Gaussian weights do not fall below exp(-30): smaller ones would add nothing but time, as denormal numbers do."""


@dataclass(frozen=True)
class JointSpace:
    """The space between the bones of B joints; NaN where it cannot be measured.

    Attributes:
        mean: mean signed width over the central part of the joint, (B,) in mm; negative is overlap.
        minimum: smallest signed width there, of the width smoothed over a few pixels across, (B,) in mm.
        axis: direction along which it is measured, (B,) in degrees from the vertical, positive turning x towards y
            (clockwise on the screen).
    """

    mean: Tensor
    minimum: Tensor
    axis: Tensor


def joint_space_width(masks: Tensor, spacing: float | Tensor, window: float = 1 / 3) -> Tensor:
    """Mean vertical gap between the bones over the central part of the columns that both have, in mm.

    In each column the edge of a bone is where the area of its mask says it is, so soft masks are measured to a fraction
    of a pixel. The gap is signed: where the upper bone reaches below the lower bone's edge it is negative (overlap).
    It answers to a vertical motion mm by mm; a joint that is turned is measured by :func:`measure_joint_space`.

    Args:
        masks: (B, 2, H, W), lower and upper bone, in [0, 1].
        spacing: mm per pixel, one for all, (B,) or (B, 1).
        window: central part of the common columns that is averaged, in (0, 1].

    Returns:
        (B,) in mm; NaN where the bones have no column in common.
    """
    edges, common = facing_rows(masks)
    weight = central_columns(common, window).to(masks.dtype)
    gap = edges[:, 0] - edges[:, 1]
    return (gap * weight).sum(-1) / weight.sum(-1) * _pixel(spacing, gap)[:, 0]


def measure_joint_space(
    masks: Tensor, spacing: float | Tensor, window: float = 1 / 3, axis: Tensor | None = None
) -> JointSpace:
    """Mean and minimum gap between the bones over the central part of the joint, along the joint's axis.

    The measure of :func:`joint_space_width` in a view turned by the axis, in which bones that leave the frame at top
    or bottom go on. Binary masks are good to a fraction of a pixel, too: their steps are averaged, in the mean over the
    central columns and in the minimum over 0.25 mm (sigma) to either side.

    Args:
        masks: (B, 2, H, W), lower and upper bone, in [0, 1].
        spacing: mm per pixel, one for all, (B,) or (B, 1).
        window: central part of the columns that both bones have, in (0, 1].
        axis: (B,) in degrees; by default that of :func:`joint_axis`.

    Returns:
        NaN where the bones have no column in common, or the upper bone does not lie above the lower one.
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
    """JSW as the displacement that makes the bones touch: the annotation method of LSN, automated.

    Both bone layers are moved along the joint's axis by half the displacement each (:func:`bundle.physics.move`; bones
    that overlap are moved apart) until their surfaces touch. Surfaces are seen in the attenuation of the layers
    (:data:`SURFACE`); the masks say only where to look (up to 1 mm outside their outlines and 0.45 mm inside), so an
    outline drawn a little inside the bone does not count, and one that is grossly wrong does. The bones touch

    - for the mean: when over the central part of the joint as much gap as overlap remains between the surfaces;
    - for the minimum: at their first contact, when no overlap would remain.

    The surface of a bone below the other one is only seen in layers that separate the overlap. Those without weights
    (:func:`bundle.physics.separate`) divide it by the distance to the outlines: on phantoms that overlap they are off
    by 0.24 mm in the mean, those of the shipped network by 0.03 mm. Apart by 0.3 mm or more, both are by 0.04 mm.

    :data:`SURFACE` is fitted to phantoms. On real radiographs, whose edges may be softer, no true JSW is known: there
    the width is 0.40 mm less than that of the annotated masks (standard deviation 0.09 mm).

    Args:
        layers: soft tissue, lower and upper bone, (B, 3, H, W) in [0, 1].
        masks: lower and upper bone, (B, 2, H, W) in [0, 1].
        spacing: mm per pixel, one for all, (B,) or (B, 1).
        window: central part of the columns that both masks have, in (0, 1].
        axis: (B,) in degrees; by default that of :func:`joint_axis`.
        rounds: of moving and looking. The second corrects the first by 0.01 mm in the mean, a third by 0.001 mm.

    Returns:
        NaN where the masks have no column in common, the upper bone does not lie above the lower one, or a surface is
        not seen in half of the columns.
    """
    axis = joint_axis(masks) if axis is None else axis
    displacement = layers.new_zeros(len(layers))
    for _ in range(rounds):
        motion = _closing(displacement.nan_to_num(), axis.nan_to_num())
        left = _contact(*move(layers, masks, motion, spacing), spacing, window, axis)
        displacement = displacement + left.mean
    return JointSpace(displacement, displacement - left.mean + left.minimum, left.axis)


def joint_axis(masks: Tensor, window: float = AXIS_WINDOW, rounds: int = 4) -> Tensor:
    """Direction of the joint's axis: perpendicular to the middle line between the facing surfaces, (B,) in degrees.

    From the line through the bones' centres on, the view is turned until the regression line through the middles of
    the gap in the central columns is level. Over re-takes of phantoms that are turned by up to 2 degrees this repeats
    to 0.4 degrees (standard deviation of differences); the mid-lines of the shafts, of which the frame shows only a few
    mm, to 0.8, and JSW along them has a larger SDD.

    Args:
        masks: (B, 2, H, W), lower and upper bone, in [0, 1].
        window: central part of the common columns that the line is fitted to, in (0, 1].
        rounds: of turning.

    Returns:
        Degrees from the vertical, positive turning x towards y; NaN where the bones have no column in common as they
        lie, or the axis is farther from the vertical than :data:`LARGEST_TURN`.
    """
    coarse = F.avg_pool2d(masks, 2) if min(masks.shape[-2:]) >= 128 else masks
    together = facing_rows(coarse)[1].any(-1)
    axis = torch.where(together, _axis_of_centres(coarse), math.nan)
    for _ in range(rounds):
        edges, common = facing_rows(turned(coarse, axis))
        axis = axis + _slope(edges.mean(dim=1), central_columns(common, window).to(masks.dtype))
    return torch.where(axis.abs() <= LARGEST_TURN, axis, math.nan)


def turned(maps: Tensor, axis: Tensor) -> Tensor:
    """Maps seen so that an axis is vertical: bilinear, about the frame's centre, going on above and below the frame.

    Args:
        maps: (B, C, H, W).
        axis: (B,) in degrees from the vertical, positive turning x towards y.
    """
    height, width = maps.shape[-2:]
    y, x = (torch.arange(side).to(maps) - (side - 1) / 2 for side in (height, width))
    return _sampled(maps, x.expand(height, width), y[:, None].expand(height, width), axis)


def _sampled(maps: Tensor, x: Tensor, y: Tensor, axis: Tensor) -> Tensor:
    """Maps (B, C, H, W) at places (..., h, w) of the turned view, in pixels from the centre."""
    height, width = maps.shape[-2:]
    angle = torch.deg2rad(axis.nan_to_num()).to(maps).reshape(-1, 1, 1)
    cosine, sine = angle.cos() * 2, angle.sin() * 2
    across = (cosine * x - sine * y) / width
    down = ((sine * x + cosine * y) / height).clamp(1 / height - 1, 1 - 1 / height)
    grid = torch.stack([across, down], dim=-1)
    return sample(maps, grid, padding="zeros")


def _closing(displacement: Tensor, axis: Tensor) -> RigidMotion:
    """The motion of both bones towards each other, by (B,) mm in all, along the axis (B,) in degrees."""
    angle = torch.deg2rad(axis).to(displacement)
    down = torch.stack([-angle.sin(), angle.cos()], dim=-1) * displacement[:, None] / 2
    return replace(RigidMotion.still(len(down)).to(down), translation=torch.stack([-down, down], dim=1))


def _contact(layers: Tensor, masks: Tensor, spacing: float | Tensor, window: float, axis: Tensor) -> JointSpace:
    """What gap and overlap is left between the surfaces of the bones."""
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
    """Rows of the surfaces (B, 2, W) in the turned view, looked for around the edges of the masks; NaN where none is.

    They are looked for twice, the second time around where they have been found, so that what is just inside does not
    depend on the masks.
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
    """Each bone (B, 2, H, W) at its rows (B, 2, K, W) of the turned view, (B, 2, K, W)."""
    height, width = bones.shape[-2:]
    x = torch.arange(width).to(bones) - (width - 1) / 2
    y = (rows - height / 2).nan_to_num().flatten(0, 1)
    return _sampled(bones.flatten(0, 1)[:, None], x.expand_as(y), y, axis.repeat_interleave(2)).reshape(rows.shape)


def _foot(profile: Tensor, depth: Tensor) -> Tensor:
    """Depth (K,) in mm at which profiles (B, 2, K, W) rise above :data:`SURFACE` of what is inside: (B, 2, W)."""
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
    """Gaussian mean over the shown columns (B, W) of values (B, ..., W), of sigma (B, 1) in pixels."""
    columns = torch.arange(values.shape[-1]).to(values)
    apart = ((columns[:, None] - columns) / sigma[..., None]) ** 2 / 2
    kernel = torch.exp(-apart.clamp(max=_FAR)) * shown[:, :, None]
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    return (torch.where(shown[:, None], values.flatten(1, -2), 0.0) @ kernel).reshape(values.shape)


def _pixel(spacing: float | Tensor, like: Tensor) -> Tensor:
    """Mm per pixel, (B, 1) or (1, 1)."""
    return torch.as_tensor(spacing, dtype=like.dtype, device=like.device).reshape(-1, 1)


def _in_order(view: Tensor, axis: Tensor) -> Tensor:
    """Whether there is an axis (B,), and along it the upper bone's middle lies above the lower one's: (B, 1)."""
    lower, upper = _centre(view)[..., 1].unbind(1)
    return ((upper < lower) & axis.isfinite())[:, None]


def _centre(masks: Tensor) -> Tensor:
    """Centres of the bones in pixels from the frame's corner, (B, 2, (x, y)); NaN of an empty mask."""
    area = masks.sum(dim=(-2, -1))
    ways = [(masks.sum(dim=dim) * torch.arange(masks.shape[-3 - dim]).to(masks)).sum(-1) for dim in (-2, -1)]
    return torch.stack(ways, dim=-1) / area[..., None]


def _axis_of_centres(masks: Tensor) -> Tensor:
    """Axis through the centres of the bones, (B,) in degrees."""
    lower, upper = _centre(masks).unbind(1)
    x, y = (lower - upper).unbind(-1)
    return torch.rad2deg(torch.atan2(-x, y))


def _slope(rows: Tensor, weight: Tensor) -> Tensor:
    """Turn of the regression line through rows (B, W) of weighted columns, (B,) in degrees."""
    x = torch.arange(rows.shape[-1]).to(rows)
    x = x - (x * weight).sum(-1, keepdim=True) / weight.sum(-1, keepdim=True)
    return torch.rad2deg(torch.atan2((x * rows * weight).sum(-1), (x * x * weight).sum(-1)))


def _joint_space(gap: Tensor, even: Tensor, counted: Tensor, axis: Tensor) -> JointSpace:
    """Mean of the gap and minimum of the smoothed gap (B, W) in mm, over the columns that count."""
    count = counted.sum(-1)
    mean = torch.where(counted, gap, 0.0).sum(-1) / count
    least = torch.where(counted, even, math.inf).amin(-1)
    unknown = torch.where(count > 0, 0.0, math.nan).to(gap)
    return JointSpace(mean, least + unknown, axis.to(gap) + unknown)


def narrowing_grade(width: Tensor, normal: float = MCP.normal_joint_space_mm) -> Tensor:
    """Grade of joint space narrowing, 0 (normal) to 4 (ankylosis or overlap), from JSW in mm.

    A grade like Sharp/van der Heijde's, made from the ratio to the normal width alone (LSN section 3.5): 0 from the
    normal width on, 1 from 3/4 of it, 2 from 1/2, 3 from 1/4, otherwise 4; -1 where the width is NaN. It is not a
    reader's score, which also weighs focal narrowing and subluxation.

    Args:
        width: JSW in mm, any shape.
        normal: normal JSW of the joint in mm.
    """
    limits = torch.tensor([0.25, 0.5, 0.75, 1.0], device=width.device, dtype=width.dtype) * normal
    grade = 4 - torch.bucketize(width.contiguous(), limits, right=True)
    return torch.where(width.isnan(), -1, grade)
