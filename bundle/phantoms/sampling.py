"""Random sampling of phantom parameters, and re-takes of the same joint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from numbers import Integral
from typing import Any

import numpy as np
from bundle.joint import MCP, SIDES, JointType
from bundle.phantoms.parameters import (
    PARAMETERS,
    RETAKE,
    SURFACES,
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
from bundle.phantoms.populations import Population, population


def sample_parameters(
    seed: int,
    *,
    outline_gap_mm: float | None = None,
    size: int | None = None,
    spacing: float | None = None,
    finger: str | None = None,
    side: str | None = None,
    joint_type: JointType = MCP,
) -> PhantomParameters:
    """Sample the parameters of a phantom; all randomness comes from the seed.

    Args:
        seed: random seed, at least 0. Arguments below override sampled values and do not change the others.
        outline_gap_mm: gap between the outlines in mm; default: sampled uniformly from the range of the joint type.
        size: height and width of the frame in pixels; default: that of the joint type.
        spacing: pixel size in mm; default: such that the frame has the size of the joint type, 21 mm for MCP joints.
        finger: one of the fingers of the joint type; default: sampled.
        side: ``"left"`` or ``"right"``; default: sampled.
        joint_type: type of the joint.

    Raises:
        InputError: if an argument is out of range.
    """
    expect(isinstance(seed, Integral) and seed >= 0, "seed", "a non-negative integer", seed)
    rng = np.random.default_rng([seed, PARAMETERS])
    fingers = joint_type.fingers
    width, sampled_finger, sampled_side = (
        rng.uniform(*joint_type.outline_gap_mm),
        rng.choice(fingers),
        rng.choice(SIDES),
    )
    finger = str(sampled_finger) if finger is None else finger
    side = str(sampled_side) if side is None else side
    outline_gap_mm = float(width) if outline_gap_mm is None else outline_gap_mm
    size = joint_type.pixels if size is None else size
    spacing = joint_type.spacing_at(size) if spacing is None else spacing
    expect(finger in fingers, "finger", f"one of {', '.join(fingers)}", finger)
    streams = {PARAMETERS: rng, SURFACES: np.random.default_rng([seed, SURFACES])}
    groups = _groups(population(joint_type), finger, streams)
    return PhantomParameters(int(seed), finger, side, size, spacing, outline_gap_mm, **groups, joint=joint_type.name)


def _groups(joints: Population, finger: str, streams: Mapping[int, np.random.Generator]) -> dict[str, Any]:
    """Sample the parameters of each group, each from its stream."""
    means = joints.means(finger)
    means["soft"] = {**means["soft"], **_unmasked_bones(joints.seen[finger], streams[PARAMETERS])}
    kinds = {"upper": UpperBone, "lower": LowerBone, "soft": SoftTissue, "posture": Posture, "detector": Detector}
    return {name: _sample(kind, means.get(name, {}), streams) for name, kind in kinds.items()}


def retake(
    parameters: PhantomParameters, number: int, *, shift_mm: float = 0.3, tilt_deg: float = 2.0
) -> PhantomParameters:
    """Return the parameters of another radiograph of the same joint: different noise, slightly different position.

    Anatomy and gap stay the same. The shift includes the error of a crop: 2 pixels of a public frame are 0.16 mm. The
    bones are repositioned so that the vertical ``outline_gap_mm`` is exact in each re-take; along the joint's axis,
    re-takes therefore differ by 0.01 mm on average.

    Args:
        parameters: parameters of the phantom.
        number: number of the re-take, at least 0; 0 is the phantom itself. It is part of the random seed.
        shift_mm: maximum shift of the joint along x and along y, in mm.
        tilt_deg: maximum rotation, in degrees.

    Raises:
        InputError: if the number or a range is negative.
    """
    expect_retake(number)
    expect(min(shift_mm, tilt_deg) >= 0.0, "shift and tilt of a re-take", "at least 0", (shift_mm, tilt_deg))
    if number == 0:
        return replace(parameters, retake=0)
    x, y, tilt = np.random.default_rng([parameters.seed, RETAKE, number]).uniform(-1.0, 1.0, size=3)
    first = parameters.posture
    posture = replace(first, x=first.x + shift_mm * x, y=first.y + shift_mm * y, tilt=first.tilt + tilt_deg * tilt)
    return replace(parameters, posture=posture, retake=int(number))


def _unmasked_bones(seen: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Sample the attenuations of the neighbouring bone and the sesamoid, 0 if absent."""
    sampled = rng.random(2)
    neighbour = 0.45 if sampled[0] < seen["neighbour"] else 0.0
    sesamoid = 0.3 if sampled[1] < seen["sesamoid"] else 0.0
    return {"neighbour": neighbour, "sesamoid": sesamoid}


def _sample(kind: type[Group], means: Mapping[str, float], streams: Mapping[int, np.random.Generator]) -> Group:
    values = {}
    for item in fields(kind):  # type: ignore[arg-type]
        step = float(np.clip(streams[item.metadata["stream"]].standard_normal(), -2.0, 2.0))
        values[item.name] = means.get(item.name, item.default) + item.metadata["deviation"] * step
    return kind(**values)
