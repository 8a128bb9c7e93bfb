"""An experiment as a user runs it: every run a process of MONAI's command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

BASE = ("experiment.yaml", "experiments/read_jsw.yaml")
REGISTRATION = ("experiment.yaml", "experiments/register_joints.yaml")
OVERLAYS = [
    BASE,
    ("experiment.yaml", "experiments/grade_narrowing.yaml"),
    REGISTRATION,
    (*BASE, "experiments/separators.yaml"),
    (*BASE, "experiments/distributions.yaml"),
    (*BASE, "experiments/few_masks.yaml"),
    (*BASE, "experiments/longer_reading.yaml"),
    (*REGISTRATION, "experiments/longer_registration.yaml"),
]
SMALL = {
    "seeds": [0],
    "parts": [1.0],
    "epochs": 1,
    "pretraining_epochs": 1,
    "amp": False,
    "task#options#image_size": 32,
    "task#options#reading_size": 32,
    "task#options#phantoms": 12,
    "task#options#reader_options": "{'widen_factor': 0.125}",
    "task#pretraining#pretraining_images": 8,
    "task#pretraining#tolerance_mm": 1.0,
    "task#pretraining#trusted": "false",
    "task#pretraining#weights": "none",
}


@pytest.mark.parametrize("configs", OVERLAYS, ids=lambda configs: Path(configs[-1]).stem)
def test_every_run_is_of_configurations_that_are_there(bundle: Any, tmp_path: Path, configs: tuple[str, ...]) -> None:
    parser = ConfigParser()
    parser.read_config([str(bundle.root / "configs" / name) for name in configs])
    experiment = parser.get_parsed_content("experiment")
    runs = experiment.task.runs(tmp_path)
    assert {path for run in runs for path in run.configs if not (bundle.root / path).is_file()} == set()
    cells = len(experiment.task.arms) * len(experiment.task.parts) * len(experiment.task.seeds)
    assert sum(run.run_id == "evaluating" for run in runs) == sum(run.result == "last.pt" for run in runs) == cells
    assert experiment.base in experiment.task.arms
    assert {*experiment.curves, *experiment.compared} <= set(experiment.figures)


@pytest.mark.slow
def test_an_experiment_runs_to_its_figures_and_is_not_run_twice(bundle: Any, tmp_path: Path) -> None:
    bundle.run("experimenting", *BASE, output_dir=str(tmp_path), **SMALL)
    found = json.loads((tmp_path / "experiment.json").read_text())
    assert [(cell["arm"], cell["part"]) for cell in found["cells"]] == [("none", 1.0), ("ours", 1.0)]
    assert all(cell["figures"]["mae_mm"] > 0.0 for cell in found["cells"])
    assert [row["arm"] for row in found["reductions"]] == ["ours"]
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.log.txt")}
    assert len(logs) == 5
    bundle.run("experimenting", *BASE, output_dir=str(tmp_path), **SMALL)
    assert {path: path.stat().st_mtime_ns for path in logs} == logs


@pytest.mark.slow
def test_a_run_that_fails_is_told_in_a_line(bundle: Any, tmp_path: Path) -> None:
    wrong = {**SMALL, "task#options#reader_name": "ResNet11", "arms": {"none": "@bare"}}
    bare = {"_target_": "bundle.experiments.Arm", "label": "without"}
    said = bundle.refusal("experimenting", *BASE, output_dir=str(tmp_path), bare=bare, **wrong)
    assert "1 that failed, 1 need them: none/part100_seed0: unknown reader 'ResNet11'" in said
