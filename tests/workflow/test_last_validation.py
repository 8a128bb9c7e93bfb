from __future__ import annotations

import pytest
from bundle.workflow.last_validation import FirstValidation, LastValidation
from ignite.engine import Engine, Events


class Validator:
    """Notes the epochs after which it runs."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def run(self, epoch: int) -> None:
        self.epochs.append(epoch)


@pytest.mark.parametrize(("interval", "last", "expected"), [(4, 5, [5]), (4, 4, []), (1, 3, []), (10, 2, [2])])
def test_the_last_epoch_is_validated_unless_the_interval_does_it(interval: int, last: int, expected: list[int]) -> None:
    engine, validator = Engine(lambda engine, batch: None), Validator()
    LastValidation(validator, interval).attach(engine)
    engine.run([0], max_epochs=last)
    assert validator.epochs == expected


def test_a_training_that_is_ended_before_is_not_validated() -> None:
    engine, validator = Engine(lambda engine, batch: None), Validator()
    LastValidation(validator, 10).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), lambda: engine.terminate())
    engine.run([0], max_epochs=3)
    assert validator.epochs == []


@pytest.mark.parametrize(("done", "expected"), [(0, [0]), (2, [])])
def test_a_new_training_is_validated_before_its_first_epoch_and_a_resumed_one_is_not(
    done: int, expected: list[int]
) -> None:
    engine, validator = Engine(lambda engine, batch: None), Validator()
    FirstValidation(validator).attach(engine)
    engine.state.max_epochs, engine.state.epoch, engine.state.epoch_length = 3, done, 1
    engine.run([0])
    assert validator.epochs == expected
