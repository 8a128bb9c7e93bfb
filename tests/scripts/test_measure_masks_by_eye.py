"""Changes of radiographs with right masks, and the joints that were graded by eye."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from bundle.errors import InputError
from bundle.phantoms import render, sample_parameters
from bundle.quality import PlausibilityReference
from scripts.measure_masks_by_eye import CHANGES, GRADES, ROOT, cut_off, figures, judged_joints

GRADED = ROOT / "docs" / "results" / "masks_by_eye.csv"


@pytest.fixture(scope="module")
def joint() -> tuple[torch.Tensor, float]:
    parameters = sample_parameters(5, outline_gap_mm=0.6)
    made = render(parameters)
    return torch.cat([made.image, made.masks]), parameters.spacing


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_keeps_the_size_and_only_none_keeps_the_pixels(name: str, joint: tuple[torch.Tensor, float]) -> None:
    image, pixel = joint
    changed = CHANGES[name](image[:1], pixel)
    assert changed.shape == image[:1].shape
    assert torch.equal(changed, image[:1]) == (name == "none")
    assert torch.equal(changed, CHANGES[name](image[:1], pixel))


def test_the_covered_part_has_neither_masks_nor_contrast(joint: tuple[torch.Tensor, float]) -> None:
    covered = cut_off(*joint)
    assert float(covered[1:, :, :60].max()) == 0.0 and float(covered[0, :, :60].std()) == 0.0
    assert torch.equal(covered[:, :, 128:], joint[0][:, :, 128:])


def test_shifted_masks_of_a_joint_are_flagged_and_its_own_ones_are_not(joint: tuple[torch.Tensor, float]) -> None:
    reference = PlausibilityReference.read(ROOT / "models" / "plausibility.json")
    found = figures(reference, {"right": [joint]})
    assert found["joints"] == {"right": 1} and found["grades"] == {"right": 0.0}
    assert found["wrong"]["masks_shifted_4mm"] == found["wrong"]["swapped"] == 1.0
    assert found["subluxed"]["6 mm"] == 1.0 >= found["subluxed"]["3 mm"]


def test_each_graded_joint_has_a_known_grade() -> None:
    graded = pd.read_csv(GRADED, dtype=str)
    assert len(graded) == 60 and graded["joint"].is_unique
    assert set(graded["masks"]) == {*GRADES, "none"}


def test_a_joint_without_a_grade_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.measure_masks_by_eye.sampled", lambda *_, **__: [({"name": "7_left_mcp_ring"}, None)])
    table = tmp_path / "grades.csv"
    table.write_text("joint,masks\nunknown,right\n")
    with pytest.raises(InputError, match=re.escape(f"{table}: no grade of the joint 7_left_mcp_ring.")):
        list(judged_joints("hands", table))
