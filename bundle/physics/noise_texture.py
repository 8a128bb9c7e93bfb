"""Grain: the noise that tissue below and behind a bone must carry, drawn like that of the tissue around it.

What continues the tissue below a bone is smooth, and all the noise of the radiograph there stays in the bone. That is
right for a bone that is to be moved: its detail is real when it is shifted as a whole. :class:`TissueNoise` then gives
new noise to the tissue that the bone has left. But it leaves a smooth patch in the shape of the bone in the tissue
layer. :func:`share_noise_texture`, the last step of a separation whose layers are shown or used by themselves, divides
the noise of a pixel between tissue and bone.
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
"""Grain is what a Gaussian of this sigma removes: 0.16 mm, 2 pixels of the public frames."""

NEIGHBOURHOOD_MM = 16 * MCP.spacing_mm
"""Sigma of the neighbourhood in which the strength of the grain is measured: 1.3 mm."""

WhiteNoise = Callable[[Tensor, int], Tensor]
"""Draws white noise like a tensor from a seed: :func:`sampled_on_host` or :func:`sampled_on_device`."""

_OTHER = 0x5EED
"""Makes of the seed of the grain that of the noise."""

MOTTLE_MM = 9 * MCP.spacing_mm
"""Tissue has texture up to this sigma, 0.74 mm, which :func:`share_noise_texture` continues below the bones."""


@dataclass(frozen=True)
class TissueNoise:
    """The grain of the visible tissue of joints, and how much of it the tissue below the bones lacks.

    Attributes:
        missing: standard deviation of what is missing where bones cover the tissue, (B, 1, H, W).
        deviation: that of the visible tissue's grain, (B, 1, 1, 1).
        amplitude: spectrum of the visible tissue's grain, (B, 1, H, W // 2 + 1).
    """

    missing: Tensor
    deviation: Tensor
    amplitude: Tensor

    @classmethod
    def of(cls, soft: Tensor, tissue: Tensor, covered: Tensor, spacing: float | Tensor = MCP.spacing_mm) -> TissueNoise:
        """Measure it.

        Args:
            soft: attenuation of the soft tissue, (B, 1, H, W), at least 0.
            tissue: where tissue is seen with no bone over it, (B, 1, H, W) of 0 and 1.
            covered: where bones may cover it, likewise.
            spacing: mm per pixel, one for all or (B,).
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
        """The soft tissue's attenuation with the grain that its uncovered part lacks.

        The texture has the amplitude spectrum of the visible tissue's grain and random phases; its local variance is
        what the covered tissue's own is short of that of the tissue nearby, so tissue that has grain already gets none.

        Args:
            soft: attenuation of the soft tissue, (B, 1, H, W), at least 0.
            uncovered: where a bone has gone, (B, 1, H, W) in [0, 1].
            seeds: one for each of the B samples.
            white: draws the noise, by default :func:`sampled_on_host`.

        Returns:
            Attenuation (B, 1, H, W), at least 0; unchanged where ``uncovered`` is 0.
        """
        texture = texture_of_spectrum(self.amplitude, soft.shape[-1], seeds, white)
        return (soft + uncovered * self.missing * texture).clamp(min=0.0)

    def noisy(self, image: Tensor, strength: Tensor, seeds: Sequence[int]) -> Tensor:
        """Radiographs (B, 1, H, W) in [0, 1] with more noise everywhere: ``strength`` (B,) times the tissue's grain."""
        if not bool(strength.any()):
            return image
        texture = texture_of_spectrum(self.amplitude, image.shape[-1], [seed ^ _OTHER for seed in seeds])
        noise = strength.to(image).reshape(-1, 1, 1, 1) * self.deviation * texture
        return intensity((attenuation(image) + noise).clamp(min=0.0))


def share_noise_texture(
    layers: Tensor, masks: Tensor, seeds: Sequence[int], spacing_mm: float = MCP.spacing_mm
) -> Tensor:
    """Divide the noise below the bones between soft tissue and bone; the layers compose to what they did.

    The detail n of the radiograph below a bone is the sum of the tissue's grain and of the bone's detail. With the
    variance v of the grain of the tissue nearby, that of n, and independent Gaussians, the grain given n is drawn as
    ``g = k n + sqrt(k (1 - k) var(n)) r``, ``k = v / var(n)`` at most 1, r of variance 1 and with the spectrum of the
    tissue's grain. So g has the variance v and is not correlated with what the bone keeps, n - g. Tissue that has grain
    already gets only what it lacks.

    Args:
        layers: soft tissue and bones, (B, 3, H, W) in [0, 1].
        masks: bone masks, (B, 2, H, W).
        seeds: one for each of the B samples.
        spacing_mm: width of a pixel.

    Returns:
        Layers (B, 3, H, W) in [0, 1]. No bone gives or takes more attenuation than it has.
    """
    parts = attenuation(layers)
    soft, bones = parts[:, :1], parts[:, 1:]
    bone = bones.sum(dim=1, keepdim=True)
    covered = support(masks, spacing_mm).amax(dim=1, keepdim=True)
    tissue, mottle = visible_tissue(layers, masks, covered), MOTTLE_MM / spacing_mm
    drawn = covered * _noise_below(soft, bone, tissue, covered, seeds, mottle)
    noise_texture = torch.minimum(torch.maximum(drawn, -torch.minimum(soft, bone)), bone)
    bones = bones * (1.0 - noise_texture / bone.clamp(min=1e-12))
    return intensity(torch.cat([soft + noise_texture, bones], dim=1))


def _noise_below(
    soft: Tensor, bone: Tensor, tissue: Tensor, covered: Tensor, seeds: Sequence[int], mottle: float
) -> Tensor:
    """The tissue's grain given the detail of the radiograph, as attenuation (B, 1, H, W); ``mottle`` in pixels."""
    own, seen = _typical(_detail(soft, mottle), tissue), _detail(soft + bone, mottle)
    there = local_mean(own.square(), tissue, 3.0 * mottle)
    missing = (there - local_mean(own.square(), covered, 2.0 * mottle)).clamp(min=0.0)
    variance = local_mean(seen.square(), covered, 2.0 * mottle).clamp(min=1e-12)
    part = (missing / variance).clamp(max=1.0)
    texture = random_phase_texture(own * tissue, seeds)
    return part * seen + (part * (1.0 - part) * variance).sqrt() * texture


def visible_tissue(layers: Tensor, masks: Tensor, covered: Tensor) -> Tensor:
    """Where tissue is seen with no bone over it, (B, 1, H, W) of 0 and 1; ``covered`` where a bone may be, likewise."""
    return visible_region(reconstruct(layers), masks) * (1.0 - covered)


def _detail(values: Tensor, sigma: float) -> Tensor:
    """What a Gaussian removes."""
    return values - local_mean(values, torch.ones_like(values), sigma)


def _typical(detail: Tensor, tissue: Tensor) -> Tensor:
    """Detail clipped to 3 standard deviations of that of the tissue: the edge of a sesamoid or a finger is no grain.

    The standard deviation is that of normal values with the same median of the absolute value.
    """
    inside = torch.where(tissue > 0.5, detail.abs(), torch.full_like(detail, torch.nan))
    limit = 3.0 * 1.4826 * inside.flatten(1).nanmedian(dim=1).values.nan_to_num()
    limit = limit[:, None, None, None]
    return torch.minimum(torch.maximum(detail, -limit), limit)


def local_mean(values: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Gaussian mean of values (B, 1, H, W) weighted by ``weight`` (normalised convolution).

    Farther from any weight than the Gaussian reaches, it is the mean over all of the weight; 0 where there is none.
    """
    kernel = gaussian_1d(torch.tensor(sigma), truncated=4.0).to(values, non_blocking=True)
    blur = partial(separable_filtering, kernels=[kernel, kernel])
    total = weight.sum(dim=(-2, -1), keepdim=True).clamp(min=1e-6)
    overall = (values * weight).sum(dim=(-2, -1), keepdim=True) / total
    return (blur(values * weight) + 1e-6 * overall) / (blur(weight) + 1e-6)


def random_phase_texture(sample: Tensor, seeds: Sequence[int]) -> Tensor:
    """Textures of mean 0 and variance 1 with the amplitude spectrum of ``sample`` (B, 1, H, W) and random phases."""
    return texture_of_spectrum(torch.fft.rfft2(sample).abs(), sample.shape[-1], seeds)


def texture_of_spectrum(amplitude: Tensor, width: int, seeds: Sequence[int], white: WhiteNoise | None = None) -> Tensor:
    """Textures (B, 1, H, W) of mean 0 and variance 1 with amplitudes (B, 1, H, W // 2 + 1) and random phases."""
    height = amplitude.shape[-2]
    draw = sampled_on_host if white is None else white
    noise = torch.cat([draw(amplitude.new_empty(1, 1, height, width), seed) for seed in seeds])
    texture = torch.fft.irfft2(torch.fft.rfft2(noise) * amplitude, s=(height, width))
    texture = texture - texture.mean(dim=(-2, -1), keepdim=True)
    return texture / texture.square().mean(dim=(-2, -1), keepdim=True).sqrt().clamp(min=1e-12)


def sampled_on_host(like: Tensor, seed: int) -> Tensor:
    """White noise drawn on the CPU, so that a seed gives the same image on every device."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like, non_blocking=True)


def sampled_on_device(like: Tensor, seed: int) -> Tensor:
    """White noise drawn where the tensor is, without a copy: a seed gives the same image on devices of one kind."""
    generator = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=generator, device=like.device).to(like)
