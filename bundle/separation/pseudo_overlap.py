"""Pseudo-overlap images: joints whose bones do not overlap, pushed into each other, with their true layers.

Two makers behind one call signature, :class:`OverlapMaker`: :func:`compose_layers`, whose images are exactly what their
layers compose to, and :func:`compose_published`, the paper's Eq. 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from bundle.measurement import joint_space_width
from bundle.physics import RigidMotion, SyntheticJoints, bone_radiographs, move, overlap, sampled_on_device, synthesize
from torch import Tensor


class OverlapMaker(Protocol):
    """Makes pseudo-overlap images from separated joints: layers (B, 3, H, W) and masks (B, 2, H, W)."""

    def __call__(
        self, layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float | Tensor, seeds: Sequence[int]
    ) -> SyntheticJoints:
        """Move the bones of B joints by ``motion`` and compose radiographs; ``spacing`` in mm per pixel."""


@dataclass(frozen=True, kw_only=True)
class OverlapRange:
    """Ranges of the random motion that closes a joint.

    Attributes:
        joint_space_mm: lowest and highest joint space width after the motion, in mm; negative overlaps.
        x_mm: largest shift of a bone to either side, in mm.
        rotation_deg: largest rotation of a bone either way, in degrees.

    Raises:
        ValueError: if ``joint_space_mm`` is not an ascending pair.
    """

    joint_space_mm: tuple[float, float] = (-1.6, 0.2)
    x_mm: float = 0.5
    rotation_deg: float = 3.0

    def __post_init__(self) -> None:
        if len(self.joint_space_mm) != 2 or not self.joint_space_mm[0] <= self.joint_space_mm[1]:
            msg = f"expected joint_space_mm as (lowest, highest) in mm, got {self.joint_space_mm}"
            raise ValueError(msg)

    def sample(self, masks: Tensor, spacing: float | Tensor, random: np.random.RandomState) -> RigidMotion:
        """Draw motions that bring joints with these masks (B, 2, H, W) to a JSW in the range, before rotation."""
        return self.closing(torch.nan_to_num(joint_space_width(masks, spacing)).cpu(), random)

    def closing(self, now: Tensor, random: np.random.RandomState) -> RigidMotion:
        """Draw motions that bring joints of these JSW (B,) in mm to one in the range, before rotation."""
        count = now.shape[0]
        wanted = torch.from_numpy(random.uniform(*self.joint_space_mm, size=count)).to(now)
        share = torch.from_numpy(random.uniform(0.0, 1.0, size=count)).to(now)
        side = torch.from_numpy(random.uniform(-self.x_mm, self.x_mm, size=(count, 2))).to(now)
        turn = torch.from_numpy(random.uniform(-self.rotation_deg, self.rotation_deg, size=(count, 2))).to(now)
        change = wanted - now
        down = torch.stack([change * (1.0 - share), -change * share], dim=1)
        return RigidMotion(torch.stack([side, down], dim=-1), turn, torch.zeros(count, 2, 2).to(now))


def compose_layers(
    layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float | Tensor, seeds: Sequence[int]
) -> SyntheticJoints:
    """Push the bones into each other in layer space, where the composition and its layers are exact."""
    return synthesize(layers, masks, motion, spacing, seeds)


def compose_layers_on_device(
    layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float | Tensor, seeds: Sequence[int]
) -> SyntheticJoints:
    """:func:`compose_layers` with noise sampled on the device of the layers."""
    return synthesize(layers, masks, motion, spacing, seeds, white=sampled_on_device)


def compose_published(
    layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float | Tensor, seeds: Sequence[int]
) -> SyntheticJoints:
    """The paper's pseudo-image: ``1 - k prod(1 - B_i)`` on the bones, the filled soft tissue around them (Eq. 10).

    ``B_i`` is a bone cut out along its mask with the soft tissue over it, moved together. Both carry soft tissue, so in
    the overlap it would count twice; ``k = 1 / (1 - mean fill in the overlap)`` takes it out once. The layers returned
    are the fill, and each bone's excess over it: they compose to the image only nearly, because k is a mean.
    ``seeds`` are not used: the published image has no grain in uncovered tissue.
    """
    soft = layers[:, :1]
    cut = torch.cat([soft, bone_radiographs(layers)], dim=1)
    moved, moved_masks = move(cut, masks, motion, spacing)
    both = overlap(moved_masks)
    mean_fill = (soft * both).sum(dim=(-2, -1), keepdim=True) / both.sum(dim=(-2, -1), keepdim=True).clamp(min=1.0)
    k = 1.0 / (1.0 - mean_fill).clamp(min=1e-3)
    bones = moved[:, 1:] * moved_masks
    image = torch.where(
        both > 0.5, 1.0 - k * (1.0 - bones).prod(dim=1, keepdim=True), _around(soft, moved, moved_masks)
    )
    excess = (1.0 - (1.0 - moved[:, 1:]) / (1.0 - soft).clamp(min=1e-3)).clamp(0.0, 1.0) * moved_masks
    return SyntheticJoints(image.clamp(0.0, 1.0), torch.cat([soft, excess], dim=1), moved_masks, motion, seeds)


def _around(soft: Tensor, moved: Tensor, masks: Tensor) -> Tensor:
    """Outside the overlap: the one bone that is there with its tissue, else the filled soft tissue."""
    weight = masks / masks.sum(dim=1, keepdim=True).clamp(min=1.0)
    return (moved[:, 1:] * weight).sum(dim=1, keepdim=True) + soft * (1.0 - weight.sum(dim=1, keepdim=True))
