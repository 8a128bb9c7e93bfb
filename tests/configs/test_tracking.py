"""Experiment tracking by MLflow, as MONAI's ``--tracking mlflow`` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from tests.configs.conftest import of_job
from tests.configs.trainings import TINY_NETWORKS

mlflow = pytest.importorskip("mlflow", reason="mlflow (requirements-tracking.txt) is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

TINY: dict[str, Any] = {"phantoms": 6, "image_size": 64, "batch_size": 2, **TINY_NETWORKS}


def runs(folder: Path) -> list[Any]:
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlruns.db'}")
    return list(client.search_runs([part.experiment_id for part in client.search_experiments()]))


def test_both_stages_of_a_training_are_one_run(bundle: Any, tmp_path: Path) -> None:
    stages = {"stage1_epochs": 1, "stage2_epochs": 1, "early_epochs": 0}
    bundle.run("training", "train.yaml", tracking="mlflow", output_dir=str(tmp_path / "out"), **stages, **TINY)
    (run,) = runs(tmp_path / "out")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'out' / 'mlruns.db'}")
    assert run.info.status == "FINISHED"
    assert {entry.step for entry in client.get_metric_history(run.info.run_id, "psnr")} == {0, 1, 2}
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) > 2


@pytest.mark.parametrize("job", ["read_joint_space", "register_joints", "segment_bones"])
def test_the_loss_of_any_training_is_tracked(bundle: Any, tmp_path: Path, job: str) -> None:
    small = {"epochs": 1, "phantoms": 6, "image_size": 64, "batch_size": 5, "reading_size": 64, "rounds": 1}
    configs = of_job(job)
    known = ConfigParser.load_config_files([str(bundle.root / "configs" / name) for name in configs])
    options = {name: value for name, value in small.items() if name in known}
    bundle.run("training", *configs, tracking="mlflow", output_dir=str(tmp_path / "out"), **options)
    (run,) = runs(tmp_path / "out")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'out' / 'mlruns.db'}")
    assert client.get_metric_history(run.info.run_id, "train_loss")


def test_inference_is_one_run(bundle: Any, tmp_path: Path) -> None:
    bundle.run(
        "evaluating", "inference.json", tracking="mlflow", output_dir=str(tmp_path / "out"), phantoms=2, image_size=64
    )
    assert [run.info.status for run in runs(tmp_path / "out")] == ["FINISHED"]
