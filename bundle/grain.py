"""Grain: the noise that tissue uncovered by a moved bone must carry, drawn like that of the tissue around it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import GaussianFilter
from torch import Tensor

DETAIL = 2.0
"""Grain is what a Gaussian of this sigma in pixels removes."""

NEIGHBOURHOOD = 16.0
"""Sigma in pixels of the neighbourhood in which the strength of the grain is measured."""


def add_grain(soft: Tensor, tissue: Tensor, uncovered: Tensor, seeds: Sequence[int]) -> Tensor:
    """Give the uncovered part of a soft-tissue layer the grain that it lacks.

    The texture has the amplitude spectrum of the visible tissue's grain and random phases; its local variance is what
    the layer's own is short of that of the tissue nearby, so a layer that has grain already gets none.

    Args:
        soft: attenuation of the soft tissue, (B, 1, H, W), at least 0.
        tissue: where tissue is seen with no bone over it, (B, 1, H, W) of 0 and 1.
        uncovered: where a bone has gone, (B, 1, H, W) in [0, 1].
        seeds: one for each of the B samples.

    Returns:
        Attenuation (B, 1, H, W), at least 0; unchanged where ``uncovered`` is 0.
    """
    residual = soft - local_mean(soft, torch.ones_like(soft), DETAIL)
    there = local_mean(residual.square(), tissue, NEIGHBOURHOOD)
    here = local_mean(residual.square(), (uncovered > 0).to(soft.dtype), DETAIL)
    missing = (there - here).clamp(min=0.0).sqrt()
    texture = random_phase_texture(residual * tissue, seeds)
    return (soft + uncovered * missing * texture).clamp(min=0.0)


def local_mean(values: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Gaussian mean of values (B, 1, H, W) weighted by ``weight`` (normalised convolution).

    Farther from any weight than the Gaussian reaches, it is the mean over all of the weight; 0 where there is none.
    """
    blur = GaussianFilter(2, sigma).to(values)
    total = weight.sum(dim=(-2, -1), keepdim=True).clamp(min=1e-6)
    overall = (values * weight).sum(dim=(-2, -1), keepdim=True) / total
    return (blur(values * weight) + 1e-6 * overall) / (blur(weight) + 1e-6)


def random_phase_texture(sample: Tensor, seeds: Sequence[int]) -> Tensor:
    """Textures of mean 0 and variance 1 with the amplitude spectrum of ``sample`` (B, 1, H, W) and random phases."""
    white = torch.cat([_white(sample[:1], seed) for seed in seeds])
    spectrum = torch.fft.rfft2(white) * torch.fft.rfft2(sample).abs()
    texture = torch.fft.irfft2(spectrum, s=sample.shape[-2:])
    texture = texture - texture.mean(dim=(-2, -1), keepdim=True)
    return texture / texture.square().mean(dim=(-2, -1), keepdim=True).sqrt().clamp(min=1e-12)


def _white(like: Tensor, seed: int) -> Tensor:
    """White noise drawn on the CPU, so that a seed gives the same image on every device."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)
