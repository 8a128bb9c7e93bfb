"""Figures of grades against their definitions and a published example."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.measurement.grading import GradeCoding, NominalGrades, OrdinalGrades
from bundle.scoring.grades import GradeReading, confusion, graded, grading_of_joints, weighted_kappa
from hypothesis import given
from hypothesis import strategies as st


def rows(true: list[int], read: list[int]) -> pd.DataFrame:
    names = [f"image{index}" for index in range(len(true))]
    joints = [f"joint{index // 2}" for index in range(len(true))]
    known = {"name": names, "joint": joints, "finger": "ring"}
    shares = [[1.0 if grade == found else 0.0 for grade in range(5)] for found in read]
    return pd.DataFrame({**known, "true_grade": true, "narrowing_grade": read, "probabilities": shares})


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_macro_figures_are_means_over_the_grades_that_occur(pairs: list[tuple[int, int]]) -> None:
    true, read = np.array(pairs).T
    found = graded(true, read)
    occurs = sorted(set(true.tolist()))
    sensitivity = [np.mean(read[true == grade] == grade) for grade in occurs]
    precision = [np.mean(true[read == grade] == grade) if (read == grade).any() else 0.0 for grade in occurs]
    assert found["sensitivity"] == pytest.approx(np.mean(sensitivity))
    assert found["precision"] == pytest.approx(np.mean(precision))
    if len(occurs) > 1:
        specificity = [np.mean(read[true != grade] != grade) for grade in occurs]
        assert found["specificity"] == pytest.approx(np.mean(specificity))
    assert found["accuracy"] == pytest.approx(np.mean(true == read))


def test_kappa_is_that_of_cohens_example() -> None:
    # Cohen, Psychological Bulletin 1968, as in Fleiss and Cohen 1973: two raters, 200 patients, three diagnoses
    counts = np.zeros((5, 5), np.int64)
    counts[:3, :3] = [[88, 10, 2], [14, 40, 6], [18, 10, 12]]
    weights = np.abs(np.subtract.outer(range(5), range(5)))
    share, expected = counts / 200, np.outer(counts.sum(1), counts.sum(0)) / 200**2
    assert weighted_kappa(counts, 1) == pytest.approx(1 - (weights * share).sum() / (weights * expected).sum())
    plain = (share.trace() - expected.trace()) / (1 - expected.trace())
    assert plain == pytest.approx(0.492, abs=5e-4)
    two = confusion(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0]))
    assert weighted_kappa(two, 1) == weighted_kappa(two, 2) == pytest.approx((0.6 - 0.52) / 0.48)


def test_agreement_by_chance_is_worth_nothing_and_perfect_agreement_one() -> None:
    both = np.repeat(np.arange(5), 5), np.tile(np.arange(5), 5)
    assert weighted_kappa(confusion(*both), 2) == pytest.approx(0.0)
    assert graded(both[0], both[0])["kappa_quadratic"] == graded(both[0], both[0])["accuracy"] == 1.0


def test_one_grade_that_is_always_read_leaves_kappa_undefined() -> None:
    assert np.isnan(graded(np.array([4, 4]), np.array([4, 4]))["kappa_linear"])


def test_the_worst_images_come_first_and_every_figure_has_its_counts() -> None:
    found = grading_of_joints(rows([0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 4, 1]), samples=50)
    assert found.worst[0] == "image5"
    assert np.array(found.figures["confusion"]).sum() == found.figures["images"] == 6
    low, high = found.figures["accuracy_interval"]
    assert low <= found.figures["accuracy"] <= high
    assert found.figures["by_grade"]["sensitivity"][4] == 0.5


def test_a_reading_says_the_grade_with_its_probabilities_and_knows_what_is_not_known() -> None:
    reading = GradeReading(NominalGrades())
    line = reading.read(torch.tensor([0.0, 0.0, 5.0, 0.0, 0.0]))
    assert line["narrowing_grade"] == 2 and sum(line["probabilities"]) == pytest.approx(1.0)
    assert reading.truth({"grade": torch.tensor([3])}) == {"true_grade": 3}
    assert reading.truth({"grade": torch.tensor([-1])}) is None


@given(temperature=st.floats(0.1, 10.0), seed=st.integers(0, 100))
@pytest.mark.parametrize("coding", [NominalGrades(), OrdinalGrades()])
def test_a_temperature_keeps_the_grade_and_evens_out_its_probabilities(
    coding: GradeCoding, temperature: float, seed: int
) -> None:
    output = torch.randn(1, coding.outputs, generator=torch.Generator().manual_seed(seed)).double()
    shares = [coding.probabilities(output, value) for value in (temperature, 2.0 * temperature)]
    assert all(float(share.sum()) == pytest.approx(1.0) for share in shares)
    if isinstance(coding, NominalGrades):
        assert shares[0].argmax() == shares[1].argmax() == int(coding.grades(output))
        assert shares[0].max() >= shares[1].max()
    else:
        medians = [int((share.flip(1).cumsum(1).flip(1)[:, 1:] > 0.5).sum()) for share in shares]
        assert medians == [int(coding.grades(output))] * 2


def test_the_temperature_of_a_grader_that_is_too_sure_is_found() -> None:
    logits = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0)).double()
    true = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
    known = pd.DataFrame({"joint": [f"joint{index // 2}" for index in range(4000)], "true_grade": true.tolist()})
    assert GradeReading(NominalGrades()).fit_factor(3.0 * logits, known) == pytest.approx(3.0, rel=0.1)
