"""The evaluation finds what is planted: shifted joints, exchanged fingers, wrong sides, false and missing hands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.hands import FinderReport, FoundHand, HandFinder, hand_items
from bundle.hands.evaluation import compare, nearest
from bundle.hands.landmarks import INDEX, Landmark
from bundle.hands.trials import (
    Film,
    cut_at_pips,
    left_as_displayed,
    turned,
    turned_films,
    two_hands,
    whole_film,
    without_hands,
)
from bundle.io import JointFrame
from tests.hands.hand_drawings import CODES, Drawn
from torch import Tensor

Change = Callable[[FoundHand], FoundHand]


def finder() -> HandFinder:
    network: Any = Drawn()
    made = HandFinder(network, "absent.pt")
    made._loaded = True
    return made


@pytest.fixture(scope="module")
def film(hands_folder: Path) -> Film:
    return whole_film(hand_items(hands_folder, "held_out")[0])


@pytest.fixture(scope="module")
def found(film: Film) -> FoundHand:
    (hand,) = finder()(film.image)
    return hand


def values_at(film: Film, number: int = 0) -> np.ndarray[Any, Any]:
    columns, rows = np.rint(film.hands[number]).astype(int).T
    values: np.ndarray[Any, Any] = film.image[0].numpy()[rows, columns]
    return values


def test_turned_films_carry_their_landmarks_and_all_are_different(film: Film) -> None:
    films = list(turned_films(film))
    assert len({one.name for one in films}) == len(films) == 16
    for one in films:
        expected = 1.0 - CODES if one.inverted else CODES
        np.testing.assert_allclose(values_at(one), expected, atol=0.02)
        assert left_as_displayed(one.hands[0]) == ("right" if "mirrored" in one.name else "left")


def test_two_hands_lie_side_by_side_one_mirrored(film: Film) -> None:
    both = two_hands(film, replace(film, pixel_mm=1.5 * film.pixel_mm), np.random.RandomState(0))
    assert {left_as_displayed(points) for points in both.hands} == {"left", "right"}
    for number in range(2):
        np.testing.assert_allclose(values_at(both, number), CODES, atol=0.05)


def test_a_cut_hand_has_no_pixels_above_its_lowest_pip(film: Film) -> None:
    cut = cut_at_pips(film)
    assert cut.hands[0][INDEX[Landmark("small", "PIP")], 1] <= 0.0 < cut.hands[0][INDEX[Landmark("small", "MCP")], 1]
    joints = {(row["finger"], row["joint"]) for row in compare(cut, [])}
    assert ("index", "MCP") in joints
    assert ("index", "DIP") not in joints


def test_films_without_hands_are_many_and_different(film: Film) -> None:
    films = list(without_hands([film], np.random.RandomState(0)))
    assert len(films) == 7
    assert all(one.hands == () and one.image.ndim == 3 and min(one.image.shape[1:]) >= 32 for one in films)
    assert not any(torch.equal(one.image, film.image) for one in films)


def shifted(hand: FoundHand) -> FoundHand:
    return replace(hand, joints=tuple(replace(joint, x=joint.x + 30.0) for joint in hand.joints))


def exchanged(hand: FoundHand) -> FoundHand:
    names = {"index": "middle", "middle": "index"}
    return replace(hand, joints=tuple(replace(one, finger=names.get(one.finger, one.finger)) for one in hand.joints))


def on_the_other_side(hand: FoundHand) -> FoundHand:
    return replace(hand, side="right")


def inverted(hand: FoundHand) -> FoundHand:
    return replace(hand, inverted=True)


@pytest.mark.parametrize(
    ("change", "column", "least"),
    [(exchanged, "finger_wrong", 6), (on_the_other_side, "side_wrong", 19), (inverted, "inverted_wrong", 19)],
)
def test_planted_faults_are_found(film: Film, found: FoundHand, change: Change, column: str, least: int) -> None:
    assert not any(row[column] for row in compare(film, [found]))
    assert sum(row[column] for row in compare(film, [change(found)])) >= least


def test_errors_are_in_mm_and_a_shift_is_measured(film: Film, found: FoundHand) -> None:
    exact = [row["error_mm"] for row in compare(film, [found])]
    moved = [row["error_mm"] for row in compare(film, [shifted(found)])]
    assert max(exact) < 0.5
    assert np.median(moved) == pytest.approx(30.0 * film.pixel_mm, abs=0.5)


def test_a_missing_hand_leaves_its_joints_unfound(film: Film, found: FoundHand) -> None:
    assert not any(row["found"] for row in compare(film, []))
    far = turned(film, 0, False, False).hands[0] + 400.0
    assert nearest([found], far) is None


class Unmoved:
    """Stand-in for the placement of frames."""

    def find(self, radiograph: Tensor, mark: JointFrame) -> JointFrame:
        return mark


@pytest.mark.long
def test_the_report_is_perfect_on_drawings_and_counts_false_hands(hands_folder: Path, tmp_path: Path) -> None:
    items = hand_items(hands_folder, "held_out")[:1]
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "hand.png").write_bytes(Path(items[0]["image"]).read_bytes())
    report = FinderReport(finder(), Unmoved(), str(tmp_path / "out"), str(extra))  # type: ignore[arg-type]
    figures = report.measure(items)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["one hand"] == figures["one hand"]
    one = figures["one hand"]
    assert (one["films"], one["mcp_found"], one["false_hands"]) == (16, 1.0, 0)
    assert one["wrong_fingers"] == one["wrong_sides"] == one["wrong_inversions"] == one["wrong_joints"] == 0
    assert figures["two hands"]["wrong_joints"] == figures["two hands"]["false_hands"] == 0
    assert figures["cut at the PIP joints"]["wrong_mcps"] == 0
    assert figures["no hand"]["films"] == 8
    assert figures["centring"]["seconds_per_hand"] >= 0.0
    films = pd.read_csv(tmp_path / "out" / "per_film.csv")
    assert list(films[films.false_hands > 0].film.str.split(".").str[0]) == ["hand"]
    assert figures["no hand"]["false_hands"] == 1
