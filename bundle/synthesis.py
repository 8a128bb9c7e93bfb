"""Synthesis of radiographs with another joint space: ``J* = f_r(f_s(L, t*))`` (LSN Eq. 13), with grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bundle.grain import add_grain, visible_tissue
from bundle.harmonic import support
from bundle.motion import RigidMotion, move
from bundle.radiograph import attenuation, intensity, reconstruct


@dataclass(frozen=True)
class SyntheticJoints:
    """Synthetic radiographs with their exact truth.

    Attributes:
        image: radiographs, (B, 1, H, W) in [0, 1]; ``reconstruct(layers)``.
        layers: the layers they are made of, (B, 3, H, W).
        masks: the moved, soft bone masks, (B, 2, H, W).
        motion: how the bones were moved.
        seeds: of the grain, one a sample.
    """

    image: Tensor
    layers: Tensor
    masks: Tensor
    motion: RigidMotion
    seeds: Sequence[int]


def synthesize(
    layers: Tensor,
    masks: Tensor,
    motion: RigidMotion,
    spacing: float | Tensor,
    seeds: Sequence[int],
    mode: str = "bicubic",
) -> SyntheticJoints:
    """Move the bones of separated joints, give the uncovered tissue grain, and compose.

    Args:
        layers: separated joints, (B, 3, H, W).
        masks: bone masks, (B, 2, H, W).
        motion: of B joints; without motion the image is ``reconstruct(layers)``.
        spacing: mm per pixel, one for all or (B,).
        seeds: of the grain, one a joint.
        mode: interpolation of :func:`bundle.motion.move`.

    Raises:
        ValueError: if shapes do not agree, or the number of seeds is not B.
    """
    if len(seeds) != layers.shape[0]:
        msg = f"expected one seed for each of {layers.shape[0]} joints, got {len(seeds)}"
        raise ValueError(msg)
    moved, moved_masks = move(layers, masks, motion, spacing, mode)
    covered = support(masks).amax(dim=1, keepdim=True)
    uncovered = covered * (1.0 - support(moved_masks).amax(dim=1, keepdim=True))
    soft = intensity(add_grain(attenuation(moved[:, :1]), visible_tissue(layers, masks), uncovered, seeds))
    moved = torch.cat([torch.where(uncovered > 0, soft, moved[:, :1]), moved[:, 1:]], dim=1)
    return SyntheticJoints(reconstruct(moved), moved, moved_masks, motion, seeds)
