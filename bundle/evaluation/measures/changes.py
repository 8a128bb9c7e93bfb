"""Requested changes of the joint space: the motions that E6 and E6_width synthesize."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from bundle.measurement import facing_centers
from bundle.physics import RigidMotion
from torch import Tensor


@dataclass(frozen=True)
class Change:
    """A requested change of the joint space.

    Attributes:
        kind: ``fixed`` or ``random``.
        asked: change in mm.
        upper_share: fraction of it that moves the upper bone.
        nuisance: motion sideways in mm and rotation in degrees, of the lower and the upper bone, (2, 2).
        noise_texture: seed of the noise texture.
    """

    kind: str
    asked: float
    upper_share: float
    nuisance: np.ndarray
    noise_texture: int

    def motion(self, masks: Tensor, spacing: float) -> RigidMotion:
        """Return the motion of one joint with masks (2, H, W)."""
        motion = RigidMotion.widening(torch.tensor([self.asked], dtype=torch.float64), self.upper_share)
        motion.translation[0, :, 0] = torch.from_numpy(self.nuisance[:, 0])
        motion.rotation[0] = torch.from_numpy(self.nuisance[:, 1])
        bones = masks.numpy() > 0.5
        if all(bone.any() for bone in bones):
            motion.center[0] = torch.from_numpy(facing_centers(bones, spacing))
        return motion

    def row(self) -> dict[str, Any]:
        """Return the columns of a table that describe the change."""
        return {
            "kind": self.kind,
            "asked": float(self.asked),
            "upper_share": float(self.upper_share),
            "noise_texture": self.noise_texture,
        }


@dataclass(frozen=True, kw_only=True)
class RequestedChanges:
    """Changes of the joint space that are requested of every joint.

    Each joint is synthesized with every one of ``changes_mm`` and with ``random_changes`` changes sampled uniformly
    from ``+-largest_mm``; the upper bone's share of the motion is sampled from 0 to 1. The synthetic radiographs are
    quantised to ``levels`` steps, as in a file.

    Attributes:
        seed: random seed of changes, shares, nuisance motion, noise texture and intervals. Changes depend on the number
            of joints but not on their layers, so separators are compared on the same motions.
        changes_mm: changes of every joint, in mm.
        random_changes: number of random changes per joint.
        largest_mm: largest random change.
        sideways_mm: nuisance motion: largest shift of each bone to either side.
        rotation_deg: nuisance motion: largest rotation of each bone about the middle of its edge that faces the joint.
        mode: interpolation of :func:`bundle.physics.synthesize`.
        levels: grey levels of a synthetic file.
        samples: number of bootstrap samples over joints.
        worst_count: number of images listed for inspection.
    """

    seed: int = 0
    changes_mm: Sequence[float] = (0.02, -0.05)
    random_changes: int = 2
    largest_mm: float = 1.0
    sideways_mm: float = 0.0
    rotation_deg: float = 0.0
    mode: str = "bicubic"
    levels: int = 256
    samples: int = 1000
    worst_count: int = 10

    def sampled(self, joints: int) -> list[list[Change]]:
        """Sample the changes of each joint.

        Raises:
            ValueError: there is no joint or no change.
        """
        changes = len(self.changes_mm) + self.random_changes
        if not joints or not changes:
            msg = f"joints and changes must be at least 1 each, got {joints} and {changes}"
            raise ValueError(msg)
        random = np.random.RandomState(self.seed)
        sampled = random.uniform(-self.largest_mm, self.largest_mm, size=(joints, self.random_changes))
        asked = np.concatenate([np.tile(np.asarray(self.changes_mm, float), (joints, 1)), sampled], axis=1)
        share = random.uniform(size=asked.shape)
        nuisance = random.uniform(-1.0, 1.0, size=(*asked.shape, 2, 2)) * [self.sideways_mm, self.rotation_deg]
        noise_texture = random.randint(2**31 - 1, size=asked.shape)
        return [
            [
                Change(self._kind(at), asked[j, at], share[j, at], nuisance[j, at], int(noise_texture[j, at]))
                for at in range(changes)
            ]
            for j in range(joints)
        ]

    def _kind(self, at: int) -> str:
        return "fixed" if at < len(self.changes_mm) else "random"

    def quantised(self, radiographs: Tensor) -> Tensor:
        """Return radiographs with the grey levels of a file."""
        steps = self.levels - 1
        return (radiographs * steps).round() / steps
