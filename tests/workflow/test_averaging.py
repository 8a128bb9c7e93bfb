"""The average against a loop over its weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from bundle.workflow.averaging import WeightAverage
from ignite.engine import Engine
from torch import Tensor, nn

STEPS = 7


def train(network: nn.Module, average: WeightAverage, epochs: int, done: int = 0) -> list[Tensor]:
    """Epochs of one batch of steps, each of which sets the weight to its number's square; the weights of each step."""
    seen = []

    def step(engine: Engine, _: Any) -> None:
        with torch.no_grad():
            network.weight.fill_(float(engine.state.iteration**2))  # type: ignore[operator, union-attr]
        seen.append(network.weight.clone())  # type: ignore[operator, union-attr]

    engine = Engine(step)
    average.attach(engine)
    engine.state.epoch, engine.state.iteration = done, done * STEPS
    engine.state.max_epochs, engine.state.epoch_length = done + epochs, STEPS
    engine.run([None] * STEPS)
    return seen


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(2, 3)


@pytest.mark.parametrize("momentum", [0.05, 0.7])
def test_the_average_is_the_loop_over_the_steps(momentum: float) -> None:
    network = linear()
    average, expected = WeightAverage(network, momentum), network.weight.detach().clone()
    for number, weight in enumerate(train(network, average, epochs=2), start=1):
        part = max(momentum, 9.0 / (number + 10.0))
        expected = (1.0 - part) * expected + part * weight
    torch.testing.assert_close(average.network.weight, expected)
    assert not average.network.training
    assert torch.equal(network.weight, torch.full((3, 2), float((2 * STEPS) ** 2)))


def test_momentum_1_is_the_network_itself_and_has_no_state() -> None:
    network = linear()
    average = WeightAverage(network)
    train(network, average, epochs=1)
    assert average.network is network
    assert average.state_dict() == {}
    average.load_state_dict({})


def test_an_average_goes_on_from_its_state_to_the_bit() -> None:
    network = linear()
    whole, part = WeightAverage(network, 0.05), WeightAverage(network, 0.05)
    rest = WeightAverage(network, 0.05)
    train(network, whole, epochs=3)
    train(network, part, epochs=1)
    rest.load_state_dict(copy.deepcopy(part.state_dict()))
    train(network, rest, epochs=2, done=1)
    assert torch.equal(rest.network.weight, whole.network.weight)


def test_weights_and_no_weights_do_not_fit_each_other() -> None:
    with pytest.raises(ValueError, match="the momentum is 1"):
        WeightAverage(linear()).load_state_dict(WeightAverage(linear(), 0.5).state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        WeightAverage(linear(), 0.5).load_state_dict({})


@pytest.mark.parametrize("momentum", [0.0, -0.1, 1.5])
def test_a_momentum_out_of_range_is_refused(momentum: float) -> None:
    with pytest.raises(ValueError, match="momentum"):
        WeightAverage(linear(), momentum)
