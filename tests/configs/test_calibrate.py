from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bundle.io.joints import training_and_validation
from bundle.quality.uncertainty import SIGNS, Calibration
from monai.bundle import ConfigParser
from tests.configs.conftest import of_job

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

CONFIGS = of_job("calibrate")


def options(folder: Path, **more: Any) -> dict[str, Any]:
    """A tiny run without weights."""
    made = {
        "uncertainty_calibration": str(folder / "uncertainty.json"),
        "plausibility_reference": str(folder / "plausibility.json"),
    }
    return {"image_size": 64, "weights": "none", "closures": 2, "closure#outline_gap_mm": [-1.2, -0.4], **made, **more}


@pytest.mark.long
def test_errors_are_expected_as_on_joints_that_a_training_held_out(
    bundle: Any, training_data: Path, tmp_path: Path
) -> None:
    settings = options(tmp_path, dataset_dir=str(training_data), validation_fraction=0.5, split_seed=3)
    workflow = bundle.run("calibrating_uncertainty", *CONFIGS, **settings)
    _, held_out = training_and_validation(training_data, "LS_K1_all_train", validation_fraction=0.5, seed=3)
    closed = workflow.parser.get_parsed_content("closed")
    assert len(closed) == 2
    for joints in closed:
        assert [item["source"] for item in joints.items] == [item["name"] for item in held_out]
    made = Calibration.read(tmp_path / "uncertainty.json")
    assert tuple(made.coefficients) == SIGNS
    stated = {"datalist": "LS_K1_all_train", "role": "validation", "validation_fraction": 0.5, "split_seed": 3}
    assert made.made.items() >= {**stated, "closures": 2, "joints": 6, "samples": 12, "seed": 2000}.items()
    assert not (tmp_path / "plausibility.json").exists()


@pytest.mark.long
def test_a_list_that_was_not_trained_on_is_taken_whole(bundle: Any, training_data: Path, tmp_path: Path) -> None:
    settings = options(tmp_path, dataset_dir=str(training_data), calibrated_role="all", closures=1)
    bundle.run("calibrating_uncertainty", *CONFIGS, **settings)
    assert Calibration.read(tmp_path / "uncertainty.json").made["joints"] == 12


@pytest.mark.slow
def test_both_files_are_written_into_the_output_folder(bundle: Any, training_data: Path, tmp_path: Path) -> None:
    shipped = {path.name: path.read_bytes() for path in (bundle.root / "models").glob("*.json")}
    settings = {**options(tmp_path, dataset_dir=str(training_data), calibrated_role="all", closures=1, phantoms=6)}
    del settings["plausibility_reference"], settings["uncertainty_calibration"]
    bundle.run("calibrating", *CONFIGS, **settings, output_dir=str(tmp_path / "new" / "out"))
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == [
        "plausibility.json",
        "uncertainty.json",
    ]
    assert {path.name: path.read_bytes() for path in (bundle.root / "models").glob("*.json")} == shipped


def test_by_default_no_file_of_the_bundle_is_replaced(bundle: Any) -> None:
    config = ConfigParser()
    config.read_config([str(bundle.root / "configs" / name) for name in CONFIGS])
    for name in ("output_dir", "plausibility_reference", "uncertainty_calibration"):
        assert config.get_parsed_content(name).startswith("./outputs/calibrate")


@pytest.mark.slow
def test_too_few_joints_are_refused(bundle: Any, training_data: Path, tmp_path: Path) -> None:
    settings = options(tmp_path, dataset_dir=str(training_data), closures=1)
    message = bundle.refusal("calibrating_uncertainty", *CONFIGS, **settings)
    assert "a calibration needs 4 joints, closed until they overlap, with a known error; the list has 1." in message
    assert not (tmp_path / "uncertainty.json").exists()
