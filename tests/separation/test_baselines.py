from __future__ import annotations

import pytest
import torch
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.radiograph import attenuation, reconstruct
from bundle.separation.baselines import HalfSplit


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    """A phantom whose bones overlap."""
    phantom = render(sample_parameters(1, size=64, spacing=21 / 64, outline_gap_mm=-0.9))
    return torch.cat([phantom.image, (phantom.masks > 0.5).float()])[None]


def test_both_bones_get_the_same_where_both_masks_claim_a_pixel(image: torch.Tensor) -> None:
    layers, weight_free = HalfSplit()(image), separate(image[:, :1], image[:, 1:], MCP.spacing_at(image.shape[-1]))
    both = image[0, 1:].sum(dim=0) == 2
    assert int(both.sum()) > 10
    assert torch.equal(layers[0, 1][both], layers[0, 2][both])
    bones = [attenuation(given)[0, 1:].sum(dim=0)[both] for given in (layers, weight_free)]
    assert torch.allclose(*bones, atol=1e-5)


def test_elsewhere_it_is_the_weight_free_separator_and_reconstructs_exactly(image: torch.Tensor) -> None:
    layers, weight_free = HalfSplit()(image), separate(image[:, :1], image[:, 1:], MCP.spacing_at(image.shape[-1]))
    elsewhere = image[0, 1:].sum(dim=0) < 2
    assert torch.allclose(layers[0, :, elsewhere], weight_free[0, :, elsewhere], atol=1e-6)
    assert torch.equal(layers[:, 0], weight_free[:, 0])
    assert torch.allclose(reconstruct(layers), image[:, :1], atol=1e-5)


def test_soft_masks_are_taken_as_they_are_in_a_file(image: torch.Tensor) -> None:
    soft = torch.cat([image[:, :1], image[:, 1:] * 0.8], dim=1)
    assert torch.equal(HalfSplit()(soft), HalfSplit()(image))
