"""A contour that coarse pixels leave in the soft tissue is removed; everything else stays."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from bundle.joint import MCP
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import support
from bundle.physics.masks import signed_distance
from bundle.physics.partial_volume import INSIDE_MM, clear_outlines
from bundle.physics.radiograph import attenuation, intensity, reconstruct
from torch import Tensor

GAPS = [-0.5, 0.4, 1.5]


@lru_cache
def phantom(outline_gap_mm: float) -> Phantom:
    return render(sample_parameters(0, outline_gap_mm=outline_gap_mm))


def inside(masks: Tensor) -> Tensor:
    """Signed distance to the outline of each bone in mm."""
    return signed_distance(masks, 12) * MCP.spacing_mm


def with_contour(layers: Tensor, masks: Tensor) -> Tensor:
    """Layers whose soft tissue has received half of the bone within 0.3 mm of the outlines."""
    parts = attenuation(layers)
    rim = (inside(masks).abs() < 0.3).any(dim=1, keepdim=True)
    moved = 0.5 * parts[:, 1:] * rim
    return intensity(torch.cat([parts[:, :1] + moved.sum(dim=1, keepdim=True), parts[:, 1:] - moved], dim=1))


@pytest.mark.parametrize("gap", GAPS)
def test_a_contour_along_the_bones_is_removed(gap: float) -> None:
    truth, masks = phantom(gap).layers[None], phantom(gap).masks[None]
    planted = with_contour(truth, masks)
    cleared = clear_outlines(planted, masks)
    before, after = ((soft[:, :1] - truth[:, :1]).square().mean().sqrt() for soft in (planted, cleared))
    assert float(after) < 0.3 * float(before)


@pytest.mark.parametrize("gap", GAPS)
def test_the_layers_compose_to_the_same_radiograph(gap: float) -> None:
    planted = with_contour(phantom(gap).layers[None], phantom(gap).masks[None])
    cleared = clear_outlines(planted, phantom(gap).masks[None])
    torch.testing.assert_close(reconstruct(cleared), reconstruct(planted), atol=2e-6, rtol=0)
    assert bool(((cleared >= 0.0) & (cleared <= 1.0)).all())


@pytest.mark.parametrize("gap", GAPS)
def test_only_the_bands_along_the_outlines_change(gap: float) -> None:
    layers, masks = with_contour(phantom(gap).layers[None], phantom(gap).masks[None]), phantom(gap).masks[None]
    cleared, supports = clear_outlines(layers, masks), support(masks)
    far = ((inside(masks) > INSIDE_MM) | (supports == 0.0)).all(dim=1, keepdim=True).expand_as(layers)
    assert torch.equal(cleared[far], layers[far])
    assert not torch.equal(cleared, layers)
    grown = (cleared[:, 1:] - layers[:, 1:] > 1e-6) & (supports == 0.0)
    assert not bool(grown.any()), "a bone has grown past its support"


def test_a_joint_is_cleared_alike_in_a_batch_and_alone() -> None:
    made = [phantom(gap) for gap in GAPS]
    masks = torch.stack([one.masks for one in made])
    layers = with_contour(torch.stack([one.layers for one in made]), masks)
    alone = [clear_outlines(layers[row : row + 1], masks[row : row + 1]) for row in range(len(made))]
    assert torch.equal(clear_outlines(layers, masks), torch.cat(alone))
