"""Texture in the overlap: ratios of power by band."""

from __future__ import annotations

import math

import pytest
import torch
from bundle.evaluation.measures import OverlapTexture
from bundle.evaluation.measures.overlap_texture import band_passed
from bundle.physics import attenuation, intensity
from bundle.statistics import SeparatedJoints
from torch import Tensor

SIZE, SPACING = 128, 0.08203125


def wave(frequency: float) -> Tensor:
    """A wave of line pairs per mm along the rows."""
    return torch.sin(2 * math.pi * frequency * SPACING * torch.arange(SIZE))[None, None, None].expand(1, 1, SIZE, -1)


@pytest.mark.parametrize("band", [(0.3, 0.6), (0.6, 1.2), (1.2, 2.4)])
def test_a_band_passes_its_middle_more_than_its_neighbours(band: tuple[float, float]) -> None:
    middle = math.sqrt(band[0] * band[1])
    powers = [
        float(band_passed(wave(f), band, SPACING)[..., 40:88].square().mean()) for f in (middle / 3, middle, middle * 3)
    ]
    assert powers[1] > 1.2 * max(powers[0], powers[2])


def measured(factor: float) -> dict[str, float]:
    """Figures of layers whose bones have ``factor`` times the true texture on the same mean."""
    masks = torch.zeros(2, 2, SIZE, SIZE)
    masks[:, 0, 50:], masks[:, 1, :78] = 1.0, 1.0
    texture = 0.05 * torch.randn(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    parts = torch.cat([torch.full_like(texture, 0.3), 0.4 + texture, 0.4 - texture], dim=1)
    true = intensity(parts)
    own = intensity(torch.cat([parts[:, :1], 0.4 + factor * texture, 0.4 - factor * texture], dim=1))
    image = torch.cat([1 - (1 - true).prod(dim=1, keepdim=True), masks], dim=1)
    items = [
        {"name": f"j{k}", "joint": f"j{k}", "finger": "index", "side": "left", "spacing": SPACING} for k in range(2)
    ]
    assert torch.allclose(attenuation(own).sum(dim=1), parts.sum(dim=1), atol=1e-5)
    return OverlapTexture(samples=20)(SeparatedJoints(items, image, own, true)).figures


def test_the_true_layers_have_a_power_of_1_and_no_error() -> None:
    figures = measured(1.0)
    assert figures["power_1.2_2.4"] == pytest.approx(1.0, rel=1e-4)
    assert figures["error_1.2_2.4"] == pytest.approx(0.0, abs=1e-6)


def test_half_of_the_texture_has_a_quarter_of_the_power() -> None:
    figures = measured(0.5)
    assert figures["power_0.6_1.2"] == pytest.approx(0.25, rel=1e-3)
    assert figures["error_0.6_1.2"] == pytest.approx(0.25, rel=1e-3)
