"""The recipe learns what can be learned, repeats itself, and leaves the global random state alone."""

from __future__ import annotations

import pytest
import torch
from bundle.statistics.adversary import FitSettings, flip_some, predict
from torch import Tensor, nn
from torch.nn import functional as F

INPUTS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
SLOPE = torch.tensor([[1.0], [-2.0], [0.5]])


def fitted(seed: int) -> nn.Module:
    seen: list[Tensor] = []

    def loss(network: nn.Module, joints: Tensor, _: torch.Generator) -> Tensor:
        seen.append(joints)
        return F.mse_loss(network(INPUTS[joints]), INPUTS[joints] @ SLOPE)

    network = FitSettings(epochs=100, batch_size=16, learning_rate=0.3).train(lambda: nn.Linear(3, 1), loss, 40, seed)
    assert sorted(torch.cat(seen[:3]).tolist()) == list(range(40)), "an epoch sees each joint once"
    return network


def test_a_linear_network_finds_the_line() -> None:
    network = fitted(0)
    assert not network.training
    assert torch.allclose(predict(network, INPUTS), INPUTS @ SLOPE, atol=0.05)


@pytest.mark.slow
def test_a_seed_gives_the_same_network_whatever_was_drawn_before() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fitted(7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(predict(first, INPUTS), predict(fitted(7), INPUTS))
    assert not torch.equal(predict(first, INPUTS), predict(fitted(8), INPUTS))


def test_flips_mirror_whole_samples_about_half_of_them() -> None:
    batch = torch.rand(200, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    flipped = flip_some(batch, torch.Generator().manual_seed(0))
    mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(batch, flipped, strict=True)]
    kept = [torch.equal(after, before) for before, after in zip(batch, flipped, strict=True)]
    assert [m or k for m, k in zip(mirrored, kept, strict=True)] == [True] * 200
    assert 70 < sum(mirrored) < 130
