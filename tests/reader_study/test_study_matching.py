"""Choice of matched radiographs for a study."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.reader_study.study_matching import Candidate, StudyPlan, plan_study
from hypothesis import given
from hypothesis import strategies as st

FRAME = torch.zeros(1, 4, 4)
FINGERS = ("index", "middle", "ring", "small")


def one(name: str, joint: int, width: float, finger: str = "") -> Candidate:
    return Candidate(name, f"joint {joint}", finger or FINGERS[joint % 4], width, 0.08, lambda: FRAME)


def candidates(joints: int, each: int = 3, seed: int = 0) -> tuple[list[Candidate], list[Candidate]]:
    """Several real and synthetic radiographs of the same joints; real ones wider spread than synthetic ones."""
    random = np.random.RandomState(seed)
    real = [one(f"r{joint} {row}", joint, random.normal(1.5, 0.5)) for joint in range(joints) for row in range(each)]
    made = [one(f"s{joint} {row}", joint, random.uniform(0.0, 2.6)) for joint in range(joints) for row in range(each)]
    return real, made


def test_a_study_is_matched_and_shows_every_joint_once() -> None:
    plan = plan_study(*candidates(160), count=50)
    assert len(plan.pairs) == 50
    joints = [each.joint for pair in plan.pairs for each in pair]
    assert len(set(joints)) == 100
    for real, made in plan.pairs:
        assert real.name.startswith("r") and made.name.startswith("s")
        assert real.finger == made.finger
        assert abs(real.joint_space_mm - made.joint_space_mm) <= 0.2
    found = plan.matching()
    assert abs(found["standardised_mean_difference"]) < 0.1
    assert found["kolmogorov_smirnov"]["p"] > 0.5
    assert sum(found["fingers"].values()) == found["pairs"] == 50


def test_the_choice_depends_on_the_seed_and_not_on_the_order_of_the_candidates() -> None:
    real, made = candidates(60)
    plan = plan_study(real, made, count=10, seed=4)
    assert plan == plan_study(real[::-1], made[::-1], count=10, seed=4)
    assert plan != plan_study(real, made, count=10, seed=5)


def test_the_assignment_of_a_finger_is_the_best_one() -> None:
    random = np.random.RandomState(1)
    real = [one(f"r{row}", row, width, "index") for row, width in enumerate(random.uniform(1, 2, 6))]
    made = [one(f"s{row}", 10 + row, width, "index") for row, width in enumerate(random.uniform(1, 2, 6))]
    plan = plan_study(real, made, count=6, caliper_mm=5.0)
    total = plan.matching()["difference_mm"]["mean"] * 6
    orders = itertools.permutations(made)
    least = min(
        sum(abs(a.joint_space_mm - b.joint_space_mm) for a, b in zip(real, order, strict=True)) for order in orders
    )
    assert total == pytest.approx(least)


@given(st.integers(0, 2**40))
def test_pairs_never_exceed_the_caliper_nor_share_a_joint(seed: int) -> None:
    real, made = candidates(24, 2, seed % 1000)
    plan = plan_study(real, made, count=3, seed=seed, caliper_mm=0.3)
    assert len({each.joint for pair in plan.pairs for each in pair}) == 6
    assert all(abs(a.joint_space_mm - b.joint_space_mm) <= 0.3 and a.finger == b.finger for a, b in plan.pairs)


def test_more_pairs_are_found_rather_than_closer_ones() -> None:
    real = [one("r0", 0, 1.0, "index"), one("r1", 1, 1.15, "index")]
    made = [one("s2", 2, 1.14, "index"), one("s3", 3, 1.3, "index")]
    plan = plan_study(real, made, count=2)
    assert {(a.name, b.name) for a, b in plan.pairs} == {("r0", "s2"), ("r1", "s3")}


@pytest.mark.parametrize(
    ("real", "made", "found"),
    [
        ([one("r", 0, 1.0)], [one("s", 0, 1.0)], "only 0 pairs match"),
        ([one("r", 0, 1.0)], [one("s", 4, 1.9)], "only 0 pairs match"),
        ([one("r", 0, 1.0)], [one("s", 1, 1.0)], "only 0 pairs match"),
        ([one("r", 0, 1.0)], [one("s", 4, 1.1)], r"only 1 pairs match \(1 of the index finger\)"),
        ([one("r", 0, float("nan"))], [one("s", 4, 1.1)], "0 joints with real"),
        ([], [], "0 joints together"),
    ],
)
def test_a_study_that_cannot_be_matched_is_refused_with_its_numbers(real: Any, made: Any, found: str) -> None:
    with pytest.raises(InputError, match=found) as raised:
        plan_study(real, made, count=2)
    assert "Use data sets with more joints" in str(raised.value)


def test_a_planted_imbalance_is_described() -> None:
    pairs = [(one("r", row, 1.0 + 0.01 * row), one("s", 100 + row, 1.5 + 0.01 * row)) for row in range(30)]
    found = StudyPlan(pairs, 0, 1.0).matching()
    assert found["standardised_mean_difference"] > 3.0
    assert found["kolmogorov_smirnov"]["p"] < 1e-6
    assert found["difference_mm"]["largest"] == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": "many"}, {"seed": -1}, {"caliper_mm": float("nan")}])
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        plan_study(*candidates(8), **wrong)
