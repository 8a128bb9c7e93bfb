"""The smallest detectable change: of the finger, of an unknown one the largest, and never guessed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.joint import FINGERS
from bundle.measurement.detectable import DetectableChange
from bundle.registration.alignment import Alignment
from bundle.registration.narrowing import PairReading

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "detectable_change.json"


def test_every_finger_has_one_and_an_unknown_finger_the_largest() -> None:
    found = DetectableChange.read(SHIPPED)
    assert set(found.fingers) == set(FINGERS) and all(0.05 < found.of(finger) < 0.5 for finger in FINGERS)
    assert found.of("unknown") == max(found.fingers.values())


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"fingers": {}}', '{"fingers": {"ring": {"detectable_mm": 0}}}', '{"fingers": {"ring": 1}}']
    + [
        f'{{"fingers": {{"ring": {{"detectable_mm": {length}}}}}}}'
        for length in ("NaN", "-1", "1e999", "1" + 400 * "0")
    ],
)
def test_a_file_without_lengths_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=r"a\.json: not the smallest detectable changes"):
        DetectableChange.read(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"absent\.json"):
        DetectableChange.read(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("jsn", "limit", "exceeds"),
    [(0.3, 0.2, True), (-0.3, 0.2, True), (0.1, 0.2, False), (math.nan, 0.2, None), (0.3, math.nan, None)],
)
def test_a_change_exceeds_it_in_either_direction(jsn: float, limit: float, exceeds: bool | None) -> None:
    reading = PairReading(jsn, True, Alignment.still(torch.zeros(1, 2, 2)), 0.0)
    assert replace(reading, smallest_detectable_change_mm=limit).exceeds is exceeds
