from __future__ import annotations

from typing import Any

import pytest
from bundle.errors import InputError
from bundle.workflow.time_limit import TimeLimit


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Work:
    """Counts how often it runs."""

    runs = 0

    def run(self) -> None:
        self.runs += 1


class Engine:
    """What the limit sees of an engine."""

    def __init__(self) -> None:
        self.state: Any = type("State", (), {"epoch": 3, "max_epochs": 9})()
        self.ended = False

    def terminate(self) -> None:
        self.ended = True


def limit(minutes: float, resume: bool = False) -> tuple[TimeLimit, Clock]:
    clock = Clock()
    return TimeLimit(minutes, resume, clock), clock


def test_an_epoch_is_allowed_that_fits_with_a_reserve() -> None:
    made, clock = limit(1.0)
    made.start(Engine())  # type: ignore[arg-type]
    clock.now = 20.0
    assert made.allows_another()  # at 42 s
    made.start(Engine())  # type: ignore[arg-type]
    clock.now = 40.0
    assert not made.allows_another()  # at 62 s


def test_the_longest_epoch_counts() -> None:
    made, clock = limit(1.0)
    clock.now = 30.0
    assert not made.allows_another()  # 30 s, and 33 s more
    made.start(Engine())  # type: ignore[arg-type]
    clock.now = 31.0
    assert not made.allows_another()


def test_without_minutes_there_is_no_limit() -> None:
    made, clock = limit(0.0)
    clock.now = 1e9
    assert made.allows_another()


def test_what_comes_after_a_training_that_was_ended_does_not_run(caplog: pytest.LogCaptureFixture) -> None:
    made, _ = limit(1.0)
    work, engine = Work(), Engine()
    made.run(work)
    made.end(engine)
    made.run(work)
    assert (work.runs, engine.ended, made.over) == (1, True, True)
    assert "after epoch 3 of 9: run the command again with --resume true to resume." in caplog.text


def test_a_command_that_resumes_by_itself_is_run_again_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    limit(1.0, resume=True)[0].end(Engine())
    assert "after epoch 3 of 9: run the command again to resume." in caplog.text


@pytest.mark.parametrize("minutes", [-1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused_by_name(minutes: float) -> None:
    with pytest.raises(InputError, match=r"^minutes: .* is not a duration"):
        TimeLimit(minutes)
