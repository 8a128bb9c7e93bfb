"""Agreement statistics against the worked examples of the papers that they come from, and on simulated raters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from bundle.statistics.agreement import (
    absolute_agreement,
    bland_altman,
    consistency,
    plot_bland_altman,
    smallest_detectable_change,
    smallest_detectable_difference,
)
from hypothesis import given
from hypothesis import strategies as st

WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
"""First readings of peak flow (l/min) by two meters, Bland and Altman 1986, Table 1."""

JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
"""Six targets by four judges, Shrout and Fleiss 1979, Table 2."""


def test_the_example_of_bland_and_altman_has_their_figures() -> None:
    """They take the large meter less the mini meter, and 2 standard deviations."""
    found = bland_altman(MINI, WRIGHT, factor=2.0)
    assert found.pairs == 17
    assert found.bias == pytest.approx(-2.1, abs=0.05)
    assert found.deviation == pytest.approx(38.8, abs=0.05)
    assert found.limits == pytest.approx((-79.7, 75.5), abs=0.1)
    assert found.bias_interval == pytest.approx((-22.0, 17.8), abs=0.15)
    assert found.lower_interval == pytest.approx((-114.3, -45.1), abs=0.3)
    assert found.upper_interval == pytest.approx((40.9, 110.1), abs=0.3)


def test_the_example_of_shrout_and_fleiss_has_their_figures() -> None:
    """The intervals are those of the R package psych for the same table."""
    agreed, consistent = absolute_agreement(JUDGES), consistency(JUDGES)
    assert agreed.value == pytest.approx(0.29, abs=0.005)
    assert consistent.value == pytest.approx(0.71, abs=0.006)
    assert agreed.interval == pytest.approx((0.02, 0.76), abs=0.005)
    assert consistent.interval == pytest.approx((0.34, 0.95), abs=0.005)


def test_a_bias_of_a_rater_counts_in_agreement_and_not_in_consistency() -> None:
    subjects = np.random.RandomState(0).randn(30)
    ratings = np.stack([subjects, subjects + 2.0], axis=1) + 0.01 * np.random.RandomState(1).randn(30, 2)
    assert consistency(ratings).value > 0.999
    assert absolute_agreement(ratings).value < 0.5


def test_intervals_cover_the_true_correlation_as_often_as_they_say() -> None:
    random = np.random.RandomState(0)
    covered = 0
    for _ in range(400):
        ratings = random.randn(20, 1) + random.randn(20, 3)  # half of the variance is between subjects
        low, high = consistency(ratings).interval
        covered += low <= 0.5 <= high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_raters_that_agree_fully_have_a_correlation_of_one() -> None:
    assert consistency([[1, 1], [2, 2], [5, 5]]).value == 1.0
    assert absolute_agreement([[1, 1], [2, 2], [5, 5]]).value == 1.0


def test_limits_hold_the_share_of_differences_that_they_say() -> None:
    random = np.random.RandomState(0)
    first = random.randn(20000)
    second = first + 0.3 + 0.1 * random.randn(20000)
    low, high = bland_altman(first, second, level=0.9).limits
    difference = second - first
    assert ((difference > low) & (difference < high)).mean() == pytest.approx(0.9, abs=0.01)


@given(st.floats(-5, 5), st.floats(0.1, 10))
def test_statistics_follow_unit_and_origin(shift: float, scale: float) -> None:
    one, other = np.array(WRIGHT, float), np.array(MINI, float)
    plain, moved = bland_altman(one, other), bland_altman(scale * one, scale * other + shift)
    assert moved.bias == pytest.approx(scale * plain.bias + shift, rel=1e-6, abs=1e-6)
    assert moved.deviation == pytest.approx(scale * plain.deviation)
    assert smallest_detectable_difference(one, other) == pytest.approx(1.96 * plain.deviation)


def test_a_change_is_detected_the_sooner_the_more_readings_are_averaged() -> None:
    one = smallest_detectable_change(WRIGHT, MINI)
    assert one == pytest.approx(smallest_detectable_difference(WRIGHT, MINI) / math.sqrt(2))
    assert smallest_detectable_change(WRIGHT, MINI, readings=4) == pytest.approx(one / 2)
    with pytest.raises(ValueError, match="readings must be at least 1"):
        smallest_detectable_change(WRIGHT, MINI, readings=0)


@pytest.mark.parametrize(("first", "second"), [([1.0], [2.0]), ([1, 2], [1, 2, 3]), ([1, math.nan], [1, 2])])
def test_what_are_no_pairs_is_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="both series must be finite and of the same length"):
        bland_altman(first, second)


@pytest.mark.parametrize("ratings", [[[1, 2]], [1, 2, 3], [[1, math.inf], [1, 2]], [[1, 1], [1, 1]]])
def test_what_is_no_table_of_ratings_is_refused(ratings: list[object]) -> None:
    with pytest.raises(ValueError, match="subjects, raters"):
        absolute_agreement(ratings)


def test_the_plot_shows_each_pair_and_three_lines() -> None:
    (axes,) = plot_bland_altman(WRIGHT, MINI, "l/min").axes
    assert len(axes.lines) == 1 + 3 and len(axes.lines[0].get_xdata()) == 17
    assert "l/min" in axes.get_xlabel()


def test_equal_ratings_agree_whatever_their_rounding() -> None:
    ratings = np.array([1.61, 2.23, 0.87, 1.49, 1.18]) + 0.1
    assert absolute_agreement(np.stack([ratings, ratings], axis=1)).value == 1.0
    assert absolute_agreement(np.stack([ratings, (ratings / 3.0) * 3.0], axis=1)).interval == (1.0, 1.0)
    assert consistency(np.stack([ratings, (ratings / 3.0) * 3.0], axis=1)).value == pytest.approx(1.0)
