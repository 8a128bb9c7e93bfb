"""A moving average of a network's weights, validated and kept in its place."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn
from torch.nn.parallel import DistributedDataParallel

NAME = "average_momentum"
"""Where Ignite's handler reads its momentum in the engine's state."""


class WeightAverage:
    """Exponential moving average of the weights, by :class:`ignite.handlers.EMAHandler`.

    After step t the average moves towards the weights by ``max(momentum, 9 / (t + 10))`` of the way, so that it starts
    with the first weights and soon forgets them. Put it among what a checkpoint holds; :class:`AverageUpdater` attaches
    it.

    Args:
        network: whose weights are averaged.
        momentum: part of the way in (0, 1]; 1 is no average: the network itself, of several processes this one's.

    Raises:
        ValueError: if the momentum is out of range.
    """

    def __init__(self, network: nn.Module, momentum: float = 1.0) -> None:
        if isinstance(network, DistributedDataParallel):
            network = network.module
        self.momentum = momentum
        self.handler = EMAHandler(network, momentum) if momentum != 1.0 else None
        self.network = network if self.handler is None else self.handler.ema_model

    def attach(self, engine: Engine) -> None:
        """Average after every step."""
        if self.handler is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.warm_up)
            self.handler.attach(engine, NAME, warn_if_exists=False)

    def warm_up(self, engine: Engine) -> None:
        """Set the momentum of the step."""
        setattr(engine.state, NAME, max(self.momentum, 9.0 / (engine.state.iteration + 10.0)))

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights; empty without average."""
        return {} if self.handler is None else self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load averaged weights.

        Raises:
            RuntimeError: if they are of another network, or of a training without average.
            ValueError: if there are some where no average is taken.
        """
        if self.handler is not None:
            self.network.load_state_dict(state)
        elif state:
            msg = "expected no averaged weights: the momentum is 1"
            raise ValueError(msg)


class AverageUpdater:
    """Handler that keeps a :class:`WeightAverage` up to date; attach it to the trainers of both stages.

    Args:
        average: the average.
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Average after every step."""
        self.average.attach(engine)
