"""Sampling of the layers of overlapping bones."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import torch
from bundle.base import one_thread
from bundle.joint import MCP
from bundle.networks import LoadedOnUse
from bundle.phantoms import NATIVE
from bundle.physics import attenuation, intensity, signed_distance
from bundle.separation.overlap_sampling.conditions import REACH_MM, ROWS, conditions, fade, joint_rows
from bundle.separation.overlap_sampling.flow import integrate
from torch import Tensor, nn
from torch.nn import functional as F

DEVIATION = 0.065
"""Attenuation of a texture of 1: about the root mean square of :func:`exchanged` in overlaps."""


def band_limited(texture: Tensor, spacing_mm: float, native_mm: float = NATIVE) -> Tensor:
    """Remove the frequencies of textures (B, 1, H, W) that the detector's pixels of ``native_mm`` cannot hold."""
    if spacing_mm >= native_mm:
        return texture
    height, width = (max(round(side * spacing_mm / native_mm), 1) for side in texture.shape[-2:])
    coarse = F.interpolate(texture, (height, width), mode="bicubic", antialias=True)
    return F.interpolate(coarse, texture.shape[-2:], mode="bicubic")


def exchange(layers: Tensor, texture: Tensor, weight: Tensor) -> Tensor:
    """Give attenuation of the upper bone to the lower one; the layers compose to the same radiograph.

    Args:
        layers: soft tissue, lower and upper bone in [0, 1], (3, H, W).
        texture: attenuation to give, (1, H, W); limited to what each bone has.
        weight: weight of the texture in [0, 1], (1, H, W); layers with 0 stay the same bits.
    """
    lower, upper = attenuation(layers[1:]).split(1)
    given = torch.minimum(torch.maximum(texture * weight, -lower), upper)
    bones = intensity(torch.cat([lower + given, upper - given]))
    return torch.cat([layers[:1], torch.where(weight > 0.0, bones, layers[1:])])


class OverlapSampler(LoadedOnUse):
    """Sampler of the textures of both bones where they overlap, given a radiograph and its mean separation.

    A generator trained on squared errors returns the mean of the plausible textures, which is smoother than bone. A
    rectified flow samples the attenuation that one bone gives to the other instead. Soft tissue and the sum of both
    bones stay the same, so the layers compose to the radiograph. The weights are loaded on first use.

    Args:
        network: network from state, time and :func:`conditions`, (B, 9, H, W), to the velocity (B, 1, H, W).
        load_path: file of the weights.
        metadata: file of the bundle's metadata with the checksum of the weights; empty for user-trained weights.
        steps: number of integration steps.
        seed: random seed of the samples, combined with the radiograph.
        samples: number of samples whose mean is returned; more than 1 give a better estimate, but no texture of bone.
    """

    what = "overlap sampling"
    remedy = "leave sample_overlap false, or train this network with configs/jobs/sample_overlap.yaml"

    def __init__(
        self,
        network: nn.Module,
        load_path: str | Path,
        metadata: str = "",
        steps: int = 10,
        seed: int = 0,
        samples: int = 1,
    ) -> None:
        super().__init__(network, load_path, metadata)
        self.steps, self.seed, self.samples = steps, seed, samples

    def __str__(self) -> str:
        """Name and checksum of the weights, and how they are used."""
        mean = f", mean of {self.samples} samples" if self.samples > 1 else ""
        return f"{super().__str__()} in {self.steps} steps with seed {self.seed}{mean}"

    @torch.no_grad()
    def __call__(self, image: Tensor, layers: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
        """Sample layers (3, H, W); those of a joint without overlap are returned unchanged.

        Args:
            image: radiograph and masks, (3, H, W).
            layers: their separation, (3, H, W).
            spacing_mm: pixel size in mm.

        Raises:
            InputError: if the weights are missing or those of another network.
        """
        masks = image[None, 1:].to(layers)
        weight = fade(signed_distance(masks, math.ceil(REACH_MM / spacing_mm)), spacing_mm)[0]
        if not bool((weight > 0.0).any()):
            return layers
        self.load()
        given = conditions(layers[None], masks, spacing_mm)
        rows = joint_rows(weight, ROWS)
        texture = torch.zeros_like(weight)
        several = given[..., rows, :].expand(self.samples, -1, -1, -1)
        sampled = band_limited(self.texture(several, self._noise(image)), spacing_mm)
        texture[:, rows] = sampled.mean(dim=0) * DEVIATION
        return exchange(layers, texture, weight)

    def texture(self, given: Tensor, generator: torch.Generator) -> Tensor:
        """Sample textures (B, 1, H, W) for :func:`conditions` (B, 7, H, W); zero outside the overlap."""
        both = given[:, -1:]
        noise = torch.randn(both.shape, generator=generator) * both

        def velocity(state: Tensor, time: float) -> Tensor:
            joined = torch.cat([state, torch.full_like(state, time), given], dim=1)
            return torch.as_tensor(self.network(joined)) * both

        with one_thread():
            return integrate(velocity, noise, self.steps)

    def _noise(self, image: Tensor) -> torch.Generator:
        grey = (image[0] * 255.0).round().to(torch.uint8).cpu().numpy()
        return torch.Generator().manual_seed(zlib.crc32(grey.tobytes(), self.seed))
