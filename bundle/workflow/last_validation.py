"""The validation of a training's last epoch, whatever the interval of the others is."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events


class LastValidation:
    """Validates after the last epoch, where :class:`monai.handlers.ValidationHandler` of an interval would not.

    Attach it to the trainer after that handler, and before what saves a checkpoint.

    Args:
        validator: the evaluator.
        interval: epochs from one validation to the next of the other handler.
    """

    def __init__(self, validator: Any, interval: int) -> None:
        self.validator, self.interval = validator, interval

    def attach(self, engine: Engine) -> None:
        """Look at every epoch that is done."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Validate if it was the last one."""
        epoch = engine.state.epoch
        if epoch == engine.state.max_epochs and epoch % self.interval:
            self.validator.run(epoch)
