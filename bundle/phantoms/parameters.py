"""The recorded parameters of a phantom: sizes in mm, grey levels, posture and detector."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from numbers import Integral, Real
from typing import Any, TypeVar, get_type_hints

import numpy as np
from bundle.errors import InputError
from bundle.joint import JOINT_TYPES, MCP, SIDES, JointType
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


Group = TypeVar("Group")


NATIVE = 0.15
"""Pixel pitch of the simulated detector in mm: its noise has the grain of the public frames at any spacing."""


PARAMETERS, TEXTURE, DETECTOR, RETAKE = range(4)
"""Independent random streams of one seed."""


def _drawn(mean: float, deviation: float) -> float:
    """A parameter drawn from a normal distribution cut at two standard deviations (its default is the mean)."""
    return field(default=mean, metadata={"deviation": deviation})


@dataclass(frozen=True)
class UpperBone:
    """Upper bone, by default a proximal phalanx: lengths in mm, attenuations of the full thickness, pure numbers.

    Left is the thumb's side of the joint, as seen in a right hand.
    """

    width: float = _drawn(14.2, 0.9)  # at the flare, its widest place
    shaft: float = _drawn(0.63, 0.04)  # width of the shaft, of the width
    base: float = _drawn(0.76, 0.04)  # width at the joint, of the width
    flare: float = _drawn(3.6, 0.4)  # height of the flare above the joint
    skew: float = _drawn(0.0, 0.04)  # right half wider than the left, of the half width
    flare_skew: float = _drawn(0.0, 0.12)  # right flare higher than the left, of its height
    tubercle: float = _drawn(0.01, 0.012)  # bump at the flare, of the half width
    concavity: float = _drawn(0.4, 0.2)  # depth of the base's hollow rim
    base_slope: float = _drawn(0.0, 0.03)  # of the base against the axis
    wave: float = _drawn(0.1, 0.04)  # unevenness of the sides
    wave_phase: float = _drawn(0.0, 90.0)  # degrees
    rounding: float = _drawn(1.5, 0.4)  # of the corners
    floor: float = _drawn(1.35, 0.35)  # rise of the articular floor over the rim
    floor_width: float = _drawn(0.66, 0.06)  # of the width
    floor_shift: float = _drawn(0.0, 0.5)
    band: float = _drawn(0.42, 0.12)  # attenuation of the bright band above the floor
    band_height: float = _drawn(1.0, 0.2)
    rim: float = _drawn(1.1, 0.15)  # attenuation below the floor, of that above
    cortex: float = _drawn(0.95, 0.22)  # attenuation of the shell's full depth
    shell_shaft: float = _drawn(0.75, 0.15)  # thickness of the cortical shell at the shaft
    shell_base: float = _drawn(0.38, 0.06)  # and at the joint
    spongy: float = _drawn(0.2, 0.04)  # attenuation of the spongy inside
    streaks: float = _drawn(0.28, 0.05)  # contrast of trabeculae along the shaft
    mesh: float = _drawn(0.28, 0.04)  # contrast of the trabecular mesh
    blotch: float = _drawn(0.1, 0.02)  # contrast of uneven density


@dataclass(frozen=True)
class LowerBone:
    """Lower bone, by default a metacarpal's head and neck, as :class:`UpperBone`."""

    width: float = _drawn(14.0, 0.9)
    height: float = _drawn(8.0, 0.6)  # from the top of the head to its equator
    fullness: float = _drawn(2.05, 0.1)  # exponent of the head's superellipse, 2 is an ellipse
    neck: float = _drawn(0.93, 0.06)  # width below the head, of the width
    notch_left: float = _drawn(0.07, 0.06)  # hollow above the condyle, of the half width
    notch_right: float = _drawn(0.07, 0.06)
    condyle_left: float = _drawn(6.3, 0.6)  # depth of the condyle below the top
    condyle_right: float = _drawn(6.3, 0.6)
    skew: float = _drawn(0.0, 0.04)
    wave: float = _drawn(0.1, 0.04)
    wave_phase: float = _drawn(0.0, 90.0)
    head: float = _drawn(0.55, 0.1)  # attenuation of the head
    edge: float = _drawn(0.06, 0.03)  # more at the outline
    shell: float = _drawn(0.22, 0.05)  # thickness of that
    limb: float = _drawn(0.28, 0.06)  # attenuation at the sides, of that at the middle
    body: float = _drawn(0.09, 0.04)  # more between the ridges
    ridge_left: float = _drawn(0.6, 0.28)  # more on the left ridge, the cortex of the shaft
    ridge_right: float = _drawn(0.6, 0.28)
    ridge_width: float = _drawn(0.85, 0.25)
    ridge_start: float = _drawn(3.2, 0.8)  # depth below the top
    inset_left: float = _drawn(0.5, 0.08)  # place of the left ridge, of the half width
    inset_right: float = _drawn(0.54, 0.08)
    ridge_slant: float = _drawn(0.06, 0.09)  # of the ridges outwards, per mm of depth
    ridge_bow: float = _drawn(0.045, 0.025)  # their curve, per mm
    patch: float = _drawn(0.12, 0.08)  # of a dense patch
    patch_u: float = _drawn(-0.5, 1.3)
    patch_v: float = _drawn(3.4, 0.8)
    streaks: float = _drawn(0.1, 0.03)
    mesh: float = _drawn(0.24, 0.035)
    blotch: float = _drawn(0.11, 0.03)


@dataclass(frozen=True)
class SoftTissue:
    """Soft tissue, skin outlines, and whatever has no mask: a sesamoid and a neighbouring finger's bone."""

    attenuation: float = _drawn(0.38, 0.05)  # at the finger's middle
    ascent: float = _drawn(0.36, 0.06)  # more towards the palm, of the attenuation over the frame's height
    left: float = _drawn(15.3, 1.2)  # from the middle to the skin, at the joint
    right: float = _drawn(15.3, 1.2)
    left_slant: float = _drawn(0.25, 0.1)  # skin outwards per mm down
    right_slant: float = _drawn(0.25, 0.1)
    thickness: float = _drawn(8.0, 1.2)  # radius of the finger's edge
    mottle: float = _drawn(0.045, 0.01)  # contrast of slow unevenness
    background: float = _drawn(0.014, 0.005)  # scatter in air
    neighbour: float = _drawn(0.0, 0.0)  # attenuation of a neighbouring head; none at or below 0
    neighbour_u: float = _drawn(-13.2, 0.6)
    neighbour_v: float = _drawn(6.5, 1.6)
    sesamoid: float = _drawn(0.0, 0.0)  # attenuation of a sesamoid; none at or below 0
    sesamoid_u: float = _drawn(9.0, 0.6)
    sesamoid_v: float = _drawn(2.0, 1.0)
    sesamoid_size: float = _drawn(1.7, 0.25)


@dataclass(frozen=True)
class Posture:
    """Where the joint is in the frame, in mm from its centre and degrees, positive turning x towards y."""

    x: float = _drawn(0.0, 0.5)
    y: float = _drawn(0.2, 0.25)
    tilt: float = _drawn(0.0, 3.0)  # of both bones
    bend: float = _drawn(0.0, 2.5)  # of the lower bone against the upper
    shift: float = _drawn(0.0, 0.5)  # of the lower bone across


@dataclass(frozen=True)
class Detector:
    """Blur in mm, photons a detector pixel without attenuation, electronic noise as intensity, grey levels."""

    blur: float = _drawn(0.085, 0.01)
    photons: float = _drawn(10000.0, 1500.0)
    electronic: float = _drawn(0.002, 0.0004)
    levels: float = _drawn(255.0, 0.0)  # the brightest one


@dataclass(frozen=True)
class PhantomParameters:
    """Everything a phantom is made from, and its ground truth; plain numbers and words, nested by part.

    Attributes:
        seed: of the textures and the noise (and of the parameters, if drawn).
        finger: one of those of the joint type.
        side: hand, ``"left"`` or ``"right"``; a left joint is drawn as the mirror image of a right one.
        size: height and width of the frame in pixels, at least 32.
        spacing: mm per pixel; ``size * spacing`` lies within the extents of the joint type.
        jsw_mm: exact joint space width in mm, within those of the joint type: mean vertical gap from the upper bone's
            lower outline to the lower bone's upper outline over the central third of the columns that show both bones.
        upper, lower, soft, posture, detector: see the classes.
        joint: name of the :class:`bundle.joint.JointType`.

    Raises:
        InputError: if the seed, joint, finger, side, size, spacing or JSW is none of these.
    """

    seed: int
    finger: str
    side: str
    size: int
    spacing: float
    jsw_mm: float
    upper: UpperBone = UpperBone()
    lower: LowerBone = LowerBone()
    soft: SoftTissue = SoftTissue()
    posture: Posture = Posture()
    detector: Detector = Detector()
    retake: int = 0
    joint: str = MCP.name

    @property
    def joint_type(self) -> JointType:
        """What kind of joint it is."""
        return JOINT_TYPES[self.joint]

    def __post_init__(self) -> None:
        expect(isinstance(self.seed, Integral) and self.seed >= 0, "seed", "a whole number of at least 0", self.seed)
        expect_retake(self.retake)
        expect(self.joint in JOINT_TYPES, "joint", f"one of {', '.join(JOINT_TYPES)}", self.joint)
        fingers = self.joint_type.fingers
        expect(self.finger in fingers, "finger", f"one of {', '.join(fingers)}", self.finger)
        expect(self.side in SIDES, "side", f"one of {', '.join(SIDES)}", self.side)
        expect(isinstance(self.size, Integral) and self.size >= 32, "size", "at least 32 pixels", self.size)
        self._expect_lengths()

    def _expect_lengths(self) -> None:
        frame = self.joint_type.frame_mm
        extent = self.size * self.spacing if isinstance(self.spacing, Real) else math.nan
        low, high = self.joint_type.extent_mm
        expect(low <= extent <= high, "size * spacing", f"{low} to {high} mm (spacing={frame:g}/{self.size})", extent)
        low, high = self.joint_type.joint_space_mm
        jsw_holds = isinstance(self.jsw_mm, Real) and low <= self.jsw_mm <= high
        expect(jsw_holds, "jsw_mm", f"a width from {low} to {high} mm", self.jsw_mm)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> PhantomParameters:
        """Read what :meth:`to_json` wrote; :func:`render` then makes the same phantom to the bit.

        Raises:
            InputError: if the line is no JSON, or names other parameters than :meth:`to_json` writes.
        """
        try:
            return _nested(cls, json.loads(line))
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            msg = f"phantom: expected a line written by PhantomParameters.to_json, got {line[:80]!r} ({error})"
            raise InputError(msg) from error


def expect(holds: bool, name: str, expected: str, got: Any) -> None:
    """Refuse a parameter that is not what it has to be.

    Raises:
        InputError: ``holds`` is false.
    """
    if not holds:
        msg = f"phantom: expected {name} to be {expected}, got {got!r}"
        raise InputError(msg)


def expect_retake(number: int) -> None:
    """Refuse a number of a re-take that is none."""
    expect(isinstance(number, Integral) and number >= 0, "retake", "a whole number of at least 0", number)


def _nested(kind: type[Group], values: Mapping[str, Any]) -> Group:
    """Build nested dataclasses from nested dictionaries."""
    kinds = get_type_hints(kind)
    return kind(**{k: _nested(kinds[k], v) if is_dataclass(kinds[k]) else v for k, v in values.items()})
