"""The training and the evaluation of the finder of joints, as a user runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.configs.conftest import of_job
from tests.hands.conftest import write_hands

SMALL = {"finder_features": [8] * 6}


@pytest.mark.long
def test_a_finder_is_trained_and_evaluated_on_a_folder_of_hands(bundle: Any, tmp_path: Path) -> None:
    (tmp_path / "hands").mkdir()
    hands = str(write_hands(tmp_path / "hands", 4))
    options = {"dataset_dir": hands, "epochs": 1, "least_images": 4, "validation_views": 1, **SMALL}
    bundle.run("training", *of_job("find_joints"), output_dir=str(tmp_path / "out"), **options)
    assert set(torch.load(tmp_path / "out" / "last.pt", weights_only=True)) == set(
        torch.load(tmp_path / "out" / "joints.pt", weights_only=True)
    )
    weights = {"finder_weights": str(tmp_path / "out" / "last.pt"), **SMALL}
    folder = tmp_path / "evaluated"
    bundle.run("evaluating", *of_job("evaluate_finder"), dataset_dir=hands, output_dir=str(folder), **weights)
    figures = json.loads((folder / "metrics.json").read_text())
    assert figures["one hand"]["films"] == 16
    assert figures["no hand"]["false_hands"] == 0


def test_a_folder_without_landmarks_is_refused_in_a_line(bundle: Any, tmp_path: Path) -> None:
    message = bundle.refusal(
        "training", *of_job("find_joints"), dataset_dir=str(tmp_path), output_dir=str(tmp_path / "out")
    )
    assert re.match(r"error: .*landmarks\.csv: no such file\. Pass --dataset_dir", message)
    assert not (tmp_path / "out").exists()
