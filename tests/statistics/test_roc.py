"""Areas and curves against counting pairs, and against MONAI's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from bundle.statistics.roc import FALSE_POSITIVES, area_under_curve, plot_roc, roc_curve
from monai.metrics import compute_roc_auc


def drawn(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(seed)
    labels = (random.rand(60) < 0.4).astype(float)
    scores = labels + random.randn(60)
    return (scores.round() if ties else scores), labels


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_is_the_chance_that_a_positive_scores_above_a_negative(ties: bool) -> None:
    scores, labels = drawn(0, ties)
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    assert area_under_curve(scores, labels) == pytest.approx(np.mean(pairs), abs=1e-12)
    monai = compute_roc_auc(torch.from_numpy(scores), torch.from_numpy(labels))
    assert area_under_curve(scores, labels) == pytest.approx(float(monai), abs=1e-6)


def test_the_curve_of_perfect_scores_and_of_one_score_for_all() -> None:
    labels = np.array([0, 1, 0, 1, 1])
    assert roc_curve(labels, labels)[1:].tolist() == [1.0] * (len(FALSE_POSITIVES) - 1)
    assert roc_curve(np.zeros(5), labels) == pytest.approx(FALSE_POSITIVES)


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_below_the_curve_is_the_area(ties: bool) -> None:
    scores, labels = drawn(1, ties)
    curve = roc_curve(scores, labels)
    assert np.trapezoid(curve, FALSE_POSITIVES) == pytest.approx(area_under_curve(scores, labels), abs=0.02)
    assert (np.diff(curve) >= 0).all()


def test_one_class_alone_has_neither_area_nor_curve() -> None:
    assert math.isnan(area_under_curve([1.0, 2.0], [1, 1]))
    assert np.isnan(roc_curve([1.0, 2.0], [0, 0])).all()


def test_the_plot_has_the_mean_of_the_curves_that_are_defined() -> None:
    undefined = np.full_like(FALSE_POSITIVES, math.nan)
    figure = plot_roc({"both": [FALSE_POSITIVES, np.ones_like(FALSE_POSITIVES), undefined]}, "title")
    line = figure.axes[0].lines[0]
    assert line.get_label() == "both"
    assert line.get_ydata() == pytest.approx((FALSE_POSITIVES + 1) / 2)
