"""Fleiss' kappa against a published example and a naive reference."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from bundle.statistics.kappa import fleiss_kappa, weighted_kappa

RATINGS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
"""Ten subjects, 14 raters, five categories: the worked example of the encyclopaedias, kappa 0.210."""


def naive(answers: np.ndarray) -> float:
    """Kappa of answers (raters, subjects) by counting pairs of raters, as the definition states."""
    pairs = list(itertools.combinations(range(len(answers)), 2))
    observed = np.mean([[one[a] == one[b] for a, b in pairs] for one in answers.T])
    shares = [np.mean(answers == category) for category in np.unique(answers)]
    chance = sum(share**2 for share in shares)
    return float((observed - chance) / (1.0 - chance))


def test_the_worked_example_has_its_kappa() -> None:
    found = fleiss_kappa(RATINGS)
    assert found.value == pytest.approx(0.210, abs=5e-4)
    assert found.interval[0] < found.value < found.interval[1]
    assert found == fleiss_kappa(RATINGS) != fleiss_kappa(RATINGS, seed=1)


def test_kappa_equals_the_count_of_agreeing_pairs() -> None:
    random = np.random.RandomState(3)
    truth = random.randint(0, 3, size=40)
    answers = np.where(random.rand(5, 40) < 0.6, truth, random.randint(0, 3, size=(5, 40)))
    counts = np.stack([(answers == category).sum(axis=0) for category in range(3)], axis=1)
    assert fleiss_kappa(counts).value == pytest.approx(naive(answers), abs=1e-12)


def test_the_bootstrap_interval_of_kappa_covers_its_value() -> None:
    """In binary answers of raters who are right with chance q, kappa is (2 q - 1)^2 for balanced subjects."""
    random, covered = np.random.RandomState(0), 0
    for trial in range(100):
        truth = random.permutation(np.arange(60) % 2)
        positive = np.where(random.rand(5, 60) < 0.8, truth, 1 - truth).sum(axis=0)
        low, high = fleiss_kappa(np.stack([5 - positive, positive], axis=1), samples=300, seed=trial).interval
        covered += low <= 0.36 <= high
    assert 87 <= covered <= 100


def test_raters_who_always_agree_on_one_category_have_no_kappa() -> None:
    assert math.isnan(fleiss_kappa([[3, 0], [3, 0]]).value)
    assert fleiss_kappa([[3, 0], [0, 3]]).value == 1.0


@pytest.mark.parametrize("counts", [[[1, 0], [1, 0]], [[2, 0]], [[2, 0], [1, 0]], [[3, -1], [1, 1]], [1, 2]])
def test_counts_that_are_no_ratings_are_refused(counts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="counts"):
        fleiss_kappa(counts)


def test_two_raters_without_chance_disagreement_have_no_kappa() -> None:
    assert math.isnan(weighted_kappa(np.array([[4, 0], [0, 0]]), 1))
