"""Random draws of the parameters of phantoms, and re-takes of the same joint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from numbers import Integral
from typing import Any

import numpy as np
from bundle.joint import FINGERS, SIDES
from bundle.phantoms.parameters import (
    JSW_RANGE,
    PARAMETERS,
    RETAKE,
    Detector,
    Group,
    LowerBone,
    PhantomParameters,
    Posture,
    SoftTissue,
    UpperBone,
    expect,
    expect_retake,
)
from bundle.physics import SPACING

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
    expect(isinstance(seed, Integral) and seed >= 0, "seed", "a whole number of at least 0", seed)
    rng = np.random.default_rng([seed, PARAMETERS])
    width, drawn_finger, drawn_side = rng.uniform(*JSW_RANGE), rng.choice(FINGERS), rng.choice(SIDES)
    finger = str(drawn_finger) if finger is None else finger
    side = str(drawn_side) if side is None else side
    jsw_mm = float(width) if jsw_mm is None else jsw_mm
    expect(finger in FINGERS, "finger", f"one of {', '.join(FINGERS)}", finger)
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
    expect_retake(number)
    expect(min(shift, tilt) >= 0.0, "shift and tilt of a re-take", "at least 0", (shift, tilt))
    if number == 0:
        return replace(parameters, retake=0)
    x, y, turn = np.random.default_rng([parameters.seed, RETAKE, number]).uniform(-1.0, 1.0, size=3)
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
