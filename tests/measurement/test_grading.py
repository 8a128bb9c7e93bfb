"""Grades as names and in their order: probabilities, losses and gradients against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from bundle.measurement.grading import GRADES, GradeCoding, NominalGrades, OrdinalGrades
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

CODINGS = [NominalGrades(), OrdinalGrades()]


@pytest.mark.parametrize("coding", CODINGS)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 5.0))
def test_probabilities_are_of_five_grades_and_sum_to_one(coding: GradeCoding, seed: int, scale: float) -> None:
    torch.manual_seed(seed)
    shares = coding.probabilities(torch.randn(3, coding.outputs) * scale)
    assert shares.shape == (3, GRADES) and bool((shares >= 0).all())
    assert shares.sum(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)


@given(seed=st.integers(0, 1000))
def test_the_ordinal_grade_is_the_median_and_its_loss_that_of_four_questions(seed: int) -> None:
    torch.manual_seed(seed)
    coding, output = OrdinalGrades(), torch.randn(6, 4) * 2
    grade = torch.randint(0, GRADES, (6,))
    total = 0.0
    for numbers, true in zip(output.tolist(), grade.tolist(), strict=True):
        logit = numbers[0]
        for above in range(4):
            if above:
                logit -= math.log1p(math.exp(numbers[above]))
            share = 1.0 / (1.0 + math.exp(-logit))
            total -= math.log(share if true > above else 1.0 - share)
    assert float(coding(output, grade[:, None])) == pytest.approx(total / 6, rel=1e-4)
    cumulative = coding.probabilities(output).cumsum(dim=1)
    assert coding.grades(output).tolist() == (cumulative < 0.5).sum(dim=1).tolist()


def test_nominal_grades_have_the_cross_entropy() -> None:
    torch.manual_seed(0)
    output, grade = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 4])
    assert torch.equal(NominalGrades()(output, grade), F.cross_entropy(output, grade))
    assert NominalGrades().grades(output).tolist() == output.argmax(dim=1).tolist()


@pytest.mark.parametrize("coding", CODINGS)
def test_following_the_gradient_leads_to_the_true_grades(coding: GradeCoding) -> None:
    output, grade = torch.zeros(5, coding.outputs, requires_grad=True), torch.arange(5)
    optimizer = torch.optim.Adam([output], 0.5)
    for _ in range(100):
        optimizer.zero_grad()
        coding(output, grade).backward()
        optimizer.step()
    assert coding.grades(output.detach()).tolist() == grade.tolist()


def test_an_ordinal_reader_errs_less_the_nearer_it_is() -> None:
    coding = OrdinalGrades()
    sure = torch.tensor([[6.0, -6.0, 12.0, 0.0]])
    losses = [float(coding(sure, torch.tensor([grade]))) for grade in range(5)]
    assert coding.grades(sure).tolist() == [2]
    assert losses[2] < losses[1] < losses[0] and losses[2] < losses[3] < losses[4]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("grade", [[0, 1, 2], [-1, 0], [0, 5]])
def test_what_is_no_grade_is_refused(coding: GradeCoding, grade: list[int]) -> None:
    with pytest.raises(ValueError, match="as many grades of 0 to 4"):
        coding(torch.zeros(2, coding.outputs), torch.tensor(grade))
