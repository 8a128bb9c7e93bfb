"""Joint surfaces on separated layers: the contour of the lower bone's head and the articular floor of the upper bone.

In a posteroanterior radiograph the outline of the phalanx base is its palmar and dorsal rim, projected 1 to 1.5 mm
beyond the articular floor. Readers measure from the joint side of the floor's bright subchondral plate. Both surfaces
are detected in the attenuation of the separated bones, so that overlap does not hide them; the masks only guide the
search.

1. The view: columns along the joint's axis, :data:`bundle.measurement.curves.ACROSS` mm apart, around the mean of both
   bones' middles, and around the parabola fitted to the head's outline.
2. The head: the parabola with the steepest rise of the lower bone; its contour is the quarter level of the edge.
3. The floor: the parabola with the steepest fall of the upper bone times the brightness of the plate above it, in a
   view that is straightened around the head.
4. Both are traced by dynamic programming and smoothed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from bundle.measurement.curves import (
    ALONG,
    Found,
    Parabolas,
    blurred_across,
    columns,
    depths,
    mean_along,
    refined,
    slope_along,
    straightened,
)
from bundle.measurement.pose import JointPose, joint_pose, rotated
from bundle.physics import RigidMotion, attenuation, sample
from torch import Tensor

WINDOW = 1 / 3
"""Fraction of the common columns, around the middle of the joint, over which the joint space is measured."""

ABOVE, BELOW = -7.0, 2.5
"""Range of the view along the axis, in mm from the parabola fitted to the head's outline."""

HEAD = Parabolas(-1.3, 1.3, (-0.45, -0.3, -0.15, 0.0, 0.15, 0.3, 0.45), (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6))
"""Search range of the head's contour around the parabola fitted to its outline."""

_TILTS = (-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8)
FLOOR = Parabolas(-4.3, 0.4, _TILTS, (-1.2, -0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9, 1.2), tie=0.85)
"""Search range of the floor around the head's contour; of two peaks of similar height, the upper one is the floor and
the lower one the rim."""

PLATE, ABOVE_PLATE = (-0.7, -0.15), (-1.8, -1.1)
"""Depths of the subchondral plate and of the cancellous bone above it, in mm from the floor."""

_AROUND = (-5.0, 1.2)
"""Range of the view that is straightened around the head, in mm."""

_REACH, _MARGIN = 0.45, 0.42
"""Range in which an edge is traced on each side of its parabola, and margin sampled beyond it for the slope, in mm."""

_BESIDE = (0.18, 0.6)
"""Range of distances from a curve over which the attenuation on both sides is averaged for the contrast, in mm."""

_STIFFNESS = 600.0
"""Weight of the third differences of the smooth surfaces."""

_EDGE = (-0.8, 1.0)
_OUTSIDE, _INSIDE, _LEVEL = (-0.7, -0.4), (0.35, 0.8), 0.25
"""Profile across the head's edge: its range, the ranges outside and inside in mm, and the level of the contour.

On phantoms the steepest rise lies 0.10 mm inside the true contour, the quarter level within 0.02 mm of it."""


@dataclass(frozen=True)
class JointSurfaces:
    """Surfaces of B joints in K columns along the joint's axis; lengths in mm.

    Attributes:
        axis: direction of the columns, (B,) in degrees from the vertical, positive clockwise (x towards y); NaN if the
            masks show no joint.
        middle: position of the columns' middle across the axis, (B,) from the frame's centre.
        head: contour of the lower bone's head along the axis, (B, K) from the frame's centre, positive downwards.
        floor: articular floor of the upper bone, likewise.
        window: columns over which the joint space is measured, (B, K).
        scores: measures of confidence, (B,) each: ``head``, ``floor``, relative edge strengths of the best parabolas;
            ``head_margin``, ``floor_margin``, differences to the second-best ones; ``head_roughness``,
            ``floor_roughness``, deviations of the traced edges from the smooth curves in mm; ``head_contrast``,
            ``floor_contrast``, differences of attenuation across the edges relative to the attenuation of the plate.
    """

    axis: Tensor
    middle: Tensor
    head: Tensor
    floor: Tensor
    window: Tensor
    scores: dict[str, Tensor]

    @property
    def profile(self) -> Tensor:
        """Joint space along the axis in each column, (B, K) in mm."""
        return self.head - self.floor

    def points(self) -> tuple[Tensor, Tensor]:
        """Return the points (x, y) of head and floor, (B, K, 2) each, in mm from the frame's centre."""
        return self._points(self.head), self._points(self.floor)

    def _points(self, curve: Tensor) -> Tensor:
        return torch.stack(rotated(self.middle[:, None] + columns().to(curve), curve, self.axis[:, None]), dim=-1)

    def moved(self, motion: RigidMotion) -> JointSurfaces:
        """Return the surfaces after a motion: the head moves with the lower bone, the floor with the upper bone.

        The columns run along the axis rotated by the mean rotation of both bones, around the mean of the moved middles
        of both surfaces; between them the surfaces are interpolated linearly, beyond them continued. The window keeps
        its extent, and the scores stay those of the measurement. A shift along the axis changes the profile by
        exactly its length.

        Args:
            motion: motion of B joints.
        """
        axis = self.axis + motion.rotation.mean(dim=1)
        points = torch.stack([_displaced(curve, motion, bone) for bone, curve in enumerate(self.points())], dim=1)
        across, along = rotated(points[..., 0], points[..., 1], -axis[:, None, None])
        middle = across[:, :, across.shape[-1] // 2].mean(dim=1)
        places = (middle[:, None] + columns().to(middle))[:, None].expand_as(across)
        head, floor = _interpolated(across, along, places).unbind(1)
        return replace(self, axis=axis, middle=middle, head=head, floor=floor)


def _displaced(points: Tensor, motion: RigidMotion, bone: int) -> Tensor:
    """Points (B, K, 2) of a bone, 0 for the lower and 1 for the upper one, after its motion."""
    center = motion.center[:, bone, None]
    x, y = (points - center).unbind(-1)
    return (
        torch.stack(rotated(x, y, motion.rotation[:, bone, None]), dim=-1) + center + motion.translation[:, bone, None]
    )


def _interpolated(x: Tensor, y: Tensor, places: Tensor) -> Tensor:
    """Interpolate curves y(x), (..., K) each with ascending x, linearly at places (..., K), continued past the ends."""
    after = torch.searchsorted(x.contiguous(), places.contiguous()).clamp(1, x.shape[-1] - 1)
    left, right, low, high = (curve.gather(-1, after + step) for curve in (x, y) for step in (-1, 0))
    return low + (high - low) * (places - left) / (right - left)


def find_surfaces(layers: Tensor, masks: Tensor, spacing: float | Tensor) -> JointSurfaces:
    """Find both joint surfaces in separated layers.

    Args:
        layers: soft tissue, lower and upper bone, (B, 3, H, W) in [0, 1].
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1]; they guide the search.
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
    """
    pose = joint_pose(masks.to(layers), spacing)
    window = columns().to(layers).abs() <= WINDOW / 2 * pose.extent[:, None]
    rows = depths(ABOVE, BELOW)
    lower, upper = _view(layers, pose, rows).unbind(1)
    head, head_scores = _head(lower, pose.weight)
    offsets = depths(*_AROUND)
    around = straightened(upper, ABOVE, head, offsets)
    floor, floor_scores = _floor(around, pose.weight)
    edge = _quarter_level(lower, head, window)
    unknown = torch.where(pose.axis.isfinite(), 0.0, math.nan)[:, None]
    head_mm, floor_mm = pose.outline + head + edge[:, None] + unknown, pose.outline + head + floor + unknown
    return JointSurfaces(pose.axis, pose.middle, head_mm, floor_mm, window, head_scores | floor_scores)


def _view(layers: Tensor, pose: JointPose, rows: Tensor) -> Tensor:
    """Sample the attenuation of both bones along the axis around the outline of the head, (B, 2, N, K)."""
    height, width = layers.shape[-2:]
    y = pose.outline[:, None] + rows.to(layers)[:, None]
    x = (pose.middle[:, None] + columns().to(layers))[:, None].expand_as(y)
    right, down = rotated(x, y, pose.axis.nan_to_num()[:, None, None])
    half = pose.pixel[..., None] / 2
    grid = torch.stack([right / (half * width), down / (half * height)], dim=-1)
    return sample(attenuation(layers[:, 1:]), grid, "bicubic")


def _head(lower: Tensor, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Find the steepest rise of the lower bone, (B, K) in mm from its outline, with scores."""
    rise = slope_along(blurred_across(lower, 0.25), 0.12).clamp(min=0.0)
    near = depths(ABOVE, BELOW).abs() <= HEAD.highest + 0.3
    found = HEAD.best(rise * near[:, None].to(rise), ABOVE, weight)
    curve, roughness = _traced_around(lower, ABOVE, found.curve, weight, 1)
    contrast = _contrast(lower, ABOVE, curve, weight)
    return curve, _scores("head", found, roughness, contrast)


def _floor(upper: Tensor, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Find the floor in the upper bone straightened around the head, (B, K) in mm from the head, with scores."""
    smooth = blurred_across(upper, 0.25)
    fall = (-slope_along(smooth, 0.12)).clamp(min=0.0)
    plate = (mean_along(smooth, *PLATE) - mean_along(smooth, *ABOVE_PLATE) / 2).clamp(min=0.0)
    offsets = depths(*_AROUND)
    near = (offsets >= FLOOR.lowest - 0.2) & (offsets <= FLOOR.highest + 0.1)
    found = FLOOR.best(fall * plate * near[:, None].to(fall), _AROUND[0], weight)
    curve, roughness = _traced_around(upper, _AROUND[0], found.curve, weight, -1)
    contrast = -_contrast(upper, _AROUND[0], curve, weight)
    return curve, _scores("floor", found, roughness, contrast)


def _scores(name: str, found: Found, roughness: Tensor, contrast: Tensor) -> dict[str, Tensor]:
    """Scores of one surface; see :class:`JointSurfaces`."""
    values = {name: found.score, "margin": found.margin, "roughness": roughness, "contrast": contrast}
    return {key if key == name else f"{name}_{key}": value for key, value in values.items()}


def _traced_around(view: Tensor, start: float, curve: Tensor, weight: Tensor, sign: int) -> tuple[Tensor, Tensor]:
    """Refine a curve on the slope (``sign`` 1: rise, -1: fall) of the view around it; also its roughness."""
    near = straightened(blurred_across(view, 0.2), start, curve, depths(-_REACH - _MARGIN, _REACH + _MARGIN))
    beyond = round(_MARGIN / ALONG)
    edges = (sign * slope_along(near, 0.08)).clamp(min=0.0)[:, beyond:-beyond]
    offset, roughness = refined(edges, -_REACH, weight, _STIFFNESS)
    return curve + offset, roughness


def _contrast(view: Tensor, start: float, curve: Tensor, weight: Tensor) -> Tensor:
    """Attenuation just below a curve minus that just above it, relative to the larger of them, (B,) from -1 to 1."""
    above, below = (
        straightened(view, start, curve, depths(*sorted(side))).mean(1)
        for side in ((-_BESIDE[1], -_BESIDE[0]), _BESIDE)
    )
    share = (below - above) / above.abs().maximum(below.abs()).clamp(min=1e-3)
    return (share * weight).sum(-1) / weight.sum(-1)


def _quarter_level(lower: Tensor, head: Tensor, window: Tensor) -> Tensor:
    """Offset (B,) in mm from the steepest rise of the head to its contour, from the mean profile in the window."""
    offsets = depths(*_EDGE)
    weight = window.to(lower)
    profile = (straightened(lower, ABOVE, head, offsets) * weight[:, None]).sum(-1) / weight.sum(-1, keepdim=True)
    outside, inside = (profile[:, (offsets > a) & (offsets < b)].mean(-1, keepdim=True) for a, b in (_OUTSIDE, _INSIDE))
    level = outside + _LEVEL * (inside - outside)
    before = int((offsets < 0.3).sum())
    index = torch.arange(before)
    last = torch.where(profile[:, :before] < level, index, -1).amax(-1, keepdim=True).clamp(min=0)
    under, over = profile.gather(1, last), profile.gather(1, last + 1)
    part = ((level - under) / (over - under).clamp(min=1e-6)).clamp(0, 1)
    return (offsets[last] + part * (offsets[1] - offsets[0]))[:, 0]
