"""Validations before the first and after the last epoch of a training, independent of the validation interval."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events


class FirstValidation:
    """Handler that validates the network before the first epoch; a resumed training does not repeat it.

    On resuming, a validation at the epoch of the checkpoint could select weights that an uninterrupted training does
    not validate. Attach it to the trainers after the checkpoint loader.

    Args:
        validator: evaluator.
    """

    def __init__(self, validator: Any) -> None:
        self.validator = validator

    def attach(self, engine: Engine) -> None:
        """Check when the engine starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Validate a training that has no epoch yet."""
        if engine.state.epoch == 0:
            self.validator.run(0)


class LastValidation:
    """Handler that validates the last epoch if the interval of :class:`monai.handlers.ValidationHandler` skips it.

    Attach it to the trainer after that handler, and before the checkpoint saver.

    Args:
        validator: evaluator.
        interval: validation interval of the other handler in epochs.
    """

    def __init__(self, validator: Any, interval: int) -> None:
        self.validator, self.interval = validator, interval

    def attach(self, engine: Engine) -> None:
        """Check after every epoch."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Validate after the last epoch."""
        epoch = engine.state.epoch
        if epoch == engine.state.max_epochs and epoch % self.interval:
            self.validator.run(epoch)
