"""Procedural radiographs of finger joints with known layers, masks and joint space width (JSW).

A phantom is a metacarpophalangeal joint drawn in millimetres from a few dozen recorded parameters. The order of image
formation is that of an X-ray detector: attenuations of the layers add, blur, Poisson noise, electronic noise,
quantisation. Sizes and grey levels follow the public frames (bundle/data), fingers differ and the sides are mirrored.

Each bone lives in its own frame: origin on its axis at the joint, u across and v along the axis (down the screen), in
mm. Its outline is the zero level of a function that is, near the outline, the depth inside the bone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor
from torch.nn import functional as F

from bundle.errors import InputError
from bundle.physics import SPACING, attenuation_shares, partition

Array = NDArray[np.floating[Any]]
Group = TypeVar("Group")
Shape = Callable[[Array, Array], Array]

FINGERS = ("small", "ring", "middle", "index", "thumb")
SIDES = ("left", "right")
JSW_RANGE = (-1.0, 2.5)
"""Joint space widths that phantoms can have, in mm; negative is overlap."""

EXTENT_RANGE = (16.0, 26.0)
"""Heights of the frame in mm that show a joint as it is seen in the public frames (21 mm)."""

NATIVE = 0.15
"""Pixel pitch of the simulated detector in mm: its noise has the grain of the public frames at any spacing."""

BLUR_REACH = 4.0
"""The blur of the image ends at so many standard deviations: beyond, a bone layer is exactly zero outside its bone."""

_LATTICE, _PITCH = 256, 21.0 / 256.0
"""Random textures are drawn on a periodic lattice of so many points, so many mm apart, whatever the image's size."""

_PARAMETERS, _TEXTURE, _DETECTOR, _RETAKE = range(4)
"""Independent random streams of one seed."""


def _drawn(mean: float, deviation: float) -> float:
    """A parameter drawn from a normal distribution cut at two standard deviations (its default is the mean)."""
    return field(default=mean, metadata={"deviation": deviation})


@dataclass(frozen=True)
class UpperBone:
    """Proximal phalanx: lengths in mm, attenuations of the full thickness, the rest without unit.

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
    """Metacarpal head and neck, as :class:`UpperBone`."""

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


_OF_FINGER: dict[str, dict[str, dict[str, float]]] = {
    "small": {
        "upper": {"width": 12.9, "shaft": 0.54, "spongy": 0.12, "cortex": 1.05, "band": 0.65},
        "lower": {"width": 13.0, "height": 8.4, "neck": 0.86, "head": 0.34, "body": 0.06},
        "soft": {"attenuation": 0.325, "right": 10.6, "right_slant": 0.18},
    },
    "ring": {
        "upper": {"width": 13.6, "shaft": 0.6, "spongy": 0.16, "cortex": 1.15, "band": 0.62},
        "lower": {"width": 13.0, "height": 7.4, "neck": 0.94, "head": 0.38, "body": 0.07},
        "soft": {"attenuation": 0.34},
    },
    "middle": {
        "upper": {"width": 14.7, "shaft": 0.635, "spongy": 0.16, "cortex": 1.9, "band": 0.92},
        "lower": {"width": 15.3, "height": 8.6, "neck": 0.98, "head": 0.46},
        "soft": {"attenuation": 0.36},
    },
    "index": {
        "upper": {"width": 15.0, "shaft": 0.63, "spongy": 0.24, "cortex": 1.6, "band": 0.85},
        "lower": {"width": 15.4, "height": 9.2, "neck": 0.98, "head": 0.54},
        "soft": {"attenuation": 0.35},
    },
    "thumb": {
        "upper": {"width": 14.0, "shaft": 0.63, "spongy": 0.22, "cortex": 1.6, "band": 1.1, "concavity": 0.6},
        "lower": {"width": 14.5, "height": 7.0, "neck": 0.84, "head": 0.74, "body": 0.03},
        "soft": {"attenuation": 0.37, "left": 10.4, "left_slant": 0.12, "right": 14.0},
    },
}
"""Means by finger, from 823 annotated frames of the public data; what is not named here is alike in all fingers."""

_SEEN: dict[str, dict[str, float]] = {
    "small": {"neighbour": 0.5, "sesamoid": 0.1},
    "ring": {"neighbour": 0.6, "sesamoid": 0.0},
    "middle": {"neighbour": 0.2, "sesamoid": 0.0},
    "index": {"neighbour": 0.1, "sesamoid": 0.1},
    "thumb": {"neighbour": 0.0, "sesamoid": 0.9},
}
"""How often the frame shows a neighbouring bone and a sesamoid."""


@dataclass(frozen=True)
class PhantomParameters:
    """Everything a phantom is made from, and its ground truth; plain numbers and words, nested by part.

    Attributes:
        seed: of the textures and the noise (and of the parameters, if drawn).
        finger: one of ``FINGERS``.
        side: hand, ``"left"`` or ``"right"``; a left joint is drawn as the mirror image of a right one.
        size: height and width of the frame in pixels, at least 32.
        spacing: mm per pixel; ``size * spacing`` lies within ``EXTENT_RANGE``.
        jsw_mm: exact joint space width in mm, within ``JSW_RANGE``: mean vertical gap from the upper bone's lower
            outline to the lower bone's upper outline over the central third of the columns that show both bones.
        upper, lower, soft, posture, detector: see the classes.

    Raises:
        InputError: if the seed, finger, side, size, spacing or JSW is none of these.
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

    def __post_init__(self) -> None:
        _expect(isinstance(self.seed, Integral) and self.seed >= 0, "seed", "a whole number of at least 0", self.seed)
        _expect_retake(self.retake)
        _expect(self.finger in FINGERS, "finger", f"one of {', '.join(FINGERS)}", self.finger)
        _expect(self.side in SIDES, "side", f"one of {', '.join(SIDES)}", self.side)
        _expect(isinstance(self.size, Integral) and self.size >= 32, "size", "at least 32 pixels", self.size)
        extent = self.size * self.spacing if isinstance(self.spacing, Real) else math.nan
        low, high = EXTENT_RANGE
        _expect(low <= extent <= high, "size * spacing", f"{low} to {high} mm (spacing=21/{self.size})", extent)
        low, high = JSW_RANGE
        jsw_holds = isinstance(self.jsw_mm, Real) and low <= self.jsw_mm <= high
        _expect(jsw_holds, "jsw_mm", f"a width from {low} to {high} mm", self.jsw_mm)

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


@dataclass(frozen=True)
class Phantom:
    """A rendered phantom; float32 tensors.

    Attributes:
        image: radiograph (1, H, W) in [0, 1], quantised.
        layers: true layers (3, H, W), soft tissue, lower, upper. They compose to ``image`` to float precision: each
            holds its noise-free share of the attenuation, so noise and quantisation belong to the layers by these
            shares. Beyond the reach of the blur a bone's layer is exactly zero.
        masks: soft bone masks (2, H, W), lower and upper, 0.5 on the outline and rising over two pixels across it, so
            that the outline is kept to a fraction of a pixel; above 0.5 is bone.
        parameters: what it was made from.
    """

    image: Tensor
    layers: Tensor
    masks: Tensor
    parameters: PhantomParameters


def _expect(holds: bool, name: str, expected: str, got: Any) -> None:
    if not holds:
        msg = f"phantom: expected {name} to be {expected}, got {got!r}"
        raise InputError(msg)


def _expect_retake(number: int) -> None:
    _expect(isinstance(number, Integral) and number >= 0, "retake", "a whole number of at least 0", number)


def _nested(kind: type[Group], values: Mapping[str, Any]) -> Group:
    """Build nested dataclasses from nested dictionaries."""
    kinds = get_type_hints(kind)
    return kind(**{k: _nested(kinds[k], v) if is_dataclass(kinds[k]) else v for k, v in values.items()})


def draw_parameters(
    seed: int,
    *,
    jsw_mm: float | None = None,
    size: int = 256,
    spacing: float = SPACING,
    finger: str | None = None,
    side: str | None = None,
) -> PhantomParameters:
    """Draw the parameters of a phantom; all randomness comes from the seed.

    Args:
        seed: at least 0. What is given below replaces what the seed draws and leaves the other draws as they are.
        jsw_mm: joint space width in mm; drawn uniformly from ``JSW_RANGE`` if not given.
        size: of the frame in pixels. The frame shows ``size * spacing`` mm, 21 mm in the public data.
        spacing: mm per pixel.
        finger: one of ``FINGERS``.
        side: ``"left"`` or ``"right"``.

    Raises:
        InputError: if an argument is out of its range.
    """
    _expect(isinstance(seed, Integral) and seed >= 0, "seed", "a whole number of at least 0", seed)
    rng = np.random.default_rng([seed, _PARAMETERS])
    width, drawn_finger, drawn_side = rng.uniform(*JSW_RANGE), rng.choice(FINGERS), rng.choice(SIDES)
    finger = str(drawn_finger) if finger is None else finger
    side = str(drawn_side) if side is None else side
    jsw_mm = float(width) if jsw_mm is None else jsw_mm
    _expect(finger in FINGERS, "finger", f"one of {', '.join(FINGERS)}", finger)
    kinds = {"upper": UpperBone, "lower": LowerBone, "soft": SoftTissue, "posture": Posture, "detector": Detector}
    means = {**_OF_FINGER[finger], "soft": {**_OF_FINGER[finger]["soft"], **_unmasked_bones(finger, rng)}}
    groups: dict[str, Any] = {name: _draw(kind, means.get(name, {}), rng) for name, kind in kinds.items()}
    return PhantomParameters(int(seed), finger, side, size, spacing, jsw_mm, **groups)


def retake(parameters: PhantomParameters, number: int, *, shift: float = 0.3, tilt: float = 2.0) -> PhantomParameters:
    """Parameters of another radiograph of the same joint: other noise, and the joint lies a little differently.

    Anatomy and JSW stay. A crop that is off by a pixel or two is a shift, too: 2 pixels of a public frame are 0.16 mm.
    The bones are placed anew so that ``jsw_mm``, which is vertical, is exact in each re-take; seen along the joint's
    axis re-takes differ by that, 0.01 mm in the mean.

    Args:
        parameters: of the phantom.
        number: of the re-take, at least 0; 0 is the phantom itself. It is the seed, together with the phantom's.
        shift: largest shift of the joint along x and along y, in mm.
        tilt: largest turn, in degrees.

    Raises:
        InputError: if the number or a range is negative.
    """
    _expect_retake(number)
    _expect(min(shift, tilt) >= 0.0, "shift and tilt of a re-take", "at least 0", (shift, tilt))
    if number == 0:
        return replace(parameters, retake=0)
    x, y, turn = np.random.default_rng([parameters.seed, _RETAKE, number]).uniform(-1.0, 1.0, size=3)
    lain = parameters.posture
    posture = replace(lain, x=lain.x + shift * x, y=lain.y + shift * y, tilt=lain.tilt + tilt * turn)
    return replace(parameters, posture=posture, retake=int(number))


def _unmasked_bones(finger: str, rng: np.random.Generator) -> dict[str, float]:
    """Attenuations of the neighbouring bone and the sesamoid, 0 where the frame shows none."""
    draws = rng.random(2)
    neighbour = 0.45 if draws[0] < _SEEN[finger]["neighbour"] else 0.0
    sesamoid = 0.3 if draws[1] < _SEEN[finger]["sesamoid"] else 0.0
    return {"neighbour": neighbour, "sesamoid": sesamoid}


def _draw(kind: type[Group], means: Mapping[str, float], rng: np.random.Generator) -> Group:
    values = {}
    for item in fields(kind):  # type: ignore[arg-type]
        step = float(np.clip(rng.standard_normal(), -2.0, 2.0))
        values[item.name] = means.get(item.name, item.default) + item.metadata["deviation"] * step
    return kind(**values)


def render(parameters: PhantomParameters) -> Phantom:
    """Render a phantom; the same parameters give the same bits.

    Attenuations of the layers are drawn in mm and blurred (which is the blur of their sum, the composed attenuation);
    then come Poisson noise, electronic noise and quantisation.
    """
    x, y = _pixels(parameters)
    scene = _Scene(parameters)
    depths = [scene.lower_depth(x, y), scene.upper_depth(x, y)]
    sharp = np.stack([scene.soft(x, y), scene.lower(x, y), scene.upper(x, y)])
    sharp[1:] *= np.clip(np.stack(depths) / parameters.spacing + 0.5, 0.0, 1.0)
    blurred = [gaussian_filter(layer, _blur(parameters), mode="nearest", truncate=BLUR_REACH) for layer in sharp]
    image = _measure(np.sum(blurred, axis=0), parameters)
    absorbed = torch.from_numpy(-np.expm1(-np.stack(blurred))).float()
    masks = torch.from_numpy(np.clip(0.5 + np.stack(depths) / (2 * parameters.spacing), 0.0, 1.0)).float()
    return Phantom(image, partition(image, attenuation_shares(absorbed)), masks, parameters)


def _blur(parameters: PhantomParameters) -> float:
    return parameters.detector.blur / parameters.spacing


def _pixels(parameters: PhantomParameters) -> tuple[Array, Array]:
    """Pixel centres in mm from the frame's centre, (H, W) each; x is mirrored for a left hand."""
    axis = (np.arange(parameters.size) + 0.5 - parameters.size / 2) * parameters.spacing
    return np.meshgrid(-axis if parameters.side == "left" else axis, axis)  # type: ignore[return-value]


def _measure(attenuation: Array, parameters: PhantomParameters) -> Tensor:
    """What the detector sees of an attenuation (H, W): noise on its own pixels, resampled; a quantised (1, H, W)."""
    detector, size = parameters.detector, parameters.size
    transmitted = torch.from_numpy(np.exp(-attenuation))[None, None]
    native = max(1, round(size * parameters.spacing / NATIVE))
    coarse = F.interpolate(transmitted, (native, native), mode="bilinear", antialias=True).clamp(min=0.0).numpy()
    rng = np.random.default_rng([parameters.seed, _DETECTOR, parameters.retake])
    noise = rng.poisson(coarse * detector.photons) / detector.photons - coarse
    noise += detector.electronic * rng.standard_normal(coarse.shape)
    fine = F.interpolate(torch.from_numpy(noise), (size, size), mode="bicubic", antialias=True)
    absorbed = (1.0 - transmitted - fine)[0].clamp(0.0, 1.0)
    return ((absorbed * detector.levels).round() / detector.levels).float()


class _Pose(NamedTuple):
    """Place of a bone: its origin in mm from the frame's centre, and the turn of its axis in degrees."""

    x: float
    y: float
    turn: float

    def local(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Bone coordinates u (across) and v (along) of places in the frame."""
        cosine, sine = math.cos(math.radians(self.turn)), math.sin(math.radians(self.turn))
        right, down = x - self.x, y - self.y
        return cosine * right + sine * down, cosine * down - sine * right


class _Scene:
    """The layers of one phantom as functions of the place in mm from the frame's centre."""

    def __init__(self, parameters: PhantomParameters) -> None:
        self._parameters = parameters
        self._upper, self._lower = _place(parameters)
        self._texture = _Texture(np.random.default_rng([parameters.seed, _TEXTURE]))

    def upper_depth(self, x: Array, y: Array) -> Array:
        return _upper_depth(self._parameters.upper, *self._upper.local(x, y))

    def lower_depth(self, x: Array, y: Array) -> Array:
        return _lower_depth(self._parameters.lower, *self._lower.local(x, y))

    def upper(self, x: Array, y: Array) -> Array:
        return _upper_attenuation(self._parameters.upper, *self._upper.local(x, y), self._texture)

    def lower(self, x: Array, y: Array) -> Array:
        return _lower_attenuation(self._parameters.lower, *self._lower.local(x, y), self._texture)

    def soft(self, x: Array, y: Array) -> Array:
        posture = self._parameters.posture
        pose = _Pose(posture.x, posture.y, posture.tilt)
        return _soft_attenuation(self._parameters.soft, *pose.local(x, y), self._texture)


def _place(parameters: PhantomParameters) -> tuple[_Pose, _Pose]:
    """Poses of the upper and the lower bone at which the JSW is ``jsw_mm``, the joint's middle staying in place."""
    posture, gap = parameters.posture, parameters.jsw_mm
    for _ in range(4):
        upper = _Pose(posture.x, posture.y - gap / 2, posture.tilt)
        lower = _Pose(posture.x + posture.shift, posture.y + gap / 2, posture.tilt + posture.bend)
        gap += parameters.jsw_mm - _outline_gap(parameters, upper, lower)
    return upper, lower


def _outline_gap(parameters: PhantomParameters, upper: _Pose, lower: _Pose) -> float:
    """The JSW of two posed bones from their outlines, over the central third of their common columns, in mm."""
    bones: list[Shape] = [
        lambda x, y: _upper_depth(parameters.upper, *upper.local(x, y)),
        lambda x, y: _lower_depth(parameters.lower, *lower.local(x, y)),
    ]
    half = parameters.size * parameters.spacing / 2
    spans = [_columns(bone, half) for bone in bones]
    left, right = max(span[0] for span in spans), min(span[1] for span in spans)
    _expect(right > left, "posture and shift", "such that the bones stand one above the other", "bones side by side")
    third = (right - left) / 3
    columns = np.linspace(left + third, right - third, 65)
    middles = (columns[1:] + columns[:-1]) / 2
    return float(np.mean(_crossing(bones[1], middles, half, 1) - _crossing(bones[0], middles, half, -1)))


def _columns(bone: Shape, half: float) -> tuple[float, float]:
    """Leftmost and rightmost x at which a frame of +-``half`` mm shows the bone."""
    columns, rows = np.linspace(-half, half, 161), np.linspace(-half, half, 81)
    deepest = bone(*np.meshgrid(columns, rows)).max(axis=0)
    shown = np.flatnonzero(deepest > 0)
    _expect(shown.size > 0, "posture, size and spacing", "such that the frame shows both bones", "a bone outside")
    left = _zero(columns, deepest, shown[0] - 1) if shown[0] > 0 else -half
    right = _zero(columns, deepest, shown[-1]) if shown[-1] < columns.size - 1 else half
    return left, right


def _zero(places: Array, values: Array, index: int) -> float:
    """Zero between ``index`` and the next place, on a straight line."""
    first, second = values[index], values[index + 1]
    return float(places[index] + (places[index + 1] - places[index]) * first / (first - second))


def _crossing(bone: Shape, columns: Array, half: float, direction: int) -> Array:
    """Where the outline is first met in each column, going down (1) or up (-1), in mm; by bisection."""
    rows = direction * np.linspace(-half, half, 81)
    inside = bone(*np.meshgrid(columns, rows)) > 0
    entry = inside.argmax(axis=0).clip(min=1)
    outer, inner = rows[entry - 1], rows[entry]
    for _ in range(14):
        middle = (outer + inner) / 2
        hit = bone(columns, middle) > 0
        outer, inner = np.where(hit, outer, middle), np.where(hit, middle, inner)
    return (outer + inner) / 2


def _upper_depth(bone: UpperBone, u: Array, v: Array) -> Array:
    """Depth inside the phalanx in mm, negative outside; exact at the outline."""
    return _smooth_minimum(_upper_sides(bone, u, v), _upper_base(bone, u, v), bone.rounding)


def _upper_sides(bone: UpperBone, u: Array, v: Array) -> Array:
    left = _side(_phalanx_profile(bone, -1), -u, -v)
    return np.minimum(left, _side(_phalanx_profile(bone, 1), u, -v))


def _upper_base(bone: UpperBone, u: Array, v: Array) -> Array:
    """Depth above the rim of the base: a hollow with lips at both ends."""
    reach = bone.base * bone.width / 2
    rim = bone.concavity * ((u / reach) ** 2 - 1.0).clip(max=0.6) + bone.base_slope * u
    slope = np.where(np.abs(u) < 1.26 * reach, 2.0 * bone.concavity * u / reach**2, 0.0) + bone.base_slope
    return (rim - v) / np.hypot(1.0, slope)


def _lower_depth(bone: LowerBone, u: Array, v: Array) -> Array:
    """Depth inside the metacarpal in mm, negative outside; exact at the outline."""
    sides = np.minimum(_side(_condyle_profile(bone, -1), -u, v), _side(_condyle_profile(bone, 1), u, v))
    return _smooth_minimum(sides, _dome(bone, u, v), 0.8)


def _dome(bone: LowerBone, u: Array, v: Array) -> Array:
    """Depth inside the superellipse that caps the head, continued straight below its equator."""
    across = (np.abs(u) / (bone.width / 2)).clip(min=0.02)  # the gradient vanishes on the axis
    along = (bone.height - v).clip(min=0.0) / bone.height
    power = bone.fullness
    level = (across**power + along**power) ** (1.0 / power)
    steep = np.hypot(across ** (power - 1) / (bone.width / 2), along ** (power - 1) / bone.height)
    return (1.0 - level) * level ** (power - 1) / steep


class _Profile(NamedTuple):
    """Half width of a bone along its axis, tabulated finely: places, half widths and 1 / hypot(1, slope)."""

    places: Array
    widths: Array
    cosines: Array


def _side(profile: _Profile, across: Array, along: Array) -> Array:
    """Depth inside one side of a bone."""
    width = np.interp(along, profile.places, profile.widths)
    return (width - across) * np.interp(along, profile.places, profile.cosines)


def _profile(bone: UpperBone | LowerBone, hand: int, places: list[float], ratios: list[float]) -> _Profile:
    """The profile of the left (-1) or right (1) side: smooth through shares of the half width, and a little uneven."""
    fine = np.linspace(places[0], places[-1], 400)
    half = bone.width / 2 * (1.0 + hand * bone.skew)
    phase = math.radians(bone.wave_phase) + hand
    widths = half * PchipInterpolator(places, ratios)(fine) + bone.wave * np.sin(1.7 * fine + hand * phase)
    return _Profile(fine, widths, 1.0 / np.hypot(1.0, np.gradient(widths, fine)))


@lru_cache(maxsize=16)
def _phalanx_profile(bone: UpperBone, hand: int) -> _Profile:
    """Half width by height above the joint of the left (-1) or right (1) side."""
    flare = bone.flare * (1.0 + hand * bone.flare_skew)
    base, waist = bone.base, 1.0 - bone.shaft
    places = [-4.0, 0.0, 0.35 * flare, 0.7 * flare, flare, *(flare + step for step in (1.3, 3.0, 4.8, 7.0, 12.0, 30.0))]
    ratios = [base - 0.2, base, base + 0.55 * (1 - base), base + 0.92 * (1 - base), 1.0 + bone.tubercle]
    ratios += [1.0 - waist * share for share in (0.08, 0.36, 0.7, 0.98, 1.05, 1.0)]
    return _profile(bone, hand, places, ratios)


@lru_cache(maxsize=16)
def _condyle_profile(bone: LowerBone, hand: int) -> _Profile:
    """Half width by depth below the head's top of the left (-1) or right (1) side."""
    notch, condyle = (bone.notch_left, bone.condyle_left) if hand < 0 else (bone.notch_right, bone.condyle_right)
    places = [-4.0, 0.0, 0.3 * condyle, 0.6 * condyle, condyle, condyle + 1.6, condyle + 3.5, condyle + 6.0, 30.0]
    neck = bone.neck
    ratios = [1.1, 1.03, 1.0, 1.0 - notch, 1.0, 0.4 + 0.6 * neck, neck, neck - 0.03, neck]
    return _profile(bone, hand, places, ratios)


def _smooth_minimum(first: Array, second: Array, radius: float) -> Array:
    """Minimum that rounds the corner where two depths meet, over about ``radius`` mm; never above the minimum."""
    near = (radius - np.abs(first - second)).clip(min=0.0)
    return np.minimum(first, second) - near**2 / (4.0 * radius)


def _chord(depth: Array, radius: Array | float) -> Array:
    """X-ray path through an elliptic limb at a depth inside its outline, as a share of the path through its middle."""
    return np.sqrt(1.0 - (1.0 - (depth / radius).clip(0.0, 1.0)) ** 2)


def _step(value: Array) -> Array:
    """Smooth step from 0 at 0 to 1 at 1."""
    inside = value.clip(0.0, 1.0)
    return inside * inside * (3.0 - 2.0 * inside)


class _Texture:
    """Periodic random textures of mean 0 and deviation 1, read at places in mm."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._mesh = 0.8 * _ridges(_smooth_noise(rng, 2.2, 2.0)) + 0.6 * _ridges(_smooth_noise(rng, 1.6, 1.3))
        self._streaks = _ridges(_smooth_noise(rng, 10.0, 1.1))
        self._blotch = _smooth_noise(rng, 7.0, 5.0)
        self._mottle = 0.9 * _smooth_noise(rng, 18.0, 14.0) + 0.45 * _smooth_noise(rng, 22.0, 4.0)

    def grain(self, bone: UpperBone | LowerBone, u: Array, v: Array) -> Array:
        """Contrast of a bone's trabeculae and uneven density, around 0."""
        return _read(bone.streaks * self._streaks + bone.mesh * self._mesh + bone.blotch * self._blotch, u, v)

    def mottle(self, u: Array, v: Array) -> Array:
        return _read(self._mottle, u, v)

    def mesh(self, u: Array, v: Array) -> Array:
        return _read(self._mesh, u, v)


def _smooth_noise(rng: np.random.Generator, along: float, across: float) -> Array:
    """Periodic Gaussian noise smoothed by so many lattice points along and across the bone."""
    spectrum = np.fft.rfft2(rng.standard_normal((_LATTICE, _LATTICE)))
    rows, columns = np.fft.fftfreq(_LATTICE)[:, None], np.fft.rfftfreq(_LATTICE)[None]
    low_pass = np.exp(-2.0 * (np.pi * along * rows) ** 2) * np.exp(-2.0 * (np.pi * across * columns) ** 2)
    smooth = np.fft.irfft2(spectrum * low_pass, s=(_LATTICE, _LATTICE))
    return (smooth - smooth.mean()) / smooth.std()


def _ridges(noise: Array) -> Array:
    """Bright lines along the zeros of a smooth noise: a net of trabeculae."""
    lines = np.exp(-((noise / 0.55) ** 2))
    return (lines - lines.mean()) / lines.std()


def _read(lattice: Array, u: Array, v: Array) -> Array:
    return map_coordinates(lattice, np.stack([v, u]) / _PITCH, order=1, mode="grid-wrap")


def _upper_attenuation(bone: UpperBone, u: Array, v: Array, texture: _Texture) -> Array:
    """Attenuation of the phalanx: cortical shell, spongy inside, and the bright floor of the joint over its rim."""
    sides, base = _upper_sides(bone, u, v), _upper_base(bone, u, v)
    half = np.interp(-v, *_phalanx_profile(bone, 1)[:2])
    grain = texture.grain(bone, 0.6 * bone.shaft * bone.width * u / half, v)
    rise = bone.floor * (1.0 - ((u - bone.floor_shift) / (bone.floor_width * bone.width / 2)) ** 2).clip(min=0.0)
    above = base - rise
    closed = _step(above / 0.3 + 0.5)
    body = _shaft(bone, sides, half, v, grain) * (closed + (1.0 - closed) * bone.rim * _chord(base, 1.2))
    band = closed * np.exp(-((above.clip(min=0.0) / bone.band_height) ** 2))
    band *= 0.3 + 0.7 * _step(2.0 * rise / bone.floor)
    return (body + bone.band * band * (1.0 + 0.4 * grain) * _chord(sides, 2.0)) * _chord(base, 0.5)


def _shaft(bone: UpperBone, sides: Array, half: Array, v: Array, grain: Array) -> Array:
    """An elliptic tube: the X-ray's path through its shell and through its spongy inside."""
    shell = bone.shell_base + (bone.shell_shaft - bone.shell_base) * _step((-v - bone.flare) / 6.0)
    core = _chord(sides - shell, half - shell)
    spongy = bone.spongy * (1.0 + 0.6 * _step((v + 5.0) / 4.0))
    return bone.cortex * (_chord(sides, half) - 0.9 * core) * (1.0 + 0.25 * grain) + spongy * core * (1.0 + grain)


def _lower_attenuation(bone: LowerBone, u: Array, v: Array, texture: _Texture) -> Array:
    """Attenuation of the metacarpal: a thin shell, a head that thickens towards the neck, the shaft's two cortices."""
    depth = _lower_depth(bone, u, v)
    across = _chord(bone.width / 2 - np.abs(u), bone.width / 2)
    plateau = bone.head * (bone.limb + (1.0 - bone.limb) * across) + _shaft_cortices(bone, u, v)
    spread = ((u - bone.patch_u) / 1.6) ** 2 + ((v - bone.patch_v) / 1.8) ** 2
    plateau += bone.patch * np.exp(-spread)
    edge = bone.edge * np.exp(-((depth - bone.shell) ** 2) / (2 * (0.6 * bone.shell) ** 2))
    grain = texture.grain(bone, u, v + 11.0)
    return (plateau * (1.0 + grain) + edge) * _chord(depth, 0.6)


def _shaft_cortices(bone: LowerBone, u: Array, v: Array) -> Array:
    """The shaft seen through the head: more between two ridges, sharp outside and fading inside, from some depth on."""
    half = bone.width / 2
    below = v - bone.ridge_start
    outwards = bone.ridge_slant * below + bone.ridge_bow * (below - 2.0) ** 2
    left, right = bone.inset_left * half + outwards + u, bone.inset_right * half + outwards - u
    between = _step(left / 0.4 + 0.5) * _step(right / 0.4 + 0.5)
    ridges = bone.ridge_left * _ridge(bone, left) + bone.ridge_right * _ridge(bone, right)
    return between * (bone.body * _step(below / 4.0 + 0.5) + ridges * _step(below / 3.5))


def _ridge(bone: LowerBone, depth: Array) -> Array:
    return np.exp(-depth.clip(min=0.0) / bone.ridge_width)


def _soft_attenuation(soft: SoftTissue, u: Array, v: Array, texture: _Texture) -> Array:
    """Attenuation of all that has no mask: tissue between the skin outlines, and bones that belong to other joints."""
    left, right = u + soft.left + soft.left_slant * v, soft.right + soft.right_slant * v - u
    tissue = soft.attenuation * _chord(left, soft.thickness) * _chord(right, soft.thickness)
    tissue *= (1.0 + soft.ascent * v / 10.0) * (1.0 + soft.mottle * texture.mottle(u, v))
    return soft.background + tissue.clip(min=0.0) + _other_bones(soft, u, v, texture)


def _other_bones(soft: SoftTissue, u: Array, v: Array, texture: _Texture) -> Array | float:
    if max(soft.sesamoid, soft.neighbour) <= 0.0:
        return 0.0
    grain = 1.0 + 0.15 * texture.mesh(u + 3.0, v + 3.0)
    size = soft.sesamoid_size
    sesamoid = _ellipse(u - soft.sesamoid_u, v - soft.sesamoid_v, size, 1.2 * size)
    neighbour = _ellipse(u - soft.neighbour_u, v - soft.neighbour_v, 4.5, 6.5)
    return grain * (max(soft.sesamoid, 0.0) * _chord(sesamoid, 1.0) + max(soft.neighbour, 0.0) * _chord(neighbour, 1.5))


def _ellipse(u: Array, v: Array, across: float, along: float) -> Array:
    """Depth inside an ellipse in mm, near its outline."""
    level = np.hypot(u / across, v / along).clip(min=1e-6)
    steep = np.hypot(u / across**2, v / along**2).clip(min=1e-6)
    return (1.0 - level) * level / steep
