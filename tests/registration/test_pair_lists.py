"""Pairs are of one joint each."""

from __future__ import annotations

from math import comb
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.measurement.outline_gap import outline_gap
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.registration.pair_lists import RadiographPairs, pairs_of_joint

COUNTS = {"a": 4, "b": 1, "c": 3}


def items() -> list[dict[str, Any]]:
    return [{"joint": joint, "name": f"{joint}{row}"} for joint, count in COUNTS.items() for row in range(count)]


def test_all_pairs_of_a_joint_occur_once_in_the_order_of_the_list() -> None:
    given = items()
    found = pairs_of_joint(given)
    assert len(set(found)) == len(found) == sum(comb(count, 2) for count in COUNTS.values())
    for pair in found:
        assert list(pair) == sorted(pair) and len({given[row]["joint"] for row in pair}) == 1


def test_a_limit_draws_by_the_seed() -> None:
    found = pairs_of_joint(items(), limit=2, seed=3)
    assert len(found) == 4 and found == pairs_of_joint(items(), limit=2, seed=3)
    assert any(found != pairs_of_joint(items(), limit=2, seed=seed) for seed in range(5))


def test_hands_are_paired_by_their_series() -> None:
    """Each marked joint of a hand has a name of its own."""
    marks = [("a", "left", "index"), ("a", "left", "ring"), ("a", "right", "index"), ("b", "left", "index")]
    hands = [{"joint": f"{row}", "series": "_".join(mark)} for row, mark in enumerate([*marks, *marks[:2]])]
    assert pairs_of_joint(hands) == [(0, 4), (1, 5)]


def test_radiographs_of_two_patients_in_one_folder_never_make_a_pair() -> None:
    hands = [{"joint": "flat", "patient": patient} for patient in ("patient_1", "patient_2", "patient_1", "")]
    assert pairs_of_joint(hands) == [(0, 2)]
    with pytest.raises(InputError, match="state the same patient"):
        RadiographPairs([{**sample("a", f"{row}", 1.0), "patient": f"patient_{row}"} for row in range(2)])


def sample(joint: str, name: str, jsw: float, size: int = 64) -> dict[str, Any]:
    phantom = render(sample_parameters(0, size=size, spacing=21 / size, outline_gap_mm=jsw))
    image = torch.cat([phantom.image, phantom.masks])
    known = {"joint": joint, "name": name, "finger": "ring", "side": "left", "spacing": torch.tensor([21 / size])}
    return {**known, "image": image, "label": image}


def test_a_pair_says_how_much_narrower_the_masks_of_the_second_are() -> None:
    pairs = RadiographPairs([sample("a", "1", 1.6), sample("b", "1", 1.0), sample("a", "2", 1.2)])
    assert len(pairs) == 1
    pair = pairs[0]
    assert (pair["fixed_name"], pair["moving_name"], pair["joint"]) == ("1", "2", "a")
    widths = [outline_gap(pair[key][None, 1:], 21 / 64) for key in ("image", "moving")]
    assert float(pair["masks_jsn"]) == pytest.approx(float(widths[0] - widths[1])) == pytest.approx(0.4, abs=0.05)
    assert bool(pair["alignment"].isnan().all()) and bool(pair["jsn"].isnan())


def test_joints_without_a_second_radiograph_are_refused() -> None:
    with pytest.raises(InputError, match="no two radiographs show the same joint"):
        RadiographPairs([sample("a", "1", 1.6), sample("b", "1", 1.0)])


def test_radiographs_of_different_frames_are_refused() -> None:
    with pytest.raises(InputError, match="differ in size or spacing"):
        RadiographPairs([sample("a", "1", 1.6), sample("a", "2", 1.0, size=80)])
