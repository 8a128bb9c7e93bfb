"""Poses and outlines of a phantom's bones; an outline is the zero level of the depth inside the bone, in mm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from bundle.phantoms.parameters import Array, LowerBone, PhantomParameters, UpperBone, expect
from scipy.interpolate import PchipInterpolator

WINDOW = 1 / 3
"""Central fraction of the common columns over which gap and joint space are averaged."""

Shape = Callable[[Array, Array], Array]


class Pose(NamedTuple):
    """Pose of a bone: origin in mm from the frame's centre, and rotation of its axis in degrees."""

    x: float
    y: float
    angle: float

    def local(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Convert positions in the frame to bone coordinates u (across) and v (along)."""
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        right, down = x - self.x, y - self.y
        return cosine * right + sine * down, cosine * down - sine * right


@lru_cache(maxsize=16)
def place(parameters: PhantomParameters) -> tuple[Pose, Pose]:
    """Find the poses of upper and lower bone with the gap ``outline_gap_mm``; the joint's centre stays in place."""
    posture, gap = parameters.posture, parameters.outline_gap_mm
    for _ in range(4):
        upper = Pose(posture.x, posture.y - gap / 2, posture.tilt)
        lower = Pose(posture.x + posture.shift, posture.y + gap / 2, posture.tilt + posture.bend)
        gap += parameters.outline_gap_mm - gap_between(parameters, upper, lower)
    return upper, lower


def gap_between(parameters: PhantomParameters, upper: Pose, lower: Pose) -> float:
    """Gap between the outlines of two posed bones over the central third of their common columns, in mm."""
    bones: list[Shape] = [
        lambda x, y: upper_depth(parameters.upper, *upper.local(x, y)),
        lambda x, y: lower_depth(parameters.lower, *lower.local(x, y)),
    ]
    half = parameters.half_mm
    middles = central_columns(bones, half, WINDOW)
    return float(np.mean(crossing(bones[1], middles, half, 1) - crossing(bones[0], middles, half, -1)))


def central_columns(bones: Sequence[Shape], half: float, window: float) -> Array:
    """Positions of 64 columns in the central fraction ``window`` of those that all bones share, in mm."""
    left, right = _common([_columns(bone, half) for bone in bones])
    return _spread((left + right) / 2, (right - left) * window)


def middle_columns(bones: Sequence[Shape], half: float, window: float) -> Array:
    """Positions of 64 columns around the mean of the bones' middles, in mm; ``window`` as in central_columns."""
    spans = [_columns(bone, half) for bone in bones]
    left, right = _common(spans)
    return _spread(float(np.mean(spans)), (right - left) * window)


def _common(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Ends of the columns that all bones share."""
    left, right = max(span[0] for span in spans), min(span[1] for span in spans)
    expect(right > left, "posture and shift", "such that the bones stand one above the other", "bones side by side")
    return left, right


def _spread(middle: float, width: float) -> Array:
    """Positions of 64 columns, evenly spread."""
    columns = np.linspace(middle - width / 2, middle + width / 2, 65)
    return (columns[1:] + columns[:-1]) / 2


def _columns(bone: Shape, half: float) -> tuple[float, float]:
    """Leftmost and rightmost x of the bone in a frame of +-``half`` mm."""
    columns, rows = np.linspace(-half, half, 161), np.linspace(-half, half, 81)
    deepest = bone(*np.meshgrid(columns, rows)).max(axis=0)
    shown = np.flatnonzero(deepest > 0)
    expect(shown.size > 0, "posture, size and spacing", "such that the frame shows both bones", "a bone outside")
    left = _zero(columns, deepest, shown[0] - 1) if shown[0] > 0 else -half
    right = _zero(columns, deepest, shown[-1]) if shown[-1] < columns.size - 1 else half
    return left, right


def _zero(places: Array, values: Array, index: int) -> float:
    """Zero between ``index`` and the next position, by linear interpolation."""
    first, second = values[index], values[index + 1]
    return float(places[index] + (places[index + 1] - places[index]) * first / (first - second))


def crossing(bone: Shape, columns: Array, half: float, direction: int) -> Array:
    """First crossing of the outline in each column, downwards (1) or upwards (-1), in mm; by bisection."""
    rows = direction * np.linspace(-half, half, 81)
    inside = bone(*np.meshgrid(columns, rows)) > 0
    entry = inside.argmax(axis=0).clip(min=1)
    outer, inner = rows[entry - 1], rows[entry]
    for _ in range(14):
        middle = (outer + inner) / 2
        hit = bone(columns, middle) > 0
        outer, inner = np.where(hit, outer, middle), np.where(hit, middle, inner)
    return (outer + inner) / 2


def upper_depth(bone: UpperBone, u: Array, v: Array) -> Array:
    """Compute the depth inside the phalanx in mm, negative outside; exact at the outline."""
    return _smooth_minimum(upper_sides(bone, u, v), upper_base(bone, u, v), bone.rounding)


def upper_sides(bone: UpperBone, u: Array, v: Array) -> Array:
    """Compute the depth inside the sides of the phalanx in mm, without its base."""
    left = _side(phalanx_profile(bone, -1), -u, -v)
    return np.minimum(left, _side(phalanx_profile(bone, 1), u, -v))


def upper_base(bone: UpperBone, u: Array, v: Array) -> Array:
    """Compute the depth above the rim of the base in mm: a concavity with lips at both ends."""
    reach = bone.base * bone.width / 2
    rim = bone.concavity * ((u / reach) ** 2 - 1.0).clip(max=0.6) + bone.base_slope * u
    slope = np.where(np.abs(u) < 1.26 * reach, 2.0 * bone.concavity * u / reach**2, 0.0) + bone.base_slope
    return (rim + _lips(bone, u, reach) + bone.rim_shift - v) / np.hypot(1.0, slope)


def _lips(bone: UpperBone, u: Array, reach: float) -> Array:
    """Osteophytes: how far both ends of the rim extend beyond it, in mm."""
    return max(bone.osteophyte, 0.0) * np.exp(-(((np.abs(u) - reach) / 0.7) ** 2))


def floor_rise(bone: UpperBone, u: Array) -> Array:
    """Compute the height of the articular floor above the rim in mm: an arch, tilted, uneven, and eroded."""
    t = (u - bone.floor_shift) / (bone.floor_width * bone.width / 2)
    arch = (1.0 - np.abs(t) ** bone.floor_power).clip(min=0.0)
    uneven = bone.floor_tilt * u + bone.floor_wave * np.sin(1.9 * u + math.radians(bone.floor_phase))
    eroded = dent(bone.floor_erosion, bone.floor_erosion_u, u)
    return bone.rim_shift + bone.floor * arch + (uneven + eroded) * np.minimum(1.0, 3.0 * arch)


def dent(depth: float, place: float, u: Array) -> Array:
    """Depth of an erosion at a place of a surface in mm; 0 if it is absent."""
    return max(depth, 0.0) * np.exp(-(((u - place) / 0.7) ** 2))


def lower_depth(bone: LowerBone, u: Array, v: Array) -> Array:
    """Compute the depth inside the metacarpal in mm, negative outside; exact at the outline."""
    sides = np.minimum(_side(condyle_profile(bone, -1), -u, v), _side(condyle_profile(bone, 1), u, v))
    return _smooth_minimum(sides, _dome(bone, u, v), 0.8)


def _dome(bone: LowerBone, u: Array, v: Array) -> Array:
    """Depth inside the superellipse of the head, continued straight below its equator."""
    across = (np.abs(u) / (bone.width / 2)).clip(min=0.02)  # the gradient vanishes on the axis
    along = (bone.height - v).clip(min=0.0) / bone.height
    power = bone.fullness
    level = (across**power + along**power) ** (1.0 / power)
    steep = np.hypot(across ** (power - 1) / (bone.width / 2), along ** (power - 1) / bone.height)
    depth: Array = (1.0 - level) * level ** (power - 1) / steep
    return depth - dent(bone.erosion, bone.erosion_u, u) * (v < bone.height / 2)


class _Profile(NamedTuple):
    """Finely tabulated half width of a bone along its axis: positions, half widths and 1 / hypot(1, slope)."""

    places: Array
    widths: Array
    cosines: Array


def _side(profile: _Profile, across: Array, along: Array) -> Array:
    """Depth inside one side of a bone."""
    width = np.interp(along, profile.places, profile.widths)
    return (width - across) * np.interp(along, profile.places, profile.cosines)


def _profile(bone: UpperBone | LowerBone, hand: int, places: list[float], ratios: list[float]) -> _Profile:
    """Profile of the left (-1) or right (1) side: smooth curve through ratios of the half width, plus a small wave."""
    fine = np.linspace(places[0], places[-1], 400)
    half = bone.width / 2 * (1.0 + hand * bone.skew)
    phase = math.radians(bone.wave_phase) + hand
    widths = half * PchipInterpolator(places, ratios)(fine) + bone.wave * np.sin(1.7 * fine + hand * phase)
    return _Profile(fine, widths, 1.0 / np.hypot(1.0, np.gradient(widths, fine)))


@lru_cache(maxsize=16)
def phalanx_profile(bone: UpperBone, hand: int) -> _Profile:
    """Compute the half width of the left (-1) or right (1) side by height above the joint."""
    flare = bone.flare * (1.0 + hand * bone.flare_skew)
    base, waist = bone.base, 1.0 - bone.shaft
    places = [-4.0, 0.0, 0.35 * flare, 0.7 * flare, flare, *(flare + step for step in (1.3, 3.0, 4.8, 7.0, 12.0, 30.0))]
    ratios = [base - 0.2, base, base + 0.55 * (1 - base), base + 0.92 * (1 - base), 1.0 + bone.tubercle]
    ratios += [1.0 - waist * share for share in (0.08, 0.36, 0.7, 0.98, 1.05, 1.0)]
    return _profile(bone, hand, places, ratios)


@lru_cache(maxsize=16)
def condyle_profile(bone: LowerBone, hand: int) -> _Profile:
    """Compute the half width of the left (-1) or right (1) side by depth below the top of the head."""
    notch, condyle = (bone.notch_left, bone.condyle_left) if hand < 0 else (bone.notch_right, bone.condyle_right)
    places = [-4.0, 0.0, 0.3 * condyle, 0.6 * condyle, condyle, condyle + 1.6, condyle + 3.5, condyle + 6.0, 30.0]
    neck = bone.neck
    ratios = [1.1, 1.03, 1.0, 1.0 - notch, 1.0, 0.4 + 0.6 * neck, neck, neck - 0.03, neck]
    return _profile(bone, hand, places, ratios)


def _smooth_minimum(first: Array, second: Array, radius: float) -> Array:
    """Minimum with a rounded corner of about ``radius`` mm where two depths meet; never above the minimum."""
    near = (radius - np.abs(first - second)).clip(min=0.0)
    return np.minimum(first, second) - near**2 / (4.0 * radius)
