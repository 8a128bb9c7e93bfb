"""Mixed precision changes how a network computes, not what it gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bundle.networks.backbones import make_backbone, scaled_options
from bundle.networks.precision import Bfloat16Inferer, placed
from bundle.separation.generator import Generator
from bundle.separation.heads import SigmoidHead
from torch import nn


def test_numbers_come_in_float32_and_near_those_of_full_precision() -> None:
    torch.manual_seed(0)
    network, image = nn.Conv2d(1, 4, 3), torch.rand(2, 1, 8, 8)
    exact = network(image)
    found = Bfloat16Inferer()(image, network)
    assert found.dtype == torch.float32 and not torch.equal(found, exact)
    assert torch.allclose(found, exact, atol=0.02)
    assert torch.equal(Bfloat16Inferer("false")(image, network), exact)


def test_gradients_reach_the_weights() -> None:
    network = nn.Linear(3, 1)
    Bfloat16Inferer()(torch.rand(4, 3), network).sum().backward()
    assert network.weight.grad is not None and network.weight.grad.dtype == torch.float32


def small_generator(backbone: str, options: dict[str, Any]) -> Generator:
    torch.manual_seed(0)
    return Generator(make_backbone(backbone, 3, 3, options), SigmoidHead())


@pytest.mark.parametrize(
    ("backbone", "options", "compiled"),
    [
        ("SubpixelUNet", {"features": [4] * 6, "width": 4}, False),
        pytest.param("TransUNet", scaled_options("TransUNet", 8, 128), True, marks=pytest.mark.long),
    ],
)
def test_a_placed_network_gives_and_learns_the_same_and_keeps_its_names(
    backbone: str, options: dict[str, Any], compiled: bool
) -> None:
    usual, fast = (small_generator(backbone, options).eval() for _ in range(2))
    fast.load_state_dict(usual.state_dict())
    fast = placed(fast, "cpu", channels_last="true", compiled=compiled, backend="aot_eager")  # type: ignore[assignment]
    assert fast.state_dict().keys() == usual.state_dict().keys()
    for count in (3, 1):  # the last batch of an epoch is smaller
        image = torch.cat([torch.rand(count, 1, 32, 32), (torch.rand(count, 2, 32, 32) > 0.5).float()], dim=1)
        one, other = usual(image), fast(image)
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5)
    for layers in (one, other):
        layers.square().sum().backward()
    for (key, expected), found in zip(usual.named_parameters(), fast.parameters(), strict=True):
        if expected.grad is not None:
            torch.testing.assert_close(found.grad, expected.grad, atol=1e-3, rtol=1e-3, msg=key)


def test_channels_are_last_in_memory_only_where_that_is_asked_for() -> None:
    for asked in (True, False):
        network = placed(nn.Conv2d(4, 4, 3), "cpu", channels_last=asked)
        weight = network.weight
        assert isinstance(weight, torch.Tensor)
        assert weight.is_contiguous(memory_format=torch.channels_last) is asked
