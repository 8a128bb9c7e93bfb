"""Random sampling of phantom parameters, and re-takes of the same joint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from numbers import Integral
from typing import Any

import numpy as np
from bundle.joint import MCP, SIDES, JointType
from bundle.phantoms.anatomy import Pose, gap_between, place
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
from bundle.phantoms.surfaces import true_joint_space, with_joint_space

BASE_DEPTH = 11.0
"""Depth of the upper bone's base across the plane of the radiograph in mm: assumed, somewhat less than its width."""

LEAST_COVERED = 0.3
"""Minimum height in mm of the floor above the rim of a tilted phantom."""

MARGIN = 0.05
"""Distance in mm from the ends of the range of gaps that a tilted phantom keeps."""


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
    parameters: PhantomParameters,
    number: int,
    *,
    shift_mm: float = 0.3,
    rotation_deg: float = 2.0,
    tilt_deg: float = 0.0,
    dose: float = 1.0,
) -> PhantomParameters:
    """Return the parameters of another radiograph of the same joint: other noise, another position.

    The joint moves as one body, so its joint space stays the same. The shift includes the error of a crop: 2 pixels of
    a public frame are 0.16 mm.

    Args:
        parameters: parameters of the phantom.
        number: number of the re-take, at least 0; 0 is the phantom itself. It is part of the random seed.
        shift_mm: maximum shift of the joint along x and along y, in mm.
        rotation_deg: maximum rotation in the plane of the radiograph, in degrees.
        tilt_deg: maximum tilt out of this plane, in degrees (:func:`tilted`).
        dose: dose of the even re-takes relative to the phantom, above 0.

    Raises:
        InputError: if the number or a range is negative, or the dose is not positive.
    """
    expect_retake(number)
    ranges = (shift_mm, rotation_deg, tilt_deg)
    expect(min(ranges) >= 0.0, "shift, rotation and tilt of a re-take", "at least 0", ranges)
    expect(dose > 0.0, "dose of a re-take", "above 0", dose)
    if number == 0:
        return replace(parameters, retake=0)
    x, y, turn, tilt = np.random.default_rng([parameters.seed, RETAKE, number]).uniform(-1.0, 1.0, size=4)
    photons = parameters.detector.photons * (1.0 if number % 2 else dose)
    moved = reframed(tilted(parameters, tilt_deg * tilt), shift_mm * x, shift_mm * y, rotation_deg * turn)
    return replace(moved, detector=replace(parameters.detector, photons=photons), retake=int(number))


def tilted(parameters: PhantomParameters, degrees: float) -> PhantomParameters:
    """Return the same joint tilted out of the plane of the radiograph: the rim covers more or less of the joint space.

    The rim lies half of :data:`BASE_DEPTH` in front of the floor. It moves along the bone by this distance times the
    sine of the tilt, while everything else, and thus the joint space, stays. The rim remains below the floor, and the
    gap of the outlines in the range of the joint type.

    Args:
        parameters: parameters of the phantom.
        degrees: tilt, positive if the rim moves towards the lower bone.
    """
    if not degrees:
        return parameters
    low, high = parameters.joint_type.outline_gap_mm
    gap, upper, joint_space = parameters.outline_gap_mm, parameters.upper, true_joint_space(parameters)
    shift = BASE_DEPTH / 2 * math.sin(math.radians(degrees))
    covered = upper.floor + upper.rim_shift
    shift = min(max(shift, LEAST_COVERED - covered, gap - high + MARGIN), gap - low - MARGIN)
    upper = replace(upper, rim_shift=upper.rim_shift + shift)
    return with_joint_space(replace(parameters, upper=upper, outline_gap_mm=gap - shift), joint_space)


def reframed(parameters: PhantomParameters, x_mm: float, y_mm: float, rotation_deg: float) -> PhantomParameters:
    """Return the same joint elsewhere in the frame: both bones move as one body, rotated about the joint's centre.

    The vertical ``outline_gap_mm`` changes with the rotation; it is limited to the range of the joint type, which may
    move the bones of phantoms at its ends by some 0.01 mm.

    Args:
        parameters: parameters of the phantom.
        x_mm: shift to the right, of a left hand to the left.
        y_mm: shift downwards.
        rotation_deg: rotation, positive from x towards y.
    """
    first = parameters.posture
    shifted = replace(parameters, posture=replace(first, x=first.x + x_mm, y=first.y + y_mm))
    return _rotated(shifted, rotation_deg) if rotation_deg else shifted


def _rotated(parameters: PhantomParameters, degrees: float) -> PhantomParameters:
    """Rotate both bones about the middle between them."""
    upper, lower = place(parameters)
    angle, first = math.radians(degrees), parameters.posture
    across, along = lower.x - upper.x, lower.y - upper.y
    shift = math.cos(angle) * across - math.sin(angle) * along
    apart = math.sin(angle) * across + math.cos(angle) * along
    x, y = (upper.x + lower.x) / 2, (upper.y + lower.y) / 2
    poses = [
        Pose(x + side * shift / 2, y + side * apart / 2, bone.angle + degrees)
        for side, bone in ((-1, upper), (1, lower))
    ]
    posture = replace(first, x=x - shift / 2, y=y, tilt=first.tilt + degrees, shift=shift)
    low, high = parameters.joint_type.outline_gap_mm
    gap = min(max(gap_between(parameters, *poses), low), high)
    return replace(parameters, posture=posture, outline_gap_mm=gap)


def destroyed(parameters: PhantomParameters) -> PhantomParameters:
    """Return the joint with destroyed surfaces: collapsed, deeply eroded, and without a subchondral plate.

    No joint space can be measured in it.
    """
    upper = replace(parameters.upper, band=0.0, double=0.0, rim=1.0, floor_erosion=1.5)
    lower = replace(parameters.lower, edge=0.0, erosion=1.5)
    return replace(parameters, upper=upper, lower=lower, outline_gap_mm=parameters.joint_type.outline_gap_mm[0])


def _unmasked_bones(seen: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Sample the attenuations of the neighbouring bone and the sesamoid, 0 if absent."""
    sampled = rng.random(2)
    neighbour = 0.45 if sampled[0] < seen["neighbour"] else 0.0
    sesamoid = 0.3 if sampled[1] < seen["sesamoid"] else 0.0
    return {"neighbour": neighbour, "sesamoid": sesamoid}


def _sample(kind: type[Group], means: Mapping[str, float], streams: Mapping[int, np.random.Generator]) -> Group:
    values = {}
    for item in (item for item in fields(kind) if item.metadata):  # type: ignore[arg-type]
        step = float(np.clip(streams[item.metadata["stream"]].standard_normal(), -2.0, 2.0))
        values[item.name] = means.get(item.name, item.default) + item.metadata["deviation"] * step
    return kind(**values)
