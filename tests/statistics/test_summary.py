"""Tables of a metric per finger and overall."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.separation.metrics import ReconstructionMSE
from bundle.statistics.summary import bootstrap_interval, summarize, to_markdown
from tests.separation.metric_images import images, layers

VALUES = {"mse": [1.0, 3.0, 5.0, 7.0, 0.5], "rmse": torch.tensor([[0.1], [math.nan], [0.3], [0.4], [math.nan]])}
WHICH = ["small", "thumb", "small", "fifth", "small"]


def row(table: pd.DataFrame, finger: str, metric: str) -> list[float]:
    cell = table[(table["finger"] == finger) & (table["metric"] == metric)]
    assert len(cell) == 1
    return [float(x) for x in cell[["mean", "std", "count"]].to_numpy()[0]]


def test_summary_has_sample_statistics_per_finger_and_overall() -> None:
    table = summarize(VALUES, WHICH)
    assert list(dict.fromkeys(table["finger"])) == ["thumb", "small", "fifth", "overall"]
    assert row(table, "small", "mse") == pytest.approx([6.5 / 3.0, pd.Series([1.0, 5.0, 0.5]).std(), 3])
    assert row(table, "small", "rmse") == pytest.approx([0.2, math.sqrt(0.02), 2])
    assert row(table, "thumb", "mse") == pytest.approx([3.0, math.nan, 1], nan_ok=True)
    assert row(table, "thumb", "rmse") == pytest.approx([math.nan, math.nan, 0], nan_ok=True)
    assert row(table, "overall", "rmse") == pytest.approx([0.8 / 3.0, pd.Series([0.1, 0.3, 0.4]).std(), 3])
    assert row(table, "overall", "mse")[2] == 5


def test_summary_refuses_values_that_do_not_match_the_images() -> None:
    with pytest.raises(ValueError, match="psnr must have one value for each of 5 images, got 2"):
        summarize({"psnr": [1.0, 2.0]}, WHICH)


def test_summary_of_a_metric_is_its_buffer_and_its_mean() -> None:
    metric = ReconstructionMSE()
    metric(layers(), images())
    table = summarize({"mse": metric.get_buffer()}, ["index", "index", "ring"])
    assert row(table, "overall", "mse")[0] == pytest.approx(float(metric.aggregate()))


def test_markdown_states_mean_deviation_and_count() -> None:
    assert to_markdown(summarize(VALUES, WHICH)).splitlines() == [
        "| finger | n | mse | rmse |",
        "| --- | ---: | ---: | ---: |",
        "| thumb | 1 | 3 | not defined |",
        "| small | 3 | 2.167 ± 2.5 | 0.2 ± 0.14 (n = 2) |",
        "| fifth | 1 | 7 | 0.4 |",
        "| overall | 5 | 3.3 ± 2.7 | 0.2667 ± 0.15 (n = 3) |",
    ]


def test_the_interval_is_that_of_joints_drawn_with_replacement() -> None:
    values, joints = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), ["b", "a", "b", "c", "a"]
    random, means = np.random.RandomState(3), []
    for _ in range(50):
        drawn = ["abc"[index] for index in random.randint(3, size=3)]
        chosen = [value for name in drawn for value, joint in zip(values, joints, strict=True) if joint == name]
        means.append(sum(chosen) / len(chosen))
    found = bootstrap_interval(lambda images: float(values[images].mean()), joints, samples=50, level=0.8, seed=3)
    assert found == pytest.approx(tuple(np.quantile(means, [0.1, 0.9])))


def test_undefined_samples_are_left_out_and_without_joints_there_is_no_interval() -> None:
    some = bootstrap_interval(lambda images: 1.0 if 0 in images else math.nan, ["a", "b"])
    assert some == (1.0, 1.0)
    assert all(math.isnan(bound) for bound in bootstrap_interval(lambda images: math.nan, ["a", "b"]))
    assert all(math.isnan(bound) for bound in bootstrap_interval(lambda images: 1.0, []))
