"""The workflow of the experiments, by Snakemake's command line; a stand-in for the runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bundle.experiments import experiment_names, read_definition

pytest.importorskip("snakemake")

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "scripts" / "experiments"
DATA = {"DATASET_DIR": "/Mustermann/Data", "DATALIST": "Mustermann_train", "TEST_DATALIST": "Mustermann_test"}
FEW = {"fractions": [1.0, 0.5], "seeds": [0]}
SMALL = {
    "seeds": [0],
    "fractions": [1.0],
    "epochs": 1,
    "pretraining_epochs": 1,
    "amp": False,
    "pretraining_images": 8,
    "task#options#image_size": 32,
    "task#options#reading_size": 32,
    "task#options#phantoms": 12,
    "task#options#scorer_options": "{'widen_factor': 0.125}",
    "task#pretraining#tolerance_mm": 1.0,
    "task#pretraining#plausible": False,
    "task#pretraining#weights": "none",
}
RUNS = ["sources_seed0", "pretraining_seed0", "part050_seed0", "part100_seed0"]
"""Of the arm that is pre-trained; each training has an evaluation in its folder besides."""


class Workflow:
    """The experiment ``read_joint_space`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, *more: str, profile: str = "local", **config: object) -> list[str]:
        places = {"output_dir": "outputs", "figures_dir": "figures", "experiments": "read_joint_space", "options": FEW}
        launcher = f"{sys.executable} {Path(__file__).parent / 'stand_in.py'}"
        given = {**places, "launcher": launcher, **config}
        begin = [sys.executable, "-m", "snakemake", "--snakefile", str(WORKFLOW / "Snakefile")]
        laid = ["--workflow-profile", str(WORKFLOW / "profiles" / profile), "--directory", str(self.folder)]
        values = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
        return [*begin, *laid, *more, "--config", *(f"{name}={value}" for name, value in values.items())]

    def run(self, *more: str, profile: str = "local", config: dict[str, object] | None = None, **environment: str):
        known = {**os.environ, "DATASET_DIR": "", "OMP_NUM_THREADS": "1", **environment}
        command = self.command(*more, profile=profile, **(config or {}))
        return subprocess.run(command, env=known, capture_output=True, text=True, check=False)

    @property
    def order(self) -> list[str]:
        """The runs that were started since it was asked last, and how."""
        noted = self.folder / "order.txt"
        lines = noted.read_text().splitlines() if noted.is_file() else []
        noted.unlink(missing_ok=True)
        return [line.removeprefix("outputs/read_joint_space/") for line in lines]


def jobs(said: str) -> dict[str, int]:
    """The numbers of Snakemake's table of jobs."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", said.split("Job stats:")[1], re.M)}


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    return Workflow(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("arm", ["none", "ours"])
def test_a_dry_run_lists_every_run_but_those_whose_figures_are_kept(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch, arm: str
) -> None:
    monkeypatch.setenv("DATASET_DIR", "")
    places = [str(workflow.folder / name) for name in ("outputs", "figures")]
    experiment = read_definition(ROOT, "read_joint_space", *places, FEW)
    evaluation = workflow.folder / f"outputs/read_joint_space/{arm}/part050_seed0/evaluation"
    evaluation.mkdir(parents=True)
    figures = dict.fromkeys(experiment.figures, 0.1)
    (evaluation / "metrics.json").write_text(json.dumps({"figures": figures}))
    (evaluation / "per_image.csv").write_text("name,joint,error_mm\na,a,0.1\n")
    experiment.keep(f"{arm}/part050_seed0")
    shutil.rmtree(workflow.folder / "outputs")
    found = workflow.run("-n", profile="slurm")
    expected = {"sources": 1, "pretraining": 1, "training": 3, "evaluation": 3, "figures": 3, "collecting": 1, "all": 1}
    assert jobs(found.stdout) == {**expected, "total": sum(expected.values())}, found.stderr


@pytest.mark.long
def test_a_failure_stops_only_what_needs_it_and_is_named_and_what_is_done_is_not_done_again(workflow: Workflow) -> None:
    failed = workflow.run(FAILS="ours/pretraining_seed0", **DATA)
    assert failed.returncode != 0
    said = failed.stderr.splitlines()[-5:]
    assert any(line.startswith("read_joint_space/ours/pretraining_seed0: it cannot (see outputs/") for line in said)
    done = {*(f"none/{name}" for name in RUNS[2:]), *(f"none/{name}/evaluation" for name in RUNS[2:])}
    begun = workflow.order
    assert {line.split()[0] for line in begun} == done | {f"ours/{name}" for name in RUNS[:2]}
    assert sorted(path.name for path in (workflow.folder / "figures").rglob("*.json")) == [
        f"{n}.json" for n in RUNS[2:]
    ]

    whole = workflow.run(**DATA)
    assert whole.returncode == 0, whole.stderr
    files = [path.read_bytes() for path in workflow.folder.rglob("*") if path.is_file()]
    assert len(files) > 40 and not any(b"Mustermann" in content for content in [*files, whole.stderr.encode()])
    again = [line.split()[0] for line in workflow.order]
    evaluations = [f"ours/{name}/evaluation" for name in RUNS[2:]]
    assert sorted(again) == sorted([*(f"ours/{name}" for name in RUNS[1:]), *evaluations])
    found = json.loads((workflow.folder / "outputs/read_joint_space/experiment.json").read_text())
    gone = {(row["fraction"], row["base_fraction"]): row["reduction"] for row in found["reductions"]}
    assert gone == pytest.approx(dict.fromkeys([(0.5, 0.5), (0.5, 1.0), (1.0, 0.5), (1.0, 1.0)], 0.1 / 0.22))
    assert (
        "| 100% | pre-trained on synthetic radiographs | 1 |"
        in (workflow.folder / "outputs/read_joint_space/experiment.md").read_text()
    )

    stated = subprocess.run(
        [sys.executable, "-m", *shlex.split(found["command"]), "--dry-run"],
        cwd=ROOT,
        env={**os.environ, **DATA, "DATALIST": "", "TEST_DATALIST": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert stated.returncode == 0, stated.stdout + stated.stderr

    shutil.rmtree(workflow.folder / "outputs")
    shutil.rmtree(workflow.folder / ".snakemake")
    assert workflow.run(**DATA).returncode == 0
    assert workflow.order == []
    other = workflow.run("-n", config={"options": {**FEW, "epochs": 3}}, **DATA)
    assert other.returncode != 0 and "training epochs was 20, is 3. Delete the file" in other.stderr + other.stdout


@pytest.mark.long
def test_a_killed_run_resumes_and_the_others_are_not_repeated(workflow: Workflow) -> None:
    known = {**os.environ, "DATASET_DIR": "", "WAITS": "ours/part100_seed0"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(workflow.command("--cores", "1"), env=known, start_new_session=True, **pipes)
    waited = workflow.folder / "outputs/read_joint_space/ours/part100_seed0/checkpoint.pt"
    begun = time.monotonic()
    while not waited.exists() and process.poll() is None and time.monotonic() - begun < 300:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    first = {line.split()[0] for line in workflow.order}
    assert waited.exists() and workflow.run("--unlock").returncode == 0
    assert workflow.run().returncode == 0
    second = workflow.order
    assert "ours/part100_seed0 training resumed" in second
    assert first & {line.split()[0] for line in second} == {"ours/part100_seed0"}


MEASURED = {
    "read_joint_space": 36,
    "grade_narrowing": 36,
    "register_joints": 36,
    "longer_registration": 9,
    "few_masks": 9,
    "separators": 9,
    "distributions": 6,
}
"""Number of trainings with figures."""


def test_the_figures_that_are_committed_are_those_of_the_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET_DIR", "Data")
    monkeypatch.delenv("DATALIST", raising=False)
    monkeypatch.delenv("TEST_DATALIST", raising=False)
    for name in experiment_names(ROOT):
        experiment = read_definition(ROOT, name, "outputs", str(ROOT / "docs" / "results" / "experiments"))
        assert len(experiment.outcomes()) == MEASURED.get(name, 0)


@pytest.mark.long
def test_an_experiment_runs_to_its_figures(workflow: Workflow) -> None:
    places = {name: str(workflow.folder / name) for name in ("output_dir", "figures_dir")}
    config = {**places, "launcher": f"{sys.executable} -m monai.bundle run", "options": SMALL}
    workflow.folder = ROOT
    ended = workflow.run(config=config, DATASET_DIR="")
    assert ended.returncode == 0, ended.stderr
    found = json.loads((Path(places["output_dir"]) / "read_joint_space" / "experiment.json").read_text())
    assert [(cell["arm"], cell["fraction"]) for cell in found["cells"]] == [("none", 1.0), ("ours", 1.0)]
    assert all(cell["figures"]["mae_mm"] > 0.0 for cell in found["cells"])
    assert [row["arm"] for row in found["reductions"]] == ["ours"]
    for name in ("none/part100_seed0", "ours/part100_seed0"):
        assert (Path(places["figures_dir"]) / "read_joint_space" / f"{name}.json").stat().st_size < 10000
