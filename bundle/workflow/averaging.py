"""Moving average of a network's weights, validated and saved in its place."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn
from torch.nn.parallel import DistributedDataParallel

NAME = "average_momentum"
"""Attribute of the engine's state from which Ignite's handler reads its momentum."""


class WeightAverage:
    """Exponential moving average of the weights, by :class:`ignite.handlers.EMAHandler`.

    After step t the average moves towards the weights by the fraction ``max(momentum, 9 / (t + 10))``, so that it
    starts at the first weights and soon forgets them. Include it in checkpoints; :class:`AverageUpdater` attaches it.

    Args:
        network: network whose weights are averaged.
        momentum: fraction of the update, in (0, 1]; 1 disables the average and uses this process's network itself.

    Raises:
        ValueError: the momentum is out of range.
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
        """Return the averaged weights; empty without an average."""
        return {} if self.handler is None else self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load averaged weights.

        Raises:
            RuntimeError: the weights are of another network, or of a training without an average.
            ValueError: weights are given, but no average is taken.
        """
        if self.handler is not None:
            self.network.load_state_dict(state)
        elif state:
            msg = "averaged weights cannot be loaded: the momentum is 1"
            raise ValueError(msg)


class AverageUpdater:
    """Handler that updates a :class:`WeightAverage`; attach it to the trainers of both stages.

    Args:
        average: the average.
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Average after every step."""
        self.average.attach(engine)
