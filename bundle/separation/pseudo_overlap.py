"""Pseudo-overlap images: non-overlapping joints, closed until their bones overlap, with true layers.

Three functions implement the protocol :class:`OverlapMaker`: :func:`compose_layers` and
:func:`compose_layers_on_device`, whose layers compose exactly to the image, and :func:`compose_published`, the paper's
Eq. 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from bundle.measurement import outline_gap
from bundle.physics import RigidMotion, SyntheticJoints, bone_radiographs, move, overlap, sampled_on_device, synthesize
from torch import Tensor


class OverlapMaker(Protocol):
    """Function that makes pseudo-overlap images of separated joints: layers (B, 3, H, W) and masks (B, 2, H, W)."""

    def __call__(
        self, layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float | Tensor, seeds: Sequence[int]
    ) -> SyntheticJoints:
        """Move the bones of B joints by ``motion`` and compose radiographs; ``spacing`` is the pixel size in mm."""


@dataclass(frozen=True, kw_only=True)
class OverlapRange:
    """Ranges of the random motion that closes a joint.

    Attributes:
        outline_gap_mm: minimum and maximum gap between the outlines after the motion, in mm; negative values overlap.
        x_mm: maximum lateral shift of a bone in mm, to either side.
        rotation_deg: maximum rotation of a bone in degrees, in either direction.

    Raises:
        ValueError: if ``outline_gap_mm`` is not an ascending pair.
    """

    outline_gap_mm: tuple[float, float] = (-1.6, 0.2)
    x_mm: float = 0.5
    rotation_deg: float = 3.0

    def __post_init__(self) -> None:
        if len(self.outline_gap_mm) != 2 or not self.outline_gap_mm[0] <= self.outline_gap_mm[1]:
            msg = f"outline_gap_mm must be (minimum, maximum) in mm, got {self.outline_gap_mm}"
            raise ValueError(msg)

    def sample(self, masks: Tensor, spacing: float | Tensor, random: np.random.RandomState) -> RigidMotion:
        """Sample motions that bring joints with masks (B, 2, H, W) to an outline gap in the range, before rotation."""
        return self.closing(torch.nan_to_num(outline_gap(masks, spacing)).cpu(), random)

    def closing(self, now: Tensor, random: np.random.RandomState) -> RigidMotion:
        """Sample motions from the outline gaps ``now``, (B,) in mm, to gaps in the range, before rotation."""
        count = now.shape[0]
        target = torch.from_numpy(random.uniform(*self.outline_gap_mm, size=count)).to(now)
        share = torch.from_numpy(random.uniform(0.0, 1.0, size=count)).to(now)
        side = torch.from_numpy(random.uniform(-self.x_mm, self.x_mm, size=(count, 2))).to(now)
        rotation = torch.from_numpy(random.uniform(-self.rotation_deg, self.rotation_deg, size=(count, 2))).to(now)
        change = target - now
        down = torch.stack([change * (1.0 - share), -change * share], dim=1)
        return RigidMotion(torch.stack([side, down], dim=-1), rotation, torch.zeros(count, 2, 2).to(now))


def compose_layers(
    layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float | Tensor, seeds: Sequence[int]
) -> SyntheticJoints:
    """Close joints by moving bone layers; the layers compose exactly to the image."""
    return synthesize(layers, masks, motion, spacing, seeds)


def compose_layers_on_device(
    layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float | Tensor, seeds: Sequence[int]
) -> SyntheticJoints:
    """Run :func:`compose_layers` with noise sampled on the device of the layers."""
    return synthesize(layers, masks, motion, spacing, seeds, white=sampled_on_device)


def compose_published(
    layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float | Tensor, seeds: Sequence[int]
) -> SyntheticJoints:
    """Make the paper's pseudo-image: ``1 - k prod(1 - B_i)`` on the bones, filled soft tissue around them (Eq. 10).

    ``B_i`` is a bone cut out along its mask and moved together with its soft tissue. In the overlap this tissue counts
    twice; ``k = 1 / (1 - mean fill in the overlap)`` removes it once. The returned layers are the fill and each bone's
    excess over it. They compose to the image only approximately, because k is a mean. ``seeds`` are ignored: the
    published image has no noise texture in uncovered tissue.
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
    """Outside the overlap: each bone with its soft tissue, and the filled soft tissue elsewhere."""
    weight = masks / masks.sum(dim=1, keepdim=True).clamp(min=1.0)
    return (moved[:, 1:] * weight).sum(dim=1, keepdim=True) + soft * (1.0 - weight.sum(dim=1, keepdim=True))
