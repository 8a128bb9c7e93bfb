"""Parameters of a phantom: sizes in mm, grey levels, posture and detector."""

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
"""Pixel pitch of the simulated detector in mm, so that the noise texture matches the public frames at any spacing."""


PARAMETERS, TEXTURE, DETECTOR, RETAKE, SURFACES = range(5)
"""Independent random streams of a seed."""


VERSION = 2
"""Version of the generator: 2 varies the joint surfaces. Each version makes other phantoms of the same parameters."""


def _sampled(mean: float, deviation: float, stream: int = PARAMETERS) -> float:
    """A parameter of a normal distribution truncated at two standard deviations; the default is the mean."""
    return field(default=mean, metadata={"deviation": deviation, "stream": stream})


def _surface(mean: float, deviation: float) -> float:
    """A parameter of a joint surface, sampled from a stream of its own."""
    return _sampled(mean, deviation, SURFACES)


@dataclass(frozen=True)
class UpperBone:
    """Upper bone, by default a proximal phalanx: lengths in mm, attenuations of the full thickness, pure numbers.

    Left is the thumb side of the joint, as in a right hand.
    """

    width: float = _sampled(14.2, 0.9)  # at the flare, the widest point
    shaft: float = _sampled(0.63, 0.04)  # width of the shaft, relative to the width
    base: float = _sampled(0.76, 0.04)  # width at the joint, relative to the width
    flare: float = _sampled(3.6, 0.4)  # height of the flare above the joint
    skew: float = _sampled(0.0, 0.04)  # excess width of the right half, relative to the half width
    flare_skew: float = _sampled(0.0, 0.12)  # excess height of the right flare, relative to its height
    tubercle: float = _sampled(0.01, 0.012)  # bump at the flare, relative to the half width
    concavity: float = _sampled(0.4, 0.2)  # depth of the concave rim of the base
    base_slope: float = _sampled(0.0, 0.03)  # slope of the base relative to the axis
    wave: float = _sampled(0.1, 0.04)  # amplitude of the waves of the sides
    wave_phase: float = _sampled(0.0, 90.0)  # degrees
    rounding: float = _sampled(1.5, 0.4)  # radius of the corners
    floor: float = _sampled(1.35, 0.35)  # height of the articular floor above the rim
    floor_width: float = _sampled(0.66, 0.06)  # relative to the width
    floor_shift: float = _sampled(0.0, 0.5)
    band: float = _sampled(0.42, 0.12)  # attenuation of the bright band above the floor
    band_height: float = _sampled(1.0, 0.2)
    rim: float = _sampled(1.1, 0.15)  # attenuation below the floor, relative to that above
    cortex: float = _sampled(0.95, 0.22)  # attenuation of the shell's full depth
    shell_shaft: float = _sampled(0.75, 0.15)  # thickness of the cortical shell at the shaft,
    shell_base: float = _sampled(0.38, 0.06)  # and at the joint
    spongy: float = _sampled(0.2, 0.04)  # attenuation of the cancellous bone
    streaks: float = _sampled(0.28, 0.05)  # contrast of trabeculae along the shaft
    mesh: float = _sampled(0.28, 0.04)  # contrast of the trabecular mesh
    blotch: float = _sampled(0.1, 0.02)  # contrast of uneven density
    floor_power: float = _surface(2.0, 0.3)  # exponent of the floor's arch, 2 is a parabola
    floor_tilt: float = _surface(0.0, 0.04)  # slope of the floor relative to the rim
    floor_wave: float = _surface(0.0, 0.05)  # amplitude of the floor's unevenness
    floor_phase: float = _surface(0.0, 90.0)  # degrees
    floor_erosion: float = _surface(0.0, 0.12)  # depth of an erosion of the floor; absent at or below 0
    floor_erosion_u: float = _surface(0.0, 1.2)
    double: float = _surface(0.0, 0.2)  # attenuation of a second contour, relative to the band; absent at or below 0
    double_height: float = _surface(0.7, 0.15)  # height of the second contour above the floor
    osteophyte: float = _surface(0.0, 0.3)  # length of osteophytes at the rim; absent at or below 0
    rim_shift: float = 0.0  # shift of the rim towards the joint by a tilt out of the plane; not sampled


@dataclass(frozen=True)
class LowerBone:
    """Lower bone, by default the head and neck of a metacarpal; units as in :class:`UpperBone`."""

    width: float = _sampled(14.0, 0.9)
    height: float = _sampled(8.0, 0.6)  # from the top of the head to its equator
    fullness: float = _sampled(2.05, 0.1)  # exponent of the head's superellipse, 2 is an ellipse
    neck: float = _sampled(0.93, 0.06)  # width below the head, relative to the width
    notch_left: float = _sampled(0.07, 0.06)  # notch above the condyle, relative to the half width
    notch_right: float = _sampled(0.07, 0.06)
    condyle_left: float = _sampled(6.3, 0.6)  # depth of the condyle below the top
    condyle_right: float = _sampled(6.3, 0.6)
    skew: float = _sampled(0.0, 0.04)
    wave: float = _sampled(0.1, 0.04)
    wave_phase: float = _sampled(0.0, 90.0)
    head: float = _sampled(0.55, 0.1)  # attenuation of the head
    edge: float = _sampled(0.06, 0.03)  # additional attenuation at the outline
    shell: float = _sampled(0.22, 0.05)  # thickness of the outline's shell
    limb: float = _sampled(0.28, 0.06)  # attenuation at the sides, relative to that in the middle
    body: float = _sampled(0.09, 0.04)  # additional attenuation between the ridges
    ridge_left: float = _sampled(0.6, 0.28)  # additional attenuation on the left ridge, the cortex of the shaft
    ridge_right: float = _sampled(0.6, 0.28)
    ridge_width: float = _sampled(0.85, 0.25)
    ridge_start: float = _sampled(3.2, 0.8)  # depth below the top
    inset_left: float = _sampled(0.5, 0.08)  # position of the left ridge, relative to the half width
    inset_right: float = _sampled(0.54, 0.08)
    ridge_slant: float = _sampled(0.06, 0.09)  # outward slope of the ridges, per mm of depth
    ridge_bow: float = _sampled(0.045, 0.025)  # curvature of the ridges, per mm
    patch: float = _sampled(0.12, 0.08)  # attenuation of a dense patch
    patch_u: float = _sampled(-0.5, 1.3)
    patch_v: float = _sampled(3.4, 0.8)
    streaks: float = _sampled(0.1, 0.03)
    mesh: float = _sampled(0.24, 0.035)
    blotch: float = _sampled(0.11, 0.03)
    erosion: float = _surface(0.0, 0.12)  # depth of an erosion of the head; absent at or below 0
    erosion_u: float = _surface(0.0, 1.5)


@dataclass(frozen=True)
class SoftTissue:
    """Soft tissue, skin outlines, and bones without mask: a sesamoid and a bone of the neighbouring finger."""

    attenuation: float = _sampled(0.38, 0.05)  # at the centre of the finger
    ascent: float = _sampled(0.36, 0.06)  # relative increase towards the palm over the frame's height
    left: float = _sampled(15.3, 1.2)  # distance from the centre to the skin, at the joint
    right: float = _sampled(15.3, 1.2)
    left_slant: float = _sampled(0.25, 0.1)  # outward slope of the skin per mm down
    right_slant: float = _sampled(0.25, 0.1)
    thickness: float = _sampled(8.0, 1.2)  # radius of the finger's edge
    mottle: float = _sampled(0.045, 0.01)  # contrast of low-frequency density variation
    background: float = _sampled(0.014, 0.005)  # scatter in air, as attenuation
    neighbour: float = _sampled(0.0, 0.0)  # attenuation of a neighbouring head; absent at or below 0
    neighbour_u: float = _sampled(-13.2, 0.6)
    neighbour_v: float = _sampled(6.5, 1.6)
    sesamoid: float = _sampled(0.0, 0.0)  # attenuation of a sesamoid; absent at or below 0
    sesamoid_u: float = _sampled(9.0, 0.6)
    sesamoid_v: float = _sampled(2.0, 1.0)
    sesamoid_size: float = _sampled(1.7, 0.25)


@dataclass(frozen=True)
class Posture:
    """Position of the joint in mm from the frame's centre, and angles in degrees, positive from x towards y."""

    x: float = _sampled(0.0, 0.5)
    y: float = _sampled(0.2, 0.25)
    tilt: float = _sampled(0.0, 3.0)  # of both bones
    bend: float = _sampled(0.0, 2.5)  # of the lower bone relative to the upper bone
    shift: float = _sampled(0.0, 0.5)  # lateral shift of the lower bone


@dataclass(frozen=True)
class Detector:
    """Blur in mm, photons per unattenuated detector pixel, electronic noise in intensity, grey levels."""

    blur: float = _sampled(0.085, 0.01)
    photons: float = _sampled(10000.0, 1500.0)
    electronic: float = _sampled(0.002, 0.0004)
    levels: float = _sampled(255.0, 0.0)  # highest grey level


@dataclass(frozen=True)
class PhantomParameters:
    """All parameters of a phantom, including its ground truth: plain numbers and strings, grouped by anatomy.

    Attributes:
        seed: random seed of the textures and the noise, and of sampled parameters.
        finger: one of the fingers of the joint type.
        side: hand, ``"left"`` or ``"right"``; a left joint is the mirror image of a right one.
        size: height and width of the frame in pixels, at least 32.
        spacing: pixel size in mm; ``size * spacing`` lies within the extents of the joint type.
        outline_gap_mm: exact gap between the outlines in mm, within the range of the joint type: mean vertical gap
            from the upper bone's lower outline to the lower bone's upper outline over the central third of the common
            columns. The joint space width follows (:func:`bundle.phantoms.true_joint_space`).
        upper, lower, soft, posture, detector: see the classes.
        retake: number of the re-take (:func:`bundle.phantoms.retake`); 0 for the first radiograph.
        joint: name of the :class:`bundle.joint.JointType`.
        version: version of the generator, :data:`VERSION`.

    Raises:
        InputError: if the seed, joint, finger, side, size, spacing or gap is invalid.
    """

    seed: int
    finger: str
    side: str
    size: int
    spacing: float
    outline_gap_mm: float
    upper: UpperBone = UpperBone()
    lower: LowerBone = LowerBone()
    soft: SoftTissue = SoftTissue()
    posture: Posture = Posture()
    detector: Detector = Detector()
    retake: int = 0
    joint: str = MCP.name
    version: int = VERSION

    @property
    def joint_type(self) -> JointType:
        """The joint type."""
        return JOINT_TYPES[self.joint]

    @property
    def half_mm(self) -> float:
        """Half the height and width of the frame in mm."""
        return self.size * self.spacing / 2

    def __post_init__(self) -> None:
        expect(isinstance(self.seed, Integral) and self.seed >= 0, "seed", "a non-negative integer", self.seed)
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
        expected = f"{low} to {high} mm (for example spacing={frame:g}/{self.size})"
        expect(low <= extent <= high, "size * spacing", expected, extent)
        low, high = self.joint_type.outline_gap_mm
        gap_holds = isinstance(self.outline_gap_mm, Real) and low <= self.outline_gap_mm <= high
        expect(gap_holds, "outline_gap_mm", f"{low} to {high} mm", self.outline_gap_mm)

    def to_json(self) -> str:
        """Serialize the parameters in one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> PhantomParameters:
        """Parse the output of :meth:`to_json`; :func:`render` then makes a bit-identical phantom.

        Raises:
            InputError: if the line is not valid JSON, or has other parameters than :meth:`to_json` writes.
        """
        try:
            values = json.loads(line)
            _expect_version(values.get("version", VERSION if "jsw_mm" not in values else 1))
            return _nested(cls, values)
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            msg = f"phantom: {line[:80]!r} was not written by PhantomParameters.to_json ({error})"
            raise InputError(msg) from error


def expect(holds: bool, name: str, expected: str, got: Any) -> None:
    """Refuse an invalid parameter.

    Raises:
        InputError: if ``holds`` is false.
    """
    if not holds:
        msg = f"phantom: {name} must be {expected}, got {got!r}"
        raise InputError(msg)


def _expect_version(version: Any) -> None:
    """Refuse the parameters of another version of the generator."""
    if version != VERSION:
        msg = f"phantom: made by generator version {version}, not {VERSION}. Sample it again from its seed."
        raise InputError(msg)


def expect_retake(number: int) -> None:
    """Refuse an invalid number of a re-take."""
    expect(isinstance(number, Integral) and number >= 0, "retake", "a non-negative integer", number)


def _nested(kind: type[Group], values: Mapping[str, Any]) -> Group:
    """Build nested dataclasses from nested dictionaries."""
    kinds = get_type_hints(kind)
    return kind(**{k: _nested(kinds[k], v) if is_dataclass(kinds[k]) else v for k, v in values.items()})
