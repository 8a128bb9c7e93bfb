"""Synthesis of radiographs with another joint space: ``J* = f_r(f_s(L, t*))`` (LSN Eq. 13), with grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from bundle.joint import MCP
from bundle.physics.harmonic import support
from bundle.physics.motion import ContinuedBones, RigidMotion
from bundle.physics.noise_texture import TissueNoise, WhiteNoise, visible_tissue
from bundle.physics.radiograph import attenuation, intensity, reconstruct
from bundle.physics.sampling import by_pixel_size
from torch import Tensor


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
    white: WhiteNoise | None = None,
) -> SyntheticJoints:
    """Move the bones of separated joints, give the uncovered tissue grain, and compose.

    Args:
        layers: separated joints, (B, 3, H, W).
        masks: bone masks, (B, 2, H, W).
        motion: of B joints; without motion the image is ``reconstruct(layers)``.
        spacing: mm per pixel, one for all or (B,).
        seeds: of the grain, one a joint.
        mode: interpolation of :func:`bundle.physics.move`.
        white: samples the white noise, by default :func:`bundle.physics.noise_texture.sampled_on_host`.

    Raises:
        ValueError: if shapes do not agree, or the number of seeds is not B.
    """
    return SeparatedBones.of(layers, masks, spacing).synthesize(motion, spacing, seeds, mode, white=white)


@dataclass(frozen=True)
class SeparatedBones:
    """Separated joints with all that does not depend on the motion, from which any number of radiographs are made.

    Attributes:
        soft: the soft-tissue layer, (B, 1, H, W) in [0, 1].
        covered: where a bone may cover it, (B, 1, H, W) of 0 and 1.
        bones: continued bone layers, each with its mask and its support (:func:`bundle.physics.support`).
        noise_texture: of the visible tissue, and what the covered tissue lacks of it.
    """

    soft: Tensor
    covered: Tensor
    bones: ContinuedBones
    noise_texture: TissueNoise

    @classmethod
    def of(cls, layers: Tensor, masks: Tensor, spacing: float | Tensor = MCP.spacing_mm) -> SeparatedBones:
        """Of layers (B, 3, H, W) and bone masks (B, 2, H, W); ``spacing`` in mm per pixel, one for all or (B,)."""
        supports = torch.cat(by_pixel_size(lambda pixel, part: support(part, pixel), spacing, masks))
        covered = supports.amax(dim=1, keepdim=True)
        tissue = visible_tissue(layers, masks, covered)
        noise_texture = TissueNoise.of(attenuation(layers[:, :1]), tissue, covered, spacing)
        bones = ContinuedBones.of(layers[:, 1:], torch.stack([masks, supports.to(masks)], dim=2), spacing)
        return cls(layers[:, :1], covered, bones, noise_texture)

    @property
    def masks(self) -> Tensor:
        """The bone masks before any motion, (B, 2, H, W)."""
        return self.bones.maps[:, :, 0]

    def synthesize(
        self,
        motion: RigidMotion,
        spacing: float | Tensor,
        seeds: Sequence[int],
        mode: str = "bicubic",
        exact: bool = True,
        white: WhiteNoise | None = None,
    ) -> SyntheticJoints:
        """:func:`synthesize`; ``exact`` as in :func:`bundle.physics.move`."""
        if len(seeds) != len(self.soft):
            msg = f"expected one seed for each of {len(self.soft)} joints, got {len(seeds)}"
            raise ValueError(msg)
        bones, maps = self.bones.moved(motion, spacing, mode, exact)
        uncovered = self.covered * (maps[:, :, 1] < 0.5).all(dim=1, keepdim=True)
        textured = intensity(self.noise_texture.added(attenuation(self.soft), uncovered, seeds, white))
        layers = torch.cat([torch.where(uncovered > 0, textured, self.soft), bones], dim=1)
        return SyntheticJoints(reconstruct(layers), layers, maps[:, :, 0], motion, seeds)
