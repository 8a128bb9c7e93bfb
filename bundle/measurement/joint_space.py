"""Joint space between the joint surfaces, its doubt, and a grade of narrowing similar to Sharp/van der Heijde.

The joint space width is the distance along the joint's axis from the articular floor of the upper bone to the contour
of the lower bone's head (:mod:`bundle.measurement.surfaces`), over the central third of the joint. It is not the gap of
the masks' outlines (:func:`bundle.measurement.outline_gap`), which ends at the rim of the base and is 1 to 1.5 mm less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from bundle.joint import MCP
from bundle.measurement.curves import blurred_across
from bundle.measurement.surfaces import JointSurfaces, find_surfaces
from bundle.physics import RigidMotion
from torch import Tensor

DEFINITION = "distance of the joint surfaces along the joint's axis (bundle.measurement.measure_joint_space)"
"""Definition of the joint space width in results."""

LARGEST_DOUBT = 1.4
"""Measurements with more doubt are refused: 8 % of the radiographs of the public set that the limit was chosen on."""

NO_AXIS = "the masks show no two bones facing each other"
OUTSIDE = "the joint surfaces leave the frame"

_OFFSET = 9.0
"""Offset of the doubt, which makes that of a clear joint about -1."""

_CLEAR, _FADING, _NARROW = 0.85, 0.35, 0.6
"""Contrasts of the floor between which it is neither the rim nor fading, and the width in mm below which the rim is
easily taken for the floor."""

_SMALLEST_SD = 0.05
"""Standard deviation in mm of the best measurements: of a joint over its visits."""

_SMOOTHING = 0.25
"""Sigma in mm across the joint of the profile whose minimum is taken."""


@dataclass(frozen=True)
class JointSpace:
    """Joint space of B joints; lengths in mm, NaN where the measurement is refused.

    Attributes:
        mean: mean signed width over the central third of the joint, (B,); negative if the surfaces overlap.
        minimum: minimum signed width there, after smoothing over a few columns, (B,).
        sd: expected standard deviation of the mean over radiographs of one joint, (B,).
        axis: direction of measurement, (B,) in degrees from the vertical, positive clockwise (x towards y).
        doubt: doubt of the measurement, (B,); above :data:`LARGEST_DOUBT` it is refused.
        refused: reason for the refusal of each joint, or "".
        surfaces: the joint surfaces, also of refused joints.
    """

    mean: Tensor
    minimum: Tensor
    sd: Tensor
    axis: Tensor
    doubt: Tensor
    refused: tuple[str, ...]
    surfaces: JointSurfaces = field(repr=False)


def measure_joint_space(layers: Tensor, masks: Tensor, spacing: float | Tensor) -> JointSpace:
    """Measure the joint space width between the joint surfaces.

    Args:
        layers: soft tissue, lower and upper bone, (B, 3, H, W) in [0, 1].
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1]; they guide the search.
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
    """
    surfaces = find_surfaces(layers, masks, spacing)
    mean, minimum = widths(surfaces)
    terms = _doubts(surfaces, mean)
    doubt = sum(terms.values(), start=torch.full_like(mean, _OFFSET))
    size = torch.as_tensor(spacing).reshape(-1, 1) * torch.tensor([layers.shape[-1], layers.shape[-2]])
    refused = tuple(_reason(surfaces, terms, doubt, size.expand(len(mean), 2), row) for row in range(len(mean)))
    unknown = torch.tensor([math.nan if reason else 0.0 for reason in refused])
    sd = _SMALLEST_SD * torch.exp(0.7 * (doubt + 1).clamp(min=0.0))
    return JointSpace(mean + unknown, minimum + unknown, sd + unknown, surfaces.axis, doubt, refused, surfaces)


def widths(surfaces: JointSurfaces) -> tuple[Tensor, Tensor]:
    """Return mean and minimum of the joint space over the window, (B,) each in mm."""
    weight = surfaces.window.to(surfaces.profile)
    mean = (surfaces.profile * weight).sum(-1) / weight.sum(-1)
    smooth = blurred_across(surfaces.profile[:, None], _SMOOTHING)[:, 0]
    return mean, torch.where(surfaces.window, smooth, math.inf).amin(-1) + 0.0 * mean


def _doubts(surfaces: JointSurfaces, mean: Tensor) -> dict[str, Tensor]:
    """Return the terms of the doubt by the reason that they stand for.

    The weights were chosen on 451 public radiographs, so that the doubt ranks deviations from a joint's other visits.
    """
    scores = surfaces.scores
    contrast = scores["floor_contrast"]
    return {
        "the contour of the head is unclear": -8.0 * scores["head"],
        "the articular floor is unclear": -2.0 * scores["floor"] - 3.0 * scores["floor_margin"],
        "the rim of the base may be taken for the articular floor": 10.0 * (contrast - _CLEAR).clamp(min=0.0),
        "the articular floor fades": 7.0 * (_FADING - contrast).clamp(min=0.0),
        "the joint space is narrow and the articular floor unclear": 3.0 * (_NARROW - mean).clamp(min=0.0),
    }


_USUAL = (-7.5, -2.4, 0.0, 0.0, 0.0)
"""Terms of the doubt of a clear joint, in the order of :func:`_doubts`."""


def _reason(surfaces: JointSurfaces, terms: dict[str, Tensor], doubt: Tensor, size: Tensor, row: int) -> str:
    """Return why the measurement of one joint is refused, or ""."""
    if not surfaces.axis[row].isfinite():
        return NO_AXIS
    if not _inside(surfaces, size[row], row):
        return OUTSIDE
    if doubt[row] <= LARGEST_DOUBT:
        return ""
    excess = {reason: float(term[row]) - usual for (reason, term), usual in zip(terms.items(), _USUAL, strict=True)}
    return max(excess, key=lambda reason: excess[reason])


def _inside(surfaces: JointSurfaces, size: Tensor, row: int) -> bool:
    """Whether the measured parts of the surfaces of a joint lie in a frame of size (width, height) in mm."""
    window = surfaces.window[row]
    return all(bool((points[row, window].abs() <= size / 2).all()) for points in surfaces.points())


def closing_motion(space: JointSpace) -> RigidMotion:
    """Return the motion of both bones along the joint's axis that brings the joint surfaces into contact.

    This is the alignment by which the annotators of LSN (section 3.5) measure: the displacement at contact is the joint
    space width, so both agree by definition. Each bone moves by half of it; overlapping surfaces move apart. Refused
    joints do not move.
    """
    mean = space.mean.nan_to_num()
    angle = torch.deg2rad(space.axis.nan_to_num()).to(mean)
    down = torch.stack([-angle.sin(), angle.cos()], dim=-1) * mean[:, None] / 2
    return replace(RigidMotion.still(len(mean)).to(down), translation=torch.stack([-down, down], dim=1))


def narrowing_grade(width: Tensor, normal: float | Tensor = MCP.normal_joint_space_mm) -> Tensor:
    """Compute the grade of joint space narrowing, 0 (normal) to 4 (ankylosis or overlap), from the width in mm.

    The grade is similar to Sharp/van der Heijde, based only on the ratio to the normal width (LSN section 3.5): 0 from
    the normal width, 1 from 3/4, 2 from 1/2, 3 from 1/4 of it, otherwise 4; -1 for NaN. It is not a reader's score,
    which also considers focal narrowing and subluxation.

    Args:
        width: joint space width in mm, any shape.
        normal: normal joint space width in mm, scalar or the shape of ``width``.
    """
    ratio = width / torch.as_tensor(normal, dtype=width.dtype, device=width.device)
    limits = torch.tensor([0.25, 0.5, 0.75, 1.0], device=width.device, dtype=width.dtype)
    grade = 4 - torch.bucketize(ratio.contiguous(), limits, right=True)
    return torch.where(width.isnan(), -1, grade)
