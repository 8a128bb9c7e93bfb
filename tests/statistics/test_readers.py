"""Statistics of readers on simulated readers whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from bundle.statistics.estimates import Estimate, proportion
from bundle.statistics.readers import (
    FIGURES,
    ReaderScores,
    comparisons,
    delong,
    logistic_slope,
    named,
    obuchowski_rockette,
    reader_intervals,
)
from bundle.statistics.roc import area_under_curve
from scipy import stats

LABELS = np.arange(100) % 2 == 1
SHIFT, READER, CASE, REST = 1.0, 0.15, 0.6, 0.6
"""Separation, and standard deviations of readers (by kind of image), of cases and of the rest."""
TRUE_AUC = float(stats.norm.cdf(SHIFT / math.sqrt(2 * (READER**2 + CASE**2 + REST**2))))
STUDIES = 400


def study(random: np.random.RandomState, readers: int = 5) -> np.ndarray:
    """Scores of readers for the images of one study (model of Roe and Metz, one modality)."""
    own = READER * random.randn(readers, 2)[:, LABELS.astype(int)]
    noise = CASE * random.randn(100) + REST * random.randn(readers, 100)
    return SHIFT * LABELS + own + noise


@pytest.fixture(scope="module")
def studies() -> list[np.ndarray]:
    random = np.random.RandomState(0)
    return [study(random) for _ in range(STUDIES)]


def covered(intervals: list[tuple[float, float]]) -> float:
    return float(np.mean([low <= TRUE_AUC <= high for low, high in intervals]))


@pytest.mark.slow
def test_the_interval_of_obuchowski_and_rockette_covers_the_true_area(studies: list[np.ndarray]) -> None:
    found = [obuchowski_rockette(scores, LABELS) for scores in studies]
    error = math.sqrt(0.95 * 0.05 / STUDIES)
    assert covered([each.interval for each in found]) == pytest.approx(0.95, abs=3 * error)
    assert np.mean([each.value for each in found]) == pytest.approx(TRUE_AUC, abs=0.005)
    spread = np.std([each.value for each in found], ddof=1)
    assert np.sqrt(np.mean([each.standard_error**2 for each in found])) == pytest.approx(spread, rel=0.1)


@pytest.mark.slow
def test_an_interval_that_forgets_the_shared_cases_is_found_by_the_same_simulation(studies: list[np.ndarray]) -> None:
    planted = []
    for scores in studies:
        areas = delong(scores, LABELS)[0]
        reach = stats.t.ppf(0.975, 4) * areas.std(ddof=1) / math.sqrt(5)
        planted.append((areas.mean() - reach, areas.mean() + reach))
    assert covered(planted) < 0.95 - 3 * math.sqrt(0.95 * 0.05 / STUDIES)


@pytest.mark.slow
def test_delong_agrees_with_the_area_and_with_its_variance_over_studies(studies: list[np.ndarray]) -> None:
    areas, covariance = delong(studies[0], LABELS)
    assert areas == pytest.approx([area_under_curve(row, LABELS) for row in studies[0]])
    assert covariance == pytest.approx(covariance.T)
    random = np.random.RandomState(5)
    common = [SHIFT * LABELS + CASE * random.randn(100) + REST * random.randn(2, 100) for _ in range(600)]
    found = [delong(scores, LABELS) for scores in common]
    true = np.cov(np.stack([areas for areas, _ in found]).T)
    assert np.mean([part for _, part in found], axis=0) == pytest.approx(true, abs=3 * 0.002 * math.sqrt(1.2 / 600))


def test_one_reader_has_the_interval_of_delong() -> None:
    scores = study(np.random.RandomState(1), readers=1)
    areas, covariance = delong(scores, LABELS)
    found = obuchowski_rockette(scores, LABELS)
    assert found.interval[1] - found.value == pytest.approx(1.959964 * math.sqrt(covariance[0, 0]))
    assert found.value == areas[0] and math.isinf(found.freedom) and math.isnan(found.covariance)


def test_the_degrees_of_freedom_are_those_of_hillis() -> None:
    scores = study(np.random.RandomState(2))
    areas, covariance = delong(scores, LABELS)
    found = obuchowski_rockette(scores, LABELS)
    between, shared = areas.var(ddof=1), covariance[~np.eye(5, dtype=bool)].mean()
    assert found.covariance == pytest.approx(shared) and found.between_readers == pytest.approx(between)
    assert found.standard_error**2 == pytest.approx(between / 5 + max(shared, 0.0))
    assert found.freedom == pytest.approx(4 * (between + 5 * shared) ** 2 / between**2)


def test_readers_who_are_always_right_have_an_area_without_spread() -> None:
    found = obuchowski_rockette(np.tile(np.where(LABELS, 5.0, -5.0), (3, 1)), LABELS)
    assert (found.value, found.interval) == (1.0, (1.0, 1.0))


@pytest.mark.parametrize("scores", [np.zeros((2, 3)), np.full((1, 100), np.nan), np.zeros(100)])
def test_scores_without_an_area_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="scores"):
        delong(scores, LABELS)


def called(random: np.random.RandomState, sensitivity: float, specificity: float, labels: np.ndarray) -> np.ndarray:
    """Signed confidences of a reader of known accuracy."""
    right = random.rand(len(labels)) < np.where(labels, sensitivity, specificity)
    return np.where(right == labels, 1.0, -1.0) * random.randint(1, 6, size=len(labels))


def test_a_reader_of_known_sensitivity_is_recovered() -> None:
    labels = np.arange(4000) % 2 == 1
    scores = called(np.random.RandomState(0), 0.8, 0.6, labels)[None]
    found = {name: value[0, 0] for name, value in ReaderScores(scores, labels).figures(np.ones((1, 4000))).items()}
    assert found["sensitivity"] == pytest.approx(0.8, abs=0.03)
    assert found["specificity"] == pytest.approx(0.6, abs=0.03)
    assert found["accuracy"] == pytest.approx(0.7, abs=0.02)
    assert found["auc"] == pytest.approx(area_under_curve(scores[0], labels))


def test_weights_count_images_as_repeats_do() -> None:
    random = np.random.RandomState(4)
    labels, weights = np.arange(12) % 2 == 0, np.random.RandomState(1).randint(1, 4, size=12)
    scores = random.randint(-5, 6, size=(2, 12)).astype(float) + 0.5
    repeated = ReaderScores(np.repeat(scores, weights, axis=1), np.repeat(labels, weights))
    one, other = ReaderScores(scores, labels).figures(weights[None]), repeated.figures(np.ones((1, weights.sum())))
    assert all(one[name] == pytest.approx(other[name]) for name in FIGURES)


def test_an_absent_answer_counts_neither_as_right_nor_as_wrong() -> None:
    labels = np.array([True, True, False, False])
    found = ReaderScores(np.array([[3.0, np.nan, -2.0, np.nan]]), labels).figures(np.ones((1, 4)))
    assert all(found[name] == 1.0 for name in FIGURES)


def test_ties_count_half_in_comparisons() -> None:
    assert comparisons(np.array([[1.0, 1.0, 0.0]]), np.array([True, False, False])).tolist() == [[[0.5, 1.0]]]


@pytest.mark.slow
def test_bootstrap_intervals_over_joints_and_readers_cover_the_mean_of_other_readers() -> None:
    random, hits = np.random.RandomState(0), 0
    for trial in range(60):
        skills = np.clip(0.7 + 0.08 * random.randn(6), 0.5, 0.95)
        scores = np.stack([called(random, skill, skill, LABELS) for skill in skills])
        joints = [f"joint {row}" for row in range(100)]
        _, mean = reader_intervals(ReaderScores(scores, LABELS), joints, samples=300, seed=trial)
        low, high = mean["accuracy"].interval
        hits += low <= 0.7 <= high
    assert hits >= 53


def test_images_of_one_joint_are_resampled_together() -> None:
    labels = np.repeat([True, False], 20)
    scores = np.where(np.repeat(np.arange(4) % 2, 10), 1.0, -1.0)[None]
    single, _ = reader_intervals(ReaderScores(scores, labels), [str(row) for row in range(40)])
    joined, _ = reader_intervals(ReaderScores(scores, labels), [str(row // 10) for row in range(40)])
    assert joined[0]["accuracy"].interval == (0.0, 1.0)
    assert single[0]["accuracy"].interval[0] > 0.2


def test_a_reader_who_learns_has_a_positive_slope_and_a_constant_one_has_none() -> None:
    random = np.random.RandomState(0)
    place = np.tile(np.arange(400) / 10, 2)
    chance = 1.0 / (1.0 + np.exp(-(0.08 * place - 0.5)))
    readers = ["a"] * 400 + ["b"] * 400
    found = logistic_slope(place, random.rand(800) < chance, readers)
    assert found.interval[0] < 0.08 < found.interval[1] and found.interval[0] > 0.0
    flat = logistic_slope(place, random.rand(800) < 0.7, readers)
    assert flat.interval[0] < 0.0 < flat.interval[1]


def test_different_levels_of_two_readers_are_no_learning() -> None:
    """The better reader answers later: without an intercept for each it would look like learning."""
    random = np.random.RandomState(1)
    place = np.arange(800) / 10.0
    correct = random.rand(800) < np.where(place < 40, 0.55, 0.9)
    both = logistic_slope(place, correct, ["a"] * 400 + ["b"] * 400)
    assert both.interval[0] < 0.0 < both.interval[1]
    assert logistic_slope(place, correct, ["a"] * 800).interval[0] > 0.0


@pytest.mark.parametrize("correct", [[True] * 6, [False] * 3 + [True] * 3])
def test_answers_that_do_not_determine_a_slope_have_none(correct: list[bool]) -> None:
    assert math.isnan(logistic_slope(range(6), correct, ["a"] * 6).value)


def test_the_slope_is_that_of_the_likelihood() -> None:
    random = np.random.RandomState(3)
    place, correct = np.arange(60.0), random.rand(60) < 0.6
    found = logistic_slope(place, correct, ["a"] * 60).value

    def likelihood(slope: float) -> float:
        lines = slope * place[None] + np.linspace(-3, 3, 2001)[:, None]
        return float((np.where(correct, lines, -lines) - np.logaddexp(lines, -lines)).sum(axis=1).max())

    assert likelihood(found) > max(likelihood(found - 0.01), likelihood(found + 0.01))


def test_the_interval_of_wilson_stays_within_its_bounds() -> None:
    assert proportion(0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert min(proportion(0, count).interval[0] for count in range(1, 50)) >= 0.0
    assert proportion(10, 10).interval[1] == pytest.approx(1.0)
    assert max(proportion(count, count).interval[1] for count in range(1, 50)) <= 1.0
    assert math.isnan(proportion(0, 0).value)
    with pytest.raises(ValueError, match="3 successes"):
        proportion(3, 2)


def test_estimates_become_figures_with_their_intervals() -> None:
    assert named({"auc": Estimate(0.7, (0.6, 0.8))}) == {"auc": 0.7, "auc_interval": [0.6, 0.8]}


@pytest.mark.parametrize(
    ("scores", "labels"), [(np.zeros((1, 3)), np.zeros(3, bool)), (np.zeros(3), LABELS[:3]), (np.zeros((1, 2)), LABELS)]
)
def test_scores_that_do_not_fit_their_labels_are_refused(scores: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"labels|scores"):
        ReaderScores(scores, labels)
