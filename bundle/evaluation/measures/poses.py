"""Poses of other radiographs of the same joint: where its bones really are at another visit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from bundle.measurement import facing_centers
from bundle.physics import RigidMotion
from bundle.registration import BoneRegistration, BoneShift, Registration
from bundle.statistics import SeparatedJoints
from torch import Tensor
from tqdm import tqdm


@dataclass(frozen=True)
class Poses:
    """Radiographs whose bones were found in another radiograph of their joint.

    Attributes:
        radiographs: their rows in the set of joints, (n,).
        others: rows of the other radiographs, (n,).
        motion: motion of the n joints from the first to the pose of the second.
    """

    radiographs: Tensor
    others: Tensor
    motion: RigidMotion


def poses_of_others(
    joints: SeparatedJoints, random: np.random.RandomState, registration: Registration | None = None
) -> Poses:
    """Register each radiograph of a joint with several ones to another of them, chosen at random.

    The masks only select the bones; the registration compares the images.

    Args:
        joints: joints; those with one radiograph are left out, and so are radiographs of which a bone is not found.
        random: random generator of the choice.
        registration: method of the registration; default: a fit, which finds the bones in half of the pairs of visits
            that are months apart.
    """
    registration = registration or BoneRegistration()
    found = []
    for own, other in tqdm(_partners(joints.joints, random), desc="finding poses", unit="joint", mininterval=0.5):
        (image, after), spacing = joints.images[[own, other]], float(joints.spacing[own])
        shifts = registration(image[:1], image[1:], after[:1], spacing, after_masks=after[1:])
        if all(shift.found for shift in shifts):
            found.append((own, other, _motion(shifts, facing_centers(image[1:].numpy() > 0.5, spacing))))
    return _stacked(found)


def _partners(names: Sequence[str], random: np.random.RandomState) -> list[tuple[int, int]]:
    """Pair each radiograph of a joint with the next one in random order; each is the other one of one radiograph."""
    rows = defaultdict(list)
    for row, name in enumerate(names):
        rows[name].append(row)
    orders = [random.permutation(own) for own in rows.values() if len(own) > 1]
    return sorted(
        (int(own), int(other)) for order in orders for own, other in zip(order, np.roll(order, -1), strict=True)
    )


def _motion(shifts: Sequence[BoneShift], centers: np.ndarray) -> RigidMotion:
    """Motion of one joint by the shifts of its bones about the middles of the edges that face the joint."""
    return RigidMotion(
        torch.tensor([[[shift.x, shift.y] for shift in shifts]]),
        torch.tensor([[shift.rotation for shift in shifts]]),
        torch.as_tensor(centers, dtype=torch.float32)[None],
    )


def _stacked(found: Sequence[tuple[int, int, RigidMotion]]) -> Poses:
    if not found:
        return Poses(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), RigidMotion.still(0))
    own, others, motions = zip(*found, strict=True)
    parts = ([getattr(motion, name) for motion in motions] for name in ("translation", "rotation", "center"))
    return Poses(torch.tensor(own), torch.tensor(others), RigidMotion(*(torch.cat(part) for part in parts)))
