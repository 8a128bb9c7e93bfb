"""Noise texture of soft tissue below the bones, sampled with the statistics of the surrounding tissue.

The soft-tissue fill below a bone is smooth, and all noise of the radiograph there stays in the bone layer. This suits
the motion of a bone, which must keep its detail; :class:`TissueNoise` then adds new noise to the uncovered tissue.
However, the soft-tissue layer then has a smooth patch in the shape of the bone. :func:`share_noise_texture`, the last
step of a separation whose layers are displayed or used individually, divides the noise between tissue and bone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
from bundle.joint import MCP
from bundle.physics.harmonic import support
from bundle.physics.masks import visible_region
from bundle.physics.radiograph import attenuation, intensity, reconstruct
from bundle.physics.sampling import by_pixel_size
from monai.networks.layers import gaussian_1d, separable_filtering
from torch import Tensor

DETAIL_MM = 2 * MCP.spacing_mm
"""Sigma of the Gaussian high-pass filter that extracts the noise texture: 0.16 mm, 2 pixels of the public frames."""

NEIGHBOURHOOD_MM = 16 * MCP.spacing_mm
"""Sigma of the neighbourhood in which the variance of the noise texture is measured: 1.3 mm."""

WhiteNoise = Callable[[Tensor, int], Tensor]
"""Sampler of white noise shaped like a tensor from a seed: :func:`sampled_on_host` or :func:`sampled_on_device`."""

_OTHER = 0x5EED
"""XOR mask that derives the seed of added noise from the seed of the uncovered tissue."""

MOTTLE_MM = 9 * MCP.spacing_mm
"""Sigma of the coarsest tissue texture that :func:`share_noise_texture` continues below the bones: 0.74 mm."""


@dataclass(frozen=True)
class TissueNoise:
    """Noise texture of the visible tissue of joints, and the part of it that the tissue below the bones lacks.

    Attributes:
        missing: standard deviation of the missing noise where bones cover the tissue, (B, 1, H, W).
        deviation: standard deviation of the visible tissue's noise, (B, 1, 1, 1).
        amplitude: amplitude spectrum of the visible tissue's noise, (B, 1, H, W // 2 + 1).
    """

    missing: Tensor
    deviation: Tensor
    amplitude: Tensor

    @classmethod
    def of(cls, soft: Tensor, tissue: Tensor, covered: Tensor, spacing: float | Tensor = MCP.spacing_mm) -> TissueNoise:
        """Measure the noise texture.

        Args:
            soft: attenuation of the soft tissue, (B, 1, H, W), non-negative.
            tissue: binary map of tissue without bone over it, (B, 1, H, W).
            covered: binary map of tissue that bones may cover, (B, 1, H, W).
            spacing: pixel size in mm; scalar or (B,).
        """
        parts = by_pixel_size(cls._of, spacing, soft, tissue, covered)
        return cls(*(torch.cat([getattr(part, item.name) for part in parts]) for item in fields(cls)))

    @classmethod
    def _of(cls, pixel: float, soft: Tensor, tissue: Tensor, covered: Tensor) -> TissueNoise:
        residual = _detail(soft, DETAIL_MM / pixel)
        there = local_mean(residual.square(), tissue, NEIGHBOURHOOD_MM / pixel)
        here = local_mean(residual.square(), covered, DETAIL_MM / pixel)
        total = tissue.sum(dim=(-3, -2, -1), keepdim=True).clamp(min=1.0)
        variance = (residual.square() * tissue).sum(dim=(-3, -2, -1), keepdim=True) / total
        return cls((there - here).clamp(min=0.0).sqrt(), variance.sqrt(), torch.fft.rfft2(residual * tissue).abs())

    def added(self, soft: Tensor, uncovered: Tensor, seeds: Sequence[int], white: WhiteNoise | None = None) -> Tensor:
        """Add the missing noise to the attenuation of uncovered tissue.

        The texture has the amplitude spectrum of the visible tissue's noise and random phases. Its local variance is
        that of the nearby tissue minus that of the covered tissue, so tissue that already has noise gets none.

        Args:
            soft: soft-tissue layer, (B, 1, H, W) in [0, 1].
            uncovered: map of the tissue that a bone has uncovered, (B, 1, H, W) in [0, 1].
            seeds: random seed of each of the B samples.
            white: sampler of the white noise; default: :func:`sampled_on_host`.

        Returns:
            Soft-tissue layer (B, 1, H, W); unchanged where ``uncovered`` is 0.
        """
        width = soft.shape[-1]
        if soft.device.type != "cpu":  # choosing pixels would wait for the accelerator
            texture = texture_of_spectrum(self.amplitude, width, seeds, white)
            return torch.where(uncovered > 0, _with_noise(soft, uncovered * self.missing * texture), soft)
        textured = soft.clone()
        for row, one in enumerate(uncovered):
            places = one.flatten().nonzero()[:, 0]
            if len(places):
                texture = texture_of_spectrum(self.amplitude[row, None], width, seeds[row : row + 1], white)
                noise = one.take(places) * self.missing[row].take(places) * texture.take(places)
                textured[row].put_(places, _with_noise(soft[row].take(places), noise))
        return textured

    def noisy(self, image: Tensor, strength: Tensor, seeds: Sequence[int]) -> Tensor:
        """Add ``strength`` (B,) times the tissue's noise to whole radiographs (B, 1, H, W) in [0, 1]."""
        if not bool(strength.any()):
            return image
        texture = texture_of_spectrum(self.amplitude, image.shape[-1], [seed ^ _OTHER for seed in seeds])
        noise = strength.to(image).reshape(-1, 1, 1, 1) * self.deviation * texture
        return _with_noise(image, noise)


def _with_noise(image: Tensor, noise: Tensor) -> Tensor:
    """Add noise in attenuation to intensities."""
    return intensity((attenuation(image) + noise).clamp(min=0.0))


def share_noise_texture(
    layers: Tensor, masks: Tensor, seeds: Sequence[int], spacing_mm: float = MCP.spacing_mm
) -> Tensor:
    """Divide the noise below the bones between soft tissue and bone; the layers compose to the same radiograph.

    The detail n of the radiograph below a bone is the sum of the tissue's noise g and the bone's detail, modelled as
    independent Gaussians. With the variance v of the noise in nearby tissue, g given n is sampled as
    ``g = k n + sqrt(k (1 - k) var(n)) r`` with ``k = v / var(n)``, at most 1, and r of unit variance with the spectrum
    of the tissue's noise. Then g has variance v and is uncorrelated with the bone's detail n - g. Tissue that already
    has noise gets only the missing variance.

    Args:
        layers: soft tissue and bones, (B, 3, H, W) in [0, 1].
        masks: bone masks, (B, 2, H, W).
        seeds: random seed of each of the B samples.
        spacing_mm: pixel size in mm.

    Returns:
        Layers (B, 3, H, W) in [0, 1]. The transferred attenuation never exceeds that of the layer that loses it.
    """
    parts = attenuation(layers)
    soft, bones = parts[:, :1], parts[:, 1:]
    bone = bones.sum(dim=1, keepdim=True)
    covered = support(masks, spacing_mm).amax(dim=1, keepdim=True)
    tissue, mottle = visible_tissue(layers, masks, covered), MOTTLE_MM / spacing_mm
    sampled = covered * _noise_below(soft, bone, tissue, covered, seeds, mottle)
    noise_texture = torch.minimum(torch.maximum(sampled, -torch.minimum(soft, bone)), bone)
    bones = bones * (1.0 - noise_texture / bone.clamp(min=1e-12))
    return intensity(torch.cat([soft + noise_texture, bones], dim=1))


def _noise_below(
    soft: Tensor, bone: Tensor, tissue: Tensor, covered: Tensor, seeds: Sequence[int], mottle: float
) -> Tensor:
    """Tissue noise given the detail of the radiograph, as attenuation (B, 1, H, W); ``mottle`` in pixels."""
    own, seen = _typical(_detail(soft, mottle), tissue), _detail(soft + bone, mottle)
    there = local_mean(own.square(), tissue, 3.0 * mottle)
    missing = (there - local_mean(own.square(), covered, 2.0 * mottle)).clamp(min=0.0)
    variance = local_mean(seen.square(), covered, 2.0 * mottle).clamp(min=1e-12)
    part = (missing / variance).clamp(max=1.0)
    texture = random_phase_texture(own * tissue, seeds)
    return part * seen + (part * (1.0 - part) * variance).sqrt() * texture


def visible_tissue(layers: Tensor, masks: Tensor, covered: Tensor) -> Tensor:
    """Compute the binary map of tissue without bone over it, (B, 1, H, W); ``covered`` is the map of possible bone."""
    return visible_region(reconstruct(layers), masks) * (1.0 - covered)


def _detail(values: Tensor, sigma: float) -> Tensor:
    """Gaussian high-pass filter."""
    return values - local_mean(values, torch.ones_like(values), sigma)


def _typical(detail: Tensor, tissue: Tensor) -> Tensor:
    """Clip detail to 3 standard deviations of the tissue's detail, to exclude the edges of a sesamoid or a finger.

    The standard deviation is estimated from the median absolute value, assuming a normal distribution.
    """
    inside = torch.where(tissue > 0.5, detail.abs(), torch.full_like(detail, torch.nan))
    limit = 3.0 * 1.4826 * inside.flatten(1).nanmedian(dim=1).values.nan_to_num()
    limit = limit[:, None, None, None]
    return torch.minimum(torch.maximum(detail, -limit), limit)


def local_mean(values: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Compute the Gaussian mean of values (B, 1, H, W) weighted by ``weight`` (normalised convolution).

    Beyond the reach of the Gaussian from any weight, the result is the overall weighted mean; 0 without any weight.
    """
    kernel = gaussian_1d(torch.tensor(sigma), truncated=4.0).to(values, non_blocking=True)
    blur = partial(separable_filtering, kernels=[kernel, kernel])
    total = weight.sum(dim=(-2, -1), keepdim=True).clamp(min=1e-6)
    overall = (values * weight).sum(dim=(-2, -1), keepdim=True) / total
    return (blur(values * weight) + 1e-6 * overall) / (blur(weight) + 1e-6)


def random_phase_texture(sample: Tensor, seeds: Sequence[int]) -> Tensor:
    """Sample textures of mean 0, variance 1 with the amplitude spectrum of ``sample`` (B, 1, H, W), random phases."""
    return texture_of_spectrum(torch.fft.rfft2(sample).abs(), sample.shape[-1], seeds)


def texture_of_spectrum(amplitude: Tensor, width: int, seeds: Sequence[int], white: WhiteNoise | None = None) -> Tensor:
    """Sample textures (B, 1, H, W) of mean 0, variance 1, given amplitudes (B, 1, H, W // 2 + 1) and random phases."""
    height = amplitude.shape[-2]
    sampler = sampled_on_host if white is None else white
    noise = torch.cat([sampler(amplitude.new_empty(1, 1, height, width), seed) for seed in seeds])
    texture = torch.fft.irfft2(torch.fft.rfft2(noise) * amplitude, s=(height, width))
    texture = texture - texture.mean(dim=(-2, -1), keepdim=True)
    return texture / texture.square().mean(dim=(-2, -1), keepdim=True).sqrt().clamp(min=1e-12)


def sampled_on_host(like: Tensor, seed: int) -> Tensor:
    """Sample white noise on the CPU, so that a seed gives the same image on every device."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like, non_blocking=True)


def sampled_on_device(like: Tensor, seed: int) -> Tensor:
    """Sample white noise on the tensor's device, without a copy; a seed gives the same image on devices of one type."""
    generator = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=generator, device=like.device).to(like)
