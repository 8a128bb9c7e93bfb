"""The calibration of stated uncertainties: fitted, left out, written beside the weights and read with them."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.errors import InputError
from bundle.networks import file_label
from bundle.scoring.agreement import JointSpaceReading
from bundle.scoring.calibration import (
    CalibrationWriter,
    UncertaintyCalibration,
    calibration_path,
    left_out,
    uncertainty_factor,
)
from torch import Tensor

JOINTS = 200


def predictions(factor: float, seed: int = 0, each: int = 2) -> tuple[Tensor, pd.DataFrame]:
    """Outputs of a regressor that states errors too small by a factor, and the truth."""
    random = np.random.default_rng(seed)
    stated = np.exp(random.normal(-3.0, 0.3, JOINTS * each))
    error = random.normal(size=JOINTS * each) * factor * stated
    outputs = torch.from_numpy(np.stack([1.0 + error, np.log(stated / math.sqrt(2.0))], axis=1)).float()
    joints = [f"joint{index // each}" for index in range(JOINTS * each)]
    return outputs, pd.DataFrame({"joint": joints, "joint_space_mm": 1.0, "spacing_mm": 0.1})


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_the_factor_by_which_a_network_is_too_sure_is_found(factor: float) -> None:
    reading, (outputs, rows) = JointSpaceReading(), predictions(factor)
    fitted = reading.fit_factor(outputs, rows)
    assert fitted == pytest.approx(factor, rel=0.15)
    others = predictions(factor, seed=1)
    assert reading.figure_at(*others, fitted).mean() == pytest.approx(0.95, abs=0.025)


def test_a_joint_that_is_left_out_does_not_set_its_own_factor() -> None:
    outputs, rows = predictions(1.0)
    outputs[:2, 0] += 100.0
    figures = left_out(JointSpaceReading(), outputs, rows)
    assert figures[:2].tolist() == [0.0, 0.0] and figures[2:].mean() > 0.9


def weights_file(folder: Path) -> Path:
    (folder / "scorer.pt").write_bytes(b"weights")
    return folder / "scorer.pt"


def write(folder: Path, factor: float) -> UncertaintyCalibration:
    """Calibrate as a run does, in batches."""
    path, (outputs, rows) = weights_file(folder), predictions(factor)
    weights = SimpleNamespace(load_path=str(path), source=file_label(path))
    writer = CalibrationWriter(weights, JointSpaceReading(), {"datalist": "list"})
    for part in range(0, len(rows), 50):
        batch = [
            {"joint": row["joint"], "joint_space": 1.0, "radiograph_spacing": 0.1}
            for row in rows[part : part + 50].to_dict("records")
        ]
        batch[0]["joint_space"] = math.nan
        output: list[dict[str, Any]] = [{"pred": found} for found in outputs[part : part + 50]]
        writer(SimpleNamespace(state=SimpleNamespace(batch=batch, output=output)))
    writer._write(None)
    return UncertaintyCalibration.read(calibration_path(path))


def test_a_calibration_is_written_beside_its_weights_with_its_provenance(tmp_path: Path) -> None:
    made = write(tmp_path, 3.0)
    assert made.factor == uncertainty_factor(tmp_path / "scorer.pt") == pytest.approx(3.0, rel=0.15)
    assert made.made.items() >= {"datalist": "list", "joints": JOINTS, "images": 2 * JOINTS - 8}.items()
    assert made.made["uncalibrated"] < 0.6 < 0.93 < made.made["joints_left_out"] < 0.98


def test_a_factor_that_is_not_better_on_left_out_joints_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JointSpaceReading, "ideal", 0.0)
    assert write(tmp_path, 3.0).factor == 1.0


def test_the_calibration_of_other_weights_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, 3.0)
    (tmp_path / "scorer.pt").write_bytes(b"other weights")
    assert uncertainty_factor(tmp_path / "scorer.pt") == 1.0
    assert "not of these weights" in caplog.text
    assert uncertainty_factor(tmp_path / "absent.pt") == 1.0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"factor": 0, "weights": "", "made": {}}'])
def test_a_file_that_is_no_calibration_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "scorer_calibration.json").write_text(text)
    with pytest.raises(InputError, match=r"scorer_calibration\.json: not a calibration of a scoring network"):
        uncertainty_factor(tmp_path / "scorer.pt")


def test_a_few_joints_are_not_enough(tmp_path: Path) -> None:
    writer = CalibrationWriter(SimpleNamespace(load_path=str(weights_file(tmp_path))), JointSpaceReading(), {})
    with pytest.raises(InputError, match="needs 4 joints with a label, the list has 0"):
        writer._write(None)


def test_a_reading_states_the_calibrated_standard_deviation(tmp_path: Path) -> None:
    made, output = write(tmp_path, 3.0), torch.tensor([1.0, -3.0])
    plain, calibrated = (JointSpaceReading(weights).read(output) for weights in ("", str(tmp_path / "scorer.pt")))
    assert calibrated["network_mm"] == plain["network_mm"]
    assert calibrated["network_sd_mm"] == pytest.approx(made.factor * plain["network_sd_mm"])
