"""Figures over seeds, and the error that is gone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bundle.experiments.agreement import ErrorColumn, Outcome, change, over_seeds, plot_curves, reduction
from scipy import stats

ERROR = ErrorColumn("error")


def outcome(arm: str, fraction: float, seed: int, errors: list[float]) -> Outcome:
    names = [f"image{index}" for index in range(len(errors))]
    table = pd.DataFrame({"name": names, "joint": [name[-1] for name in names], "error": errors})
    return Outcome(arm, fraction, seed, {"mae": sum(errors) / max(len(errors), 1)}, table)


def test_the_interval_over_seeds_is_students() -> None:
    values = [1.0, 1.4, 1.5]
    table = over_seeds([outcome("none", 1.0, seed, [value]) for seed, value in enumerate(values)], ["mae"])
    (row,) = table.to_dict("records")
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (row["mean"], row["lower"], row["upper"], row["seeds"]) == pytest.approx((np.mean(values), low, high, 3))


def test_one_seed_has_no_interval() -> None:
    (row,) = over_seeds([outcome("none", 1.0, 0, [1.0])], ["mae"]).to_dict("records")
    assert row["mean"] == 1.0 and np.isnan(row["lower"]) and row["seeds"] == 1


def test_half_the_error_of_every_image_is_half_gone_without_doubt() -> None:
    outcomes = [outcome("none", 1.0, seed, [1.0, 2.0, 3.0, 4.0]) for seed in range(2)]
    outcomes += [outcome("ours", 1.0, seed, [0.5, 1.0, 1.5, 2.0]) for seed in range(2)]
    found = reduction(outcomes, ERROR, "none", "ours", 1.0, samples=50)
    assert found["reduction"] == pytest.approx(0.5)
    assert found["reduction_interval"] == pytest.approx([0.5, 0.5])


def test_errors_are_averaged_over_seeds_before_they_are_compared() -> None:
    outcomes = [outcome("none", 0.5, 0, [1.0, 1.0]), outcome("none", 0.5, 1, [3.0, 3.0])]
    outcomes += [outcome("ours", 1.0, 0, [1.0, 2.0])]
    found = reduction(outcomes, ERROR, "none", "ours", 1.0, 0.5, samples=200)
    assert found["reduction"] == pytest.approx(1.0 - 1.5 / 2.0)
    low, high = found["reduction_interval"]
    assert (low, high) == pytest.approx((0.0, 0.5))


def test_arms_are_compared_on_the_images_of_both() -> None:
    outcomes = [outcome("none", 1.0, 0, [1.0, 9.0]), outcome("ours", 1.0, 0, [0.5])]
    found = reduction(outcomes, ERROR, "none", "ours", 1.0, samples=20)
    assert (found["reduction"], found["images"]) == (0.5, 1)
    with pytest.raises(ValueError, match="no evaluated image in common"):
        reduction([*outcomes[:1], outcome("ours", 1.0, 0, [])], ERROR, "none", "ours", 1.0)
    with pytest.raises(ValueError, match=r"no outcomes at the fraction 0\.5"):
        reduction(outcomes, ERROR, "none", "ours", 0.5)


def test_the_root_mean_square_is_compared_over_rows_and_seeds_without_those_that_have_none() -> None:
    outcomes = [outcome("none", 1.0, seed, errors) for seed, errors in enumerate([[3.0, 4.0], [-3.0, np.nan]])]
    outcomes += [outcome("ours", 1.0, 0, [1.0, np.nan]), outcome("ours", 1.0, 1, [2.0, -2.0])]
    found = reduction(outcomes, ErrorColumn("error", power=2), "none", "ours", 1.0, samples=20)
    assert found["reduction"] == pytest.approx(1.0 - np.sqrt((2.5 + 4.0) / (9.0 + 16.0)))


def test_what_both_err_of_to_the_same_side_is_common() -> None:
    outcomes = [outcome("none", 1.0, seed, errors) for seed, errors in enumerate([[1.0, -2.0, 2.0], [3.0, -2.0, 2.0]])]
    outcomes += [outcome("ours", 1.0, 0, [1.0, -3.0, -2.0])]
    found = reduction(outcomes, ERROR, "none", "ours", 1.0, samples=20)
    assert found["common"] == pytest.approx((1.0 + 2.0 + 0.0) / (2.0 + 2.0 + 2.0))
    assert found["reduction"] == 0.0


def test_errors_to_both_sides_are_not_less_than_their_size() -> None:
    outcomes = [outcome("none", 1.0, seed, [error]) for seed, error in enumerate([2.0, -2.0])]
    found = reduction([*outcomes, outcome("ours", 1.0, 0, [1.0])], ERROR, "none", "ours", 1.0, samples=20)
    assert (found["reduction"], found["common"]) == (0.5, 0.0)


def test_a_change_is_that_of_the_same_seeds_with_students_interval() -> None:
    outcomes = [outcome("none", 1.0, seed, [value]) for seed, value in enumerate([1.0, 10.0, 4.0, 7.0])]
    outcomes += [outcome("ours", 1.0, seed, [value]) for seed, value in [(2, 3.0), (0, 0.5), (1, 8.0)]]
    outcomes += [outcome(arm, 0.5, 0, [value]) for arm, value in (("none", 1.0), ("ours", 9.0))]
    logs = np.log([0.75, 0.5, 0.8])
    low, high = stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))
    found = change(outcomes, "mae", "none", "ours", 1.0)
    assert found["change"] == pytest.approx(np.cbrt(0.75 * 0.5 * 0.8) - 1.0)
    assert found["change_interval"] == pytest.approx([np.exp(low) - 1.0, np.exp(high) - 1.0])


def test_no_change_is_told_of_what_is_not_above_zero_or_not_there_and_no_interval_of_one_seed() -> None:
    outcomes = [outcome("none", 1.0, 0, [2.0]), outcome("ours", 1.0, 0, [1.0]), outcome("other", 1.0, 1, [1.0])]
    one = change(outcomes, "mae", "none", "ours", 1.0)
    assert one["change"] == pytest.approx(-0.5) and np.isnan(one["change_interval"]).all()
    assert np.isnan(change(outcomes, "mae", "none", "other", 1.0)["change"])
    assert np.isnan(change([*outcomes, outcome("zero", 1.0, 0, [0.0])], "mae", "none", "zero", 1.0)["change"])


def test_every_arm_has_its_curve() -> None:
    outcomes = [outcome(arm, fraction, 0, [fraction]) for arm in ("none", "ours") for fraction in (0.5, 1.0)]
    figure = plot_curves(over_seeds(outcomes, ["mae"]), "mae", {"none": "without", "ours": "with"}, "MAE")
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["without", "with"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[50.0, 100.0]] * 2  # type: ignore[arg-type]
