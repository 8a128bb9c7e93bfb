"""The table of smallest detectable changes: from the files beside the documents, with what it lacks named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bundle.errors import InputError
from bundle.joint import FINGERS
from scripts.write_detectable_change import content, main, of_finger

ROOT = Path(__file__).resolve().parents[2]
TABLE, RETAKES = (ROOT / "docs" / "results" / name for name in ("public_joints.csv", "joint_space.json"))


def test_the_shipped_table_is_that_of_the_measured_joints() -> None:
    assert json.loads((ROOT / "models" / "detectable_change.json").read_text()) == content(TABLE, RETAKES)


def test_visits_of_the_public_joints_vary_more_than_re_takes_of_phantoms() -> None:
    for found in content(TABLE, RETAKES)["fingers"].values():
        assert 0.0 < found["retaken_phantoms_mm"] < found["detectable_mm"]


def test_a_finger_has_the_deviation_within_its_joints() -> None:
    rows = pd.DataFrame({"joint": list("aabbc"), "joint_space_mm": [1.0, 1.2, 2.0, 2.4, 9.0]})
    found = of_finger(pd.concat([rows, pd.DataFrame({"joint": ["a"], "joint_space_mm": [np.nan]})]))
    assert found == {"detectable_mm": pytest.approx(1.96 * 2**0.5 * 0.05**0.5, abs=1e-4), "joints": 2, "radiographs": 4}


def test_a_finger_without_visits_and_a_wrong_file_are_refused(tmp_path: Path) -> None:
    rows = pd.DataFrame({"joint": ["a", "a"], "finger": ["ring"] * 2, "joint_space_mm": [1.0, 1.1]})
    rows.to_csv(tmp_path / "t.csv")
    others = ", ".join(finger for finger in FINGERS if finger != "ring")
    with pytest.raises(InputError, match=f"no joint with two measurements of the {others}"):
        content(tmp_path / "t.csv", RETAKES)
    with pytest.raises(InputError, match="not a table of measured joints"):
        content(RETAKES, RETAKES)
    with pytest.raises(InputError, match="no re-takes by finger"):
        main([str(TABLE), "--retakes", str(TABLE), "--output", str(tmp_path / "o.json")])
