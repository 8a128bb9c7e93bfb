"""Plans of measuring sessions, and records of measurements."""

from __future__ import annotations

import math
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.reader_study.measuring import Presentation, least_distance, left_to_measure, plan_measurements, validated

GOOD: dict[str, Any] = {
    "reader": "Dr <b>Ä</b>",
    "joint": "joint 1",
    "value_mm": 1.25,
    "grade": 2,
    "seconds": 12.5,
    "repeat": 0,
    "method": "alignment",
    "displacement_mm": [0.1, -1.25],
}


def joints(count: int) -> list[str]:
    return [f"joint_{row}" for row in range(count)]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7, 20, 41])
@pytest.mark.parametrize("repeated", [0.01, 0.2, 0.5, 1.0])
def test_every_joint_comes_once_and_some_again_after_a_third_of_the_session(count: int, repeated: float) -> None:
    for seed in range(5):
        plan = plan_measurements(joints(count), "A", seed, repeated=repeated)
        assert sorted(each.joint for each in plan if each.repeat == 0) == sorted(joints(count))
        again = [each.joint for each in plan if each.repeat == 1]
        assert len(again) == len(set(again)) == max(1, round(repeated * count))
        places = {(each.joint, each.repeat): place for place, each in enumerate(plan)}
        gaps = [places[joint, 1] - places[joint, 0] for joint in again]
        assert min(gaps) >= least_distance(len(plan)) >= max(2, len(plan) / 3)


def test_the_plan_depends_on_reader_and_seed_alone() -> None:
    plan = plan_measurements(joints(30), "A", 1)
    assert plan == plan_measurements(joints(30)[::-1], "A", 1)
    assert plan != plan_measurements(joints(30), "B", 1)
    assert plan != plan_measurements(joints(30), "A", 2)


def test_repeats_are_not_the_same_joints_for_every_reader_nor_at_the_end_alone() -> None:
    plans = [plan_measurements(joints(40), f"reader {row}") for row in range(20)]
    assert len({frozenset(each.joint for each in plan if each.repeat) for plan in plans}) == 20
    first = min(next(place for place, each in enumerate(plan) if each.repeat) for plan in plans)
    assert first < 25


def test_a_single_joint_and_a_session_without_repeats_have_none() -> None:
    assert plan_measurements(["a"], "A") == [Presentation("a", 0)]
    assert all(each.repeat == 0 for each in plan_measurements(joints(10), "A", repeated=0.0))
    assert plan_measurements([], "A") == []


def test_what_is_measured_is_not_left() -> None:
    plan = plan_measurements(joints(5), "A")
    records = [
        {"reader": "A", "joint": plan[0].joint, "repeat": 0},
        {"reader": "B", "joint": plan[1].joint, "repeat": 0},
    ]
    assert left_to_measure(plan, records, "A") == plan[1:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"joints": ["a", "a"]}, "each joint once"),
        ({"joints": ["a", ""]}, "joint: ''"),
        ({"reader": " "}, "reader: ' '"),
        ({"reader": "a\nb"}, "without line breaks"),
        ({"reader": "a\u202eb"}, "printable"),
        ({"reader": "x" * 61}, "1 to 60"),
        ({"reader": 3}, "reader: 3"),
        ({"seed": -1}, "seed"),
        ({"repeated": 1.5}, "repeated"),
    ],
)
def test_arguments_that_give_no_plan_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_measurements(**{"joints": joints(4), "reader": "A", **arguments})


def test_a_measurement_is_kept_as_it_was_sent() -> None:
    assert validated(GOOD) == GOOD
    nothing = {**GOOD, "value_mm": None, "grade": None, "displacement_mm": None}
    assert validated(nothing) == nothing


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value_mm", True),
        ("value_mm", math.nan),
        ("value_mm", math.inf),
        ("value_mm", "1.2"),
        ("value_mm", -6),
        ("value_mm", 11),
        ("value_mm", 10**400),
        ("grade", 5),
        ("grade", -1),
        ("grade", 1.0),
        ("grade", False),
        ("seconds", -1),
        ("seconds", None),
        ("seconds", 1e9),
        ("repeat", 2),
        ("repeat", True),
        ("method", "guess"),
        ("method", None),
        ("joint", ""),
        ("joint", 4),
        ("reader", ""),
        ("displacement_mm", [1]),
        ("displacement_mm", "ab"),
        ("displacement_mm", [1, math.nan]),
        ("displacement_mm", [True, 0]),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        validated({**GOOD, field: value})


def test_a_record_with_other_fields_is_refused() -> None:
    with pytest.raises(InputError, match="seconds is missing"):
        validated({name: value for name, value in GOOD.items() if name != "seconds"})
    with pytest.raises(InputError, match="'patient' is unknown"):
        validated({**GOOD, "patient": "Doe"})
    with pytest.raises(InputError, match="a list is not a record"):
        validated([])  # type: ignore[arg-type]
