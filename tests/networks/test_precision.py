"""Mixed precision changes how a network computes, not what it gives."""

from __future__ import annotations

import torch
from torch import nn

from bundle.networks.precision import Bfloat16Inferer


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
