"""Rehearsals of the jobs of the three tasks: both arms by one command, in one invocation or several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import input_message
from bundle.workflow.jobs import BundleRun, JobReport
from monai.bundle import ConfigWorkflow, create_workflow

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

JOBS = Path("configs/jobs")
SMALL = {
    "width": 8,
    "epochs": 2,
    "schedule#images": 8,
    "schedule#longer": 15,
    "image_size": 64,
    "test_phantoms": 4,
    "weights": "none",
    "tolerance_mm": 0.5,
    "plausible": False,
}
READING = {"phantoms": 6, "reading_size": 32, "least_images": 8, "batch_size": 8}
REGISTRATION = {
    "phantoms": 4,
    "validation_fraction": 0.25,
    "batch_size": 4,
    "variations": 1,
    "rounds": 1,
    "registration_size": 32,
    "registration_view": 32,
    "least_pairs": 1,
    "repeats": 1,
    "synthetic_pairs": 2,
    "bootstrap": 5,
}
TASKS = {"resnet50_joint_space": READING, "resnet50_grade": READING, "resnet50_registration": REGISTRATION}


def start(bundle: Any, name: str, folder: Path, run_id: str = "working", **more: Any) -> ConfigWorkflow:
    """A job in this process, as its command starts it."""
    args = bundle.root / JOBS / f"{name}.yaml"
    chosen = {**SMALL, **TASKS[name], "bundle_root": str(bundle.root), "output_dir": str(folder), **more}
    workflow = create_workflow(args_file=str(args), run_id=run_id, logging_file=False, **chosen)
    workflow.run()
    workflow.finalize()
    return workflow


@pytest.fixture(autouse=True)
def _at_the_root(bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle.root)


def figures(folder: Path) -> dict[str, Any]:
    """What a job found of each arm."""
    found = json.loads((folder / "metrics.json").read_text())
    return {arm: found[arm]["figures"] for arm in ("pretrained", "from_chance")}


def written(folder: Path) -> dict[str, int]:
    """When each file of a job was written, but for its report and its marker."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
    return {str(path): path.stat().st_mtime_ns for path in files}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "figure"),
    [("resnet50_joint_space", "mae_mm"), ("resnet50_grade", "accuracy"), ("resnet50_registration", "synthetic")],
)
def test_a_rehearsal_measures_both_arms_and_is_done_once(bundle: Any, tmp_path: Path, name: str, figure: str) -> None:
    start(bundle, name, tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert all(figure in arm for arm in figures(tmp_path).values())
    weights = {found[arm]["settings"]["weights"] for arm in ("pretrained", "from_chance")}
    assert len(weights) == 2 and all(label.startswith("last.pt (sha256 ") for label in weights)
    stages = found["job"]["stages"]
    assert [stage["epochs"] for stage in stages.values()] == [1, 1, 1]
    assert all(stage["seconds"] >= 0.0 for stage in stages.values())  # rounded: a short stage takes none
    before = written(tmp_path)
    start(bundle, name, tmp_path)
    assert written(tmp_path) == before and json.loads((tmp_path / "metrics.json").read_text()) == found


@pytest.mark.long
def test_a_job_ended_by_its_minutes_every_epoch_finds_the_same(bundle: Any, tmp_path: Path) -> None:
    more = {"schedule#longer": 30}
    start(bundle, "resnet50_joint_space", tmp_path / "whole", **more)
    for left in ("pretraining/pretrained.pt", "pretrained/last.pt", "", "from_chance/last.pt"):
        start(bundle, "resnet50_joint_space", tmp_path / "parts", minutes=1e-9, **more)
        assert not left or (tmp_path / "parts" / left).is_file()
        assert left.startswith("from_chance") or not (tmp_path / "parts" / "from_chance" / "last.pt").exists()
        assert not (tmp_path / "parts" / "metrics.json").exists()
    start(bundle, "resnet50_joint_space", tmp_path / "parts", minutes=1e-9, **more)
    parts, whole = (figures(tmp_path / name) for name in ("parts", "whole"))
    assert json.dumps(parts) == json.dumps(whole)


@pytest.mark.long
def test_a_plan_says_what_the_published_job_takes(bundle: Any, tmp_path: Path, capfd: Any) -> None:
    start(bundle, "resnet50_joint_space", tmp_path / "out", "planning", width=64, reading_size=128, peak_tflops=100.0)
    said = capfd.readouterr().out
    assert "parameters: scorer 23.51 M" in said and "time at 100 TFLOP/s" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_another_width_needs_another_folder(bundle: Any, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"run": "{\\"job\\": {\\"width\\": 64}}"}')
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(RuntimeError) as refused:
        start(bundle, "resnet50_joint_space", tmp_path)
    assert "another run" in str(input_message(refused.value)) and not (tmp_path / "pretraining").exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "change"),
    [
        ({"finetuning_rate": 0.5}, "finetuning_rate was 0.0003, is 0.5"),
        ({"epochs": 3}, "schedule was {"),
        ({"noise": 0.5}, "noise was 0.02, is 0.5"),
        ({"num_workers": 1, "minutes": 2, "of_trainings#labels_dir": "elsewhere"}, ""),
    ],
    ids=["rate", "schedule", "noise", "what may change"],
)
def test_a_job_is_not_resumed_with_other_settings(
    bundle: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: dict[str, Any], change: str
) -> None:
    monkeypatch.setattr(BundleRun, "run", lambda run: None)
    monkeypatch.setattr(JobReport, "run", lambda report: (tmp_path / "metrics.json").write_text("{}"))
    start(bundle, "resnet50_joint_space", tmp_path)
    if not change:
        start(bundle, "resnet50_joint_space", tmp_path, **more)
        return
    with pytest.raises(RuntimeError) as refused:
        start(bundle, "resnet50_joint_space", tmp_path, **more)
    assert change in str(input_message(refused.value))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50_joint_space", "resnet50_grade"])
def test_the_labels_of_a_list_are_measured_once(
    bundle: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    measured: list[str] = []
    monkeypatch.setattr(BundleRun, "run", lambda run: measured.append(str(run.options["labels_dir"])))
    monkeypatch.setattr(JobReport, "run", lambda report: None)
    start(bundle, name, tmp_path)
    assert measured == [str(tmp_path / "labels")] * 3 + [str(tmp_path / "test_labels")] * 2


@pytest.mark.long
def test_a_width_that_the_norm_cannot_divide_is_refused(bundle: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as refused:
        start(bundle, "resnet50_registration", tmp_path / "out", width=12)
    assert "width is 12. Pass a whole number of channels above 0, a multiple of 8." in str(input_message(refused.value))
