"""What the trainings of a task take, against counts by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundle.errors import InputError
from bundle.workflow.task_costs import Stage, TaskCost
from bundle.workflow.training_record import RECORD
from torch import nn

CONVOLUTION = nn.Conv2d(2, 5, 3, padding=1, bias=False)
FORWARDS = 2 * (2 * 9) * 5 * 16 * 16
STAGES = {"first": Stage(2, 10, "a"), "second": Stage(4, [0] * 3, "b", added=2)}


def cost(tflops: float = 0.0) -> TaskCost:
    return TaskCost("net", CONVOLUTION, (2, 16, 16), STAGES, batch_size=4, views=[2, 3], kept=256, tflops=tflops)


def test_operations_are_three_times_those_forwards_of_every_view() -> None:
    assert cost().flop_of_image == 3 * 6 * FORWARDS
    assert cost().flop() == {"first": 10 * 18 * FORWARDS, "second": 5 * 18 * FORWARDS}
    assert cost().total_flop() == (2 * 10 + 4 * 5) * 18 * FORWARDS
    assert cost().steps() == {"first": 3, "second": 2}
    assert cost().epochs == 6


def test_the_summary_says_what_it_takes() -> None:
    said = cost(tflops=1e-3).summary()
    assert "images: 10 in first, 5 in second" in said
    assert "schedule: 2 + 4 epochs; 14 steps of 4 images" in said
    seconds = (2 * 10 + 4 * 5) * 18 * FORWARDS / 1e9
    assert f"time at 0.001 TFLOP/s: {seconds / 60:.1f} minutes" in said
    assert "--peak_tflops" in cost().summary()


def test_what_was_spent_is_that_of_all_stages_and_of_each(tmp_path: Path) -> None:
    for stage, seconds in zip(STAGES.values(), (4.0, 2.0), strict=True):
        (tmp_path / stage.record).mkdir()
        entries = [{"epoch": epoch, "seconds": seconds / epoch} for epoch in (3, 1)]
        (tmp_path / stage.record / RECORD).write_text(json.dumps({"epochs": entries}))
    found = cost(tflops=2e-6).spent(tmp_path)
    assert (found["parameters"], found["epochs"], found["seconds"]) == ({"net": 90}, 6, 6.0)
    assert found["seconds_per_epoch"] == 1.0
    assert found["tflops_reached"] == pytest.approx(cost().total_flop() / 6.0 / 1e12)
    assert found["part_of_peak"] == pytest.approx(found["tflops_reached"] / 2e-6)
    assert found["stages"]["second"]["seconds_per_epoch"] == 0.5
    assert found["stages"]["first"]["tflops_reached"] == pytest.approx(2 * cost().flop()["first"] / 4.0 / 1e12)


def test_a_rate_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="peak_tflops"):
        cost(tflops=-1.0)
