"""True joint surfaces and joint space width of a phantom, from its anatomy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from bundle.phantoms.anatomy import (
    WINDOW,
    Pose,
    crossing,
    floor_rise,
    lower_depth,
    middle_columns,
    place,
    upper_base,
    upper_depth,
)
from bundle.phantoms.parameters import Array, PhantomParameters

AXIS_WINDOW = 2 / 3
"""Fraction of the common columns, around the middle of the joint, that determines the axis."""

_EXACT = 0.005
_ROUNDS = 4
"""Rotations of the view until the midline is horizontal."""


@dataclass(frozen=True)
class TrueSurfaces:
    """Joint surfaces of a phantom in columns along an axis, in mm from the frame's centre.

    Attributes:
        x: positions of the columns across the axis, (K,).
        head: contour of the lower bone's head along the axis, (K,), positive downwards.
        floor: articular floor of the upper bone along the axis, (K,).
    """

    x: Array
    head: Array
    floor: Array

    @property
    def width(self) -> float:
        """Mean distance of the surfaces in mm."""
        return float(np.mean(self.head - self.floor))


def true_axis(parameters: PhantomParameters) -> float:
    """Return the direction across the midline between the facing outlines, in degrees from the vertical, clockwise.

    The midline is the regression line through the midpoints of the outlines' gap around the middle of the joint, as in
    :func:`bundle.measurement.joint_axis`.
    """
    poses, axis = place(parameters), 0.0
    for _ in range(_ROUNDS):
        lower, upper = (_View(parameters, poses, axis, part) for part in ("lower", "upper"))
        half = parameters.half_mm
        x = middle_columns((lower, upper), half, AXIS_WINDOW)
        midline = (crossing(lower, x, half, 1) + crossing(upper, x, half, -1)) / 2
        axis += math.degrees(math.atan(np.polyfit(x, midline, 1)[0]))
    return axis


def true_surfaces(parameters: PhantomParameters, axis: float | None = None, x: Array | None = None) -> TrueSurfaces:
    """Compute the joint surfaces of a phantom.

    Args:
        parameters: parameters of the phantom.
        axis: direction of the columns in degrees; default: :func:`true_axis`.
        x: positions of the columns, (K,) in mm; default: 64 around the middle of the joint,
            over a third of the common columns.
    """
    axis = true_axis(parameters) if axis is None else axis
    poses, half = place(parameters), parameters.half_mm
    lower, upper, floor = (_View(parameters, poses, axis, part) for part in ("lower", "upper", "floor"))
    x = middle_columns((lower, upper), half, WINDOW) if x is None else x
    return TrueSurfaces(x, crossing(lower, x, half, 1), crossing(floor, x, half, -1))


def true_joint_space(parameters: PhantomParameters) -> float:
    """Compute the true joint space width of a phantom in mm, as :func:`bundle.measurement.measure_joint_space` does."""
    return true_surfaces(parameters).width


def with_joint_space(parameters: PhantomParameters, width: float) -> PhantomParameters:
    """Return the phantom with another joint space width, exact to 0.01 mm: its bones move along their axis.

    Args:
        parameters: parameters of the phantom.
        width: true joint space width in mm.

    Raises:
        InputError: the gap between the outlines that this width needs is out of range.
    """
    for _ in range(_ROUNDS):
        change = width - true_joint_space(parameters)
        parameters = replace(parameters, outline_gap_mm=parameters.outline_gap_mm + change)
        if abs(change) < _EXACT:
            break
    return parameters


@dataclass(frozen=True)
class _View:
    """Depth inside a part, ``lower``, ``upper`` or the upper bone above its ``floor``, in a view rotated by an axis."""

    parameters: PhantomParameters
    poses: tuple[Pose, Pose]
    axis: float
    part: str

    def __call__(self, x: Array, y: Array) -> Array:
        cosine, sine = math.cos(math.radians(self.axis)), math.sin(math.radians(self.axis))
        right, down = cosine * x - sine * y, sine * x + cosine * y
        upper, lower = self.poses
        right = -right if self.parameters.side == "left" else right
        if self.part == "lower":
            return lower_depth(self.parameters.lower, *lower.local(right, down))
        return self._upper(*upper.local(right, down))

    def _upper(self, u: Array, v: Array) -> Array:
        bone = self.parameters.upper
        inside = upper_depth(bone, u, v)
        return inside if self.part == "upper" else np.minimum(inside, upper_base(bone, u, v) - floor_rise(bone, u))
