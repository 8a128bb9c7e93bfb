"""The partition head in compiled loops: layers of torch up to rounding, and torch itself for gradients."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
import torch
from bundle.joint import MCP
from bundle.networks import make_backbone
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.radiograph import reconstruct
from bundle.separation import generator as generators
from bundle.separation.generator import Generator
from bundle.separation.heads import EstimateHead, PartitionHead, SigmoidHead
from torch import Tensor

pytestmark = pytest.mark.slow

SIZE = 96
SPACING = MCP.spacing_at(SIZE)
REACH = 8 * MCP.spacing_mm


def fused(head: Any) -> Any:
    pytest.importorskip("numba")
    from bundle.separation.heads.fused import FusedHead

    return FusedHead(head)


def images() -> Tensor:
    made = [render(sample_parameters(seed, outline_gap_mm=-0.5, size=SIZE, spacing=SPACING)) for seed in range(3)]
    return torch.stack([torch.cat([one.image, one.masks]) for one in made])


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("mixture", [0.3, 1.0])
@torch.no_grad()
def test_layers_are_those_of_the_head(mixture: float, scale: float) -> None:
    head = PartitionHead(mixture, REACH, SPACING)
    features = head.prepare(images())
    logits = scale * torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = fused(head)(logits, features)
    torch.testing.assert_close(found, head(logits, features), atol=1e-6, rtol=0)
    torch.testing.assert_close(reconstruct(found), features[:, :1].clamp(max=1 - 2.0**-15), atol=1e-6, rtol=0)


@pytest.mark.parametrize("reach_mm", [0.0, 0.1, REACH])
@pytest.mark.parametrize("kind", [PartitionHead, EstimateHead])
@torch.no_grad()
def test_features_and_layers_of_any_partition_head_are_its_own(kind: type[PartitionHead], reach_mm: float) -> None:
    head = kind(0.5, reach_mm, SPACING)
    other = fused(head)
    torch.testing.assert_close(other.prepare(images()), head.prepare(images()), atol=1e-5, rtol=0)
    features = head.prepare(images())
    logits = torch.randn(3, head.out_channels, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(other(logits, features), head(logits, features), atol=1e-6, rtol=0)


def test_gradients_and_other_precisions_are_left_to_torch() -> None:
    head = PartitionHead(1.0, REACH, SPACING)
    other, logits = fused(head), torch.zeros(3, 3, SIZE, SIZE, requires_grad=True)
    features = head.prepare(images())
    assert torch.equal(other.prepare(images()), features)
    assert torch.equal(other(logits, features), head(logits, features))
    (gradient,) = torch.autograd.grad(other(logits, features)[:, 0].sum(), logits)
    assert bool(gradient.any())
    with torch.no_grad():
        assert torch.equal(other.prepare(images().double()), head.prepare(images().double()))


@torch.no_grad()
def test_only_partition_heads_are_fused_and_only_with_numba() -> None:
    backbone = make_backbone("SubpixelUNet", 3, 3, {"features": [8] * 6, "width": 4})
    sigmoid, partition = Generator(backbone, SigmoidHead()), Generator(backbone, PartitionHead())
    assert sigmoid.with_fused_head() is sigmoid
    with patch.object(generators, "has_numba", lambda: False):
        assert partition.with_fused_head() is partition
    pytest.importorskip("numba")
    found = partition.with_fused_head()
    assert found.head is not partition.head and found.backbone is partition.backbone
