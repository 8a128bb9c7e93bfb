"""Implausible registrations, each planted, and plausible ones."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from bundle.registration.alignment import Alignment
from bundle.registration.narrowing import PairReading
from bundle.registration.plausibility import PROPERTIES, REFERENCE, judge_registration, measure_registration

CENTER = torch.tensor([[[0.0, 1.0], [0.0, -1.0]]])


def reading(
    lower: tuple[float, ...] = (1.0, 1.0, 0.1, 0.1), upper: tuple[float, ...] = (1.01, -1.0, 0.0, 0.3)
) -> PairReading:
    """What was found with scale, degrees, x and y of each bone."""
    bones = Alignment.from_parameters(torch.tensor([[lower, upper]]), CENTER)
    return PairReading(0.2, True, bones, 0.003, likeness=0.8)


def test_a_usual_registration_is_plausible_with_and_without_masks_of_the_moving_radiograph() -> None:
    for masks_jsn in (0.3, math.nan):
        assert not judge_registration(reading(), masks_jsn).flagged
    assert set(PROPERTIES) == set(measure_registration(reading())) == set(REFERENCE.ranges)


@pytest.mark.parametrize(
    ("planted", "masks_jsn", "reason"),
    [
        (replace(reading(), likeness=0.1), 0.2, "differ after alignment"),
        (reading((1.0, 20.0, 0.0, 0.0), (1.0, 20.0, 0.0, 0.0)), 0.2, "hand has rotated too far (turn 20.00 degrees"),
        (reading((1.0, 12.0, 0.0, 0.0), (1.0, -12.0, 0.0, 0.0)), 0.2, "rotated too far relative to each other"),
        (reading((1.0, 0.0, 2.0, 0.0), (1.0, 0.0, -2.0, 0.0)), 0.2, "sideways relative to each other"),
        (reading((0.8, 0.0, 0.0, 0.0)), 0.2, "the size of a bone differs too much"),
        (replace(reading(), jsn_mm=-3.0), -3.0, "changed too much (change 3.00 mm, usual at most 2.00)"),
        (reading(), 2.2, "the masks give another narrowing (against masks 2.00 mm"),
    ],
)
def test_an_odd_registration_is_told_with_its_reason(planted: PairReading, masks_jsn: float, reason: str) -> None:
    verdict = judge_registration(planted, masks_jsn)
    assert len(verdict.reasons) == 1 and reason in verdict.reasons[0]
    assert verdict.score > 1.0


def test_what_was_not_found_is_not_plausible_and_names_the_bone() -> None:
    verdict = judge_registration(replace(reading(), found=False, missing=["lower"]))
    assert verdict.reasons == ["the lower bone was not found"]
    assert verdict.described() == {
        "plausibility_score": None,
        "flagged": True,
        "reasons": ["the lower bone was not found"],
        "notes": [],
    }
