"""An invocation of a training that ends by itself, so that a machine that is lent for minutes is given back whole."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from bundle.errors import InputError
from ignite.engine import Engine, Events

RESERVE = 1.1
"""An epoch may take so many times as long as the longest one so far."""

_log = logging.getLogger("bundle.workflow")


class Runnable(Protocol):
    """What runs: a trainer, an evaluation."""

    def run(self) -> Any:
        """Run to its end."""


class TimeLimit:
    """Ends an invocation after the last epoch that fits into its minutes; the next invocation resumes.

    The trainings of an invocation share one limit. :class:`bundle.workflow.TrainingCheckpointSaver` asks it after each
    epoch, once everything else of that epoch is done, and writes a checkpoint before it ends the training.

    Args:
        minutes: of this invocation, from when the limit is made; 0 is no limit.
        clock: seconds, for tests.

    Attributes:
        over: whether a training was ended; what comes after it does not run.

    Raises:
        InputError: a time that is negative or not finite.
    """

    def __init__(self, minutes: float = 0.0, clock: Callable[[], float] = time.perf_counter) -> None:
        if not 0.0 <= float(minutes) < math.inf:
            msg = f"minutes: expected a time of at least 0 (0: no limit), got {minutes}"
            raise InputError(msg)
        self.seconds, self.clock = 60.0 * float(minutes), clock
        self.started = self.epoch_started = clock()
        self.longest = 0.0
        self.over = False

    def attach(self, engine: Engine) -> None:
        """Take the time of the engine's epochs."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)

    def start(self, engine: Engine) -> None:
        """An epoch starts."""
        self.epoch_started = self.clock()

    def allows_another(self) -> bool:
        """Whether another epoch fits, now that one is done."""
        now = self.clock()
        self.longest = max(self.longest, now - self.epoch_started)
        return not self.seconds or now - self.started + RESERVE * self.longest <= self.seconds

    def end(self, engine: Any) -> None:
        """End a training; what would run after it does not."""
        self.over = True
        _log.warning(
            f"The time is up after epoch {engine.state.epoch} of {engine.state.max_epochs}: run the command again to "
            "resume"
        )
        engine.terminate()

    def run(self, work: Runnable) -> None:
        """Run what comes next, unless a training was ended."""
        if not self.over:
            work.run()
