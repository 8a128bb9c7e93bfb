"""The shipped weights on hands that they have not seen; skipped without the public hands (environment HANDS_DATA)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bundle.hands import FinderNetwork, HandFinder, hand_items
from bundle.hands.evaluation import compare
from bundle.hands.trials import turned, whole_film

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hands_data() -> Path:
    if not os.environ.get("HANDS_DATA"):
        pytest.skip("the environment variable HANDS_DATA does not name the folder of the public hands")
    return Path(os.environ["HANDS_DATA"])


@pytest.fixture(scope="module")
def finder() -> HandFinder:
    return HandFinder(FinderNetwork(), ROOT / "models" / "joints.pt", str(ROOT / "configs" / "metadata.json"))


def test_the_shipped_weights_are_at_most_8_mb_and_load(finder: HandFinder) -> None:
    assert finder.load_path.stat().st_size <= 8_000_000
    finder.load()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_held_out_hands_are_found_without_a_wrong_finger_or_side(
    finder: HandFinder, hands_data: Path, number: int
) -> None:
    film = turned(whole_film(hand_items(hands_data, "held_out")[number]), number, bool(number % 2), number > 1)
    rows = list(compare(film, finder(film.image)))
    assert not any(row["side_wrong"] or row["finger_wrong"] or row["inverted_wrong"] for row in rows)
    errors = [
        row["error_mm"] for row in rows if row["joint"] == "MCP" and row["finger"] != "thumb" and not row["refused"]
    ]
    assert len(errors) == 4
    assert max(errors) < 2.5
