"""Time limit of an invocation of a training, for machines with a limited allocation."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from bundle.errors import InputError, flag
from bundle.workflow.ending import remedy_of
from ignite.engine import Engine, Events

RESERVE = 1.1
"""Safety factor on the duration of the longest epoch so far."""

_log = logging.getLogger("bundle.workflow")


class Runnable(Protocol):
    """Trainer, evaluation or other object that runs."""

    def run(self) -> Any:
        """Run to completion."""


class TimeLimit:
    """Time limit that ends an invocation after the last epoch that fits; the next invocation resumes.

    The trainings of an invocation share one limit. :class:`bundle.workflow.TrainingCheckpointSaver` checks it after
    each epoch, as the last handler, and writes a checkpoint before it ends the training.

    Args:
        minutes: duration of this invocation in minutes, counted from construction; 0 for no limit.
        resume: whether the same command resumes, without another option; stated when the limit is reached.
        clock: clock in seconds, for tests.

    Attributes:
        over: whether a training was ended; later work is then skipped.

    Raises:
        InputError: the time is negative or not finite.
    """

    def __init__(
        self, minutes: float = 0.0, resume: bool | str = False, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        if not 0.0 <= float(minutes) < math.inf:
            msg = f"minutes: {minutes} is not a duration. Pass a number of at least 0; 0 means no limit."
            raise InputError(msg)
        self.seconds, self.resume, self.clock = 60.0 * float(minutes), flag(resume), clock
        self.started = self.epoch_started = clock()
        self.longest = 0.0
        self.over = False

    def attach(self, engine: Engine) -> None:
        """Time the epochs of the engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)

    def start(self, engine: Engine) -> None:
        """Record the start of an epoch."""
        self.epoch_started = self.clock()

    def allows_another(self) -> bool:
        """Whether another epoch fits, called after an epoch."""
        now = self.clock()
        self.longest = max(self.longest, now - self.epoch_started)
        return not self.seconds or now - self.started + RESERVE * self.longest <= self.seconds

    def end(self, engine: Any) -> None:
        """End a training and skip later work."""
        self.over = True
        remedy = remedy_of({"resume": self.resume}, {"resume"})
        _log.warning(f"Time limit reached after epoch {engine.state.epoch} of {engine.state.max_epochs}: {remedy}.")
        engine.terminate()

    def run(self, work: Runnable) -> None:
        """Run a trainer or evaluation, unless the time limit was reached before."""
        if not self.over:
            work.run()
