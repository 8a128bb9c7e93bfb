"""Synthesis of radiographs with another joint space: ``J* = f_r(f_s(L, t*))`` (LSN Eq. 13), with noise texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from bundle.joint import MCP
from bundle.physics.harmonic import support
from bundle.physics.motion import ContinuedBones, RigidMotion
from bundle.physics.noise_texture import TissueNoise, WhiteNoise, visible_tissue
from bundle.physics.radiograph import attenuation, reconstruct
from bundle.physics.sampling import by_pixel_size
from torch import Tensor


@dataclass(frozen=True)
class SyntheticJoints:
    """Synthetic radiographs with exact ground truth.

    Attributes:
        image: radiographs, (B, 1, H, W) in [0, 1]; ``reconstruct(layers)``.
        layers: true layers, (B, 3, H, W).
        masks: moved, soft bone masks, (B, 2, H, W).
        motion: motion of the bones.
        seeds: random seed of each sample's noise texture.
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
    """Move the bones of separated joints, add noise texture to the uncovered tissue, and compose the radiographs.

    Args:
        layers: separated joints, (B, 3, H, W).
        masks: bone masks, (B, 2, H, W).
        motion: motion of B joints; without motion the image is ``reconstruct(layers)``.
        spacing: pixel size in mm; scalar or (B,).
        seeds: random seed of each joint's noise texture.
        mode: interpolation of :func:`bundle.physics.move`.
        white: sampler of the white noise; default: :func:`bundle.physics.noise_texture.sampled_on_host`.

    Raises:
        ValueError: if the shapes do not match, or the number of seeds is not B.
    """
    return SeparatedBones.of(layers, masks, spacing).synthesize(motion, spacing, seeds, mode, white=white)


@dataclass(frozen=True)
class SeparatedBones:
    """Separated joints with all motion-independent results, for the synthesis of any number of radiographs.

    Attributes:
        soft: soft-tissue layer, (B, 1, H, W) in [0, 1].
        covered: binary map of tissue that bones may cover, (B, 1, H, W).
        bones: continued bone layers with their masks and supports (:func:`bundle.physics.support`).
        noise_texture: noise texture of the visible tissue, and its missing part in the covered tissue.
    """

    soft: Tensor
    covered: Tensor
    bones: ContinuedBones
    noise_texture: TissueNoise

    @classmethod
    def of(cls, layers: Tensor, masks: Tensor, spacing: float | Tensor = MCP.spacing_mm) -> SeparatedBones:
        """Prepare layers (B, 3, H, W) with bone masks (B, 2, H, W); pixel size ``spacing`` in mm, scalar or (B,)."""
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
        seeds: Sequence[int] | None,
        mode: str = "bicubic",
        exact: bool = True,
        white: WhiteNoise | None = None,
    ) -> SyntheticJoints:
        """Run :func:`synthesize`; ``exact`` as in :func:`bundle.physics.move`. Without seeds no noise is added."""
        if seeds is None:
            bones, maps = self.bones.moved(motion, spacing, mode, exact)
            layers = torch.cat([self.soft, bones], dim=1)
            return SyntheticJoints(reconstruct(layers), layers, maps[:, :, 0], motion, ())
        if len(seeds) != len(self.soft):
            msg = f"expected one seed for each of {len(self.soft)} joints, got {len(seeds)}"
            raise ValueError(msg)
        bones, maps = self.bones.moved(motion, spacing, mode, exact)
        left = torch.maximum(maps[:, :1, 1], maps[:, 1:, 1])  # supports of the moved bones
        uncovered = self.covered * (0.5 - left).ceil()  # left < 0.5, in floating point, which is several times as fast
        layers = torch.cat([self.noise_texture.added(self.soft, uncovered, seeds, white), bones], dim=1)
        return SyntheticJoints(reconstruct(layers), layers, maps[:, :, 0], motion, seeds)
