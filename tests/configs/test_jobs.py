"""Every job, rehearsed with narrow networks and two epochs on a handful of phantoms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundle.io.packing import pack_joints
from monai.bundle import ConfigParser, ConfigWorkflow, create_workflow
from tests.configs.conftest import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

JOBS = ROOT / "configs" / "jobs"
PUBLISHED = [
    path for path in sorted(JOBS.glob("*.yaml")) if yaml.safe_load(path.read_text()).get("run_id") == "working"
]
"""Jobs that train and evaluate by a published schedule; the others are commands of one run."""

SEPARATORS = [path.stem for path in PUBLISHED if not path.stem.startswith("resnet50")]
MEASURES = ["E1", "E2", "E3", "E3_closed", "E4", "E6"]
WHOLE = ("lsn_published", "bls_gan_published", "ours_2x")
SHORTEST = "ours_2x"
"""Jobs that are rehearsed with all their measures, the first in CI; the others differ in a setting of the training, and
:mod:`tests.configs.test_building` builds them."""

REHEARSAL: dict[str, Any] = {
    "width": 8,
    "epochs": 2,
    "phantoms": 6,
    "image_size": 64,
    "test_phantoms": 3,
    "training_joints": 4,
    "detector_fits": 1,
    "detector_epochs": 1,
    "worst": 1,
}


def job(name: str, folder: Path, run_id: str = "", **options: Any) -> ConfigWorkflow:
    """Run a job in this process, as ``monai.bundle.run --args_file`` does."""
    ids = {"run_id": run_id} if run_id else {}
    arguments = {**REHEARSAL, **options, **ids, "output_dir": str(folder)}
    workflow = create_workflow(args_file=str(JOBS / f"{name}.yaml"), logging_file=False, **arguments)
    workflow.run()
    workflow.finalize()
    return workflow


def curve(report: dict[str, Any]) -> list[dict[str, float]]:
    """The validations of a job without their times."""
    entries = report["training"]["validations"]
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in entries]


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch, bundle: Any) -> None:
    """Jobs name their configurations from the root of the bundle."""
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize(
    ("name", "measures"),
    [
        *(
            pytest.param(
                name,
                MEASURES if name == WHOLE[0] else ["E1", "E2"],
                marks=pytest.mark.slow if name == SHORTEST else pytest.mark.long,
            )
            for name in SEPARATORS
        ),
        *(pytest.param(name, MEASURES, marks=pytest.mark.long) for name in WHOLE[1:]),
    ],
)
def test_a_job_trains_and_evaluates(tmp_path: Path, name: str, measures: list[str]) -> None:
    job(name, tmp_path, measures=measures)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert list(found["measures"]) == measures
    assert found["job"]["name"] == name
    assert found["job"]["epochs"] == 2
    assert found["job"]["pflop"] > 0.0
    assert found["training"]["validations"][-1]["epoch"] == 2
    assert found["settings"]["separator"].startswith("model.pt (sha256 ")
    assert {path.name for path in (tmp_path / "evaluation" / "worst").iterdir()} >= {"E1", "E2"}
    assert (tmp_path / "metrics.json").stat().st_size < 300_000


@pytest.mark.long
@pytest.mark.usefixtures("at_root")
def test_a_job_in_several_invocations_finds_the_same(tmp_path: Path) -> None:
    measures = ["E1", "E2"]
    job("lsn_published", tmp_path / "whole", measures=measures)
    for _ in range(3):
        assert not (tmp_path / "parts" / "metrics.json").exists()
        job("lsn_published", tmp_path / "parts", measures=measures, minutes=1e-6)
    whole, parts = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "parts"))
    for measure in measures:
        assert whole["measures"][measure]["figures"] == parts["measures"][measure]["figures"]
    assert whole["settings"] == parts["settings"]
    assert curve(whole) == curve(parts)
    before = (tmp_path / "parts" / "model.pt").stat().st_mtime_ns
    job("lsn_published", tmp_path / "parts", measures=measures)
    assert (tmp_path / "parts" / "model.pt").stat().st_mtime_ns == before


@pytest.mark.long
@pytest.mark.usefixtures("at_root")
def test_a_job_reads_a_packed_data_set(tmp_path: Path, training_data: Path) -> None:
    (training_data / "LS_K1_all_test").write_text((training_data / "LS_K1_all_train").read_text())
    entries = json.loads((training_data / "LS_K1_all_train").read_text())
    for name, part in (("train", entries[:8]), ("test", entries[8:])):
        (training_data / f"LS_K1_all_{name}").write_text(json.dumps(part))
    pack = tmp_path / "joints.pack"
    pack_joints(training_data, ["LS_K1_all_train", "LS_K1_all_test"], pack, size=64)
    job("lsn_tenth", tmp_path / "out", packed=str(pack), measures=["E1", "E2"], val_interval=1)
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["measures"]["E1"]["data"]["test"] == {"images": 4, "joints": 4}
    assert str(tmp_path) not in json.dumps(found) and found["settings"]["dataset_dir"] == "joints.pack"


@pytest.mark.long
@pytest.mark.usefixtures("at_root")
def test_a_dry_run_tells_what_a_job_takes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job("lsn_published", tmp_path / "out", "planning", epochs=0, width=128, peak_tflops=400.0)
    said = capfd.readouterr().out
    assert "generator 67.09 M" in said
    assert "300 + 100 epochs, m = 200" in said
    assert "minutes of training" in said
    assert not (tmp_path / "out").exists()


def test_jobs_name_themselves_and_configurations_that_are_there() -> None:
    assert len(PUBLISHED) > 10
    for path in PUBLISHED:
        named = yaml.safe_load(path.read_text())
        assert named["name"] == path.stem
        assert named["label"]
        assert [file for file in named["config_file"] if not (ROOT / file).is_file()] == []
        assert f"--args_file configs/jobs/{path.name} --packed joints.pack" in path.read_text()


def default_output(job: Path) -> str:
    """The folder of the results of a job without --output_dir, relative to the root."""
    arguments = yaml.safe_load(job.read_text())
    parser = ConfigParser()
    parser.read_config([str(ROOT / file) for file in arguments["config_file"]])
    parser.update({"bundle_root": "", **{name: arguments[name] for name in ("output_dir",) if name in arguments}})
    return str(parser.get_parsed_content("output_dir"))


def test_predictions_and_evaluations_of_different_networks_have_different_folders() -> None:
    outputs = [default_output(job) for kind in ("predict_*", "evaluate*") for job in JOBS.glob(f"{kind}.yaml")]
    assert len(outputs) == len(set(outputs)) == 10


def test_every_job_is_in_the_document() -> None:
    text = (ROOT / "docs" / "jobs.md").read_text()
    assert [path.stem for path in JOBS.glob("*.yaml") if f"`{path.stem}`" not in text] == []


def test_a_job_names_the_command_that_runs_it() -> None:
    for path in JOBS.glob("*.yaml"):
        comment = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
        assert f"--args_file configs/jobs/{path.name}" in comment, path.name
