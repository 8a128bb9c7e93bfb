"""Jobs: schedules in their proportions, runs that are done once, and what a job reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.workflow import jobs
from bundle.workflow.jobs import BundleRun, JobReport, Schedule, TaskSchedule, reserve_job, scaled_schedule, scaled_task
from bundle.workflow.time_limit import TimeLimit


def test_a_schedule_is_as_published_unless_epochs_are_named() -> None:
    assert scaled_schedule(300, 100, 200) == Schedule(300, 100, 200, 100)


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (40, Schedule(30, 10, 20, 10)),
        (4, Schedule(3, 1, 2, 1)),
        (2, Schedule(1, 1, 1, 1)),
        (800, Schedule(600, 200, 400, 200)),
    ],
)
def test_a_scaled_schedule_keeps_its_proportions(epochs: int, expected: Schedule) -> None:
    assert scaled_schedule(300, 100, 200, epochs=epochs) == expected
    assert expected.epochs == epochs


def test_a_stage_without_epochs_stays_so() -> None:
    assert scaled_schedule(0, 270, epochs=27) == Schedule(0, 27, 0, 10)


@pytest.mark.parametrize("epochs", [1, -3, 1.5, "2"])
def test_epochs_that_are_no_schedule_are_refused_by_name(epochs: object) -> None:
    with pytest.raises(InputError, match=r"^epochs: .* is invalid\. Pass a whole number of at least"):
        scaled_schedule(300, 100, 200, epochs=epochs)  # type: ignore[arg-type]


def test_a_report_is_the_evaluation_and_what_the_job_was(tmp_path: Path) -> None:
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps({"settings": {}, "measures": {"E1": {}}}))
    JobReport(str(tmp_path), "lsn", "LSN").run()
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["measures"] == {"E1": {}}
    assert found["job"] == {"name": "lsn", "label": "LSN", "table": "methods"}


def test_a_report_without_figures_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.json: no figures of an evaluation .*\. Delete the folder and run"):
        JobReport(str(tmp_path), "lsn", "LSN").run()


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (0, TaskSchedule(10, 20, 94, 8000)),
        (3, TaskSchedule(1, 2, 9, 800)),
        (2, TaskSchedule(1, 1, 6, 533)),
        (60, TaskSchedule(20, 40, 188, 8000)),
    ],
)
def test_a_schedule_is_scaled_in_its_proportions(epochs: int, expected: TaskSchedule) -> None:
    assert scaled_task(10, 20, 94, 8000, epochs) == expected


def test_a_training_of_few_epochs_keeps_one_and_a_few_images() -> None:
    assert scaled_task(24, 5, 26, 30, 2) == TaskSchedule(1, 1, 2, jobs.LEAST_IMAGES)
    assert scaled_task(24, 5, 26, 4, 2).images == 4


@pytest.mark.parametrize("epochs", [-1, 1, 2.5])
def test_epochs_that_cannot_be_shared_are_refused(epochs: Any) -> None:
    with pytest.raises(InputError, match=r"^epochs: .* is invalid\. Pass a whole number of at least 2"):
        scaled_task(10, 20, 94, 8000, epochs)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the workflows of runs are made with."""
    made: list[dict[str, Any]] = []

    class Workflow:
        def run(self) -> None:
            made[-1]["ran"] = True

        def finalize(self) -> None:
            made[-1]["finalized"] = True

    def create(**options: Any) -> Workflow:
        made.append(options)
        return Workflow()

    monkeypatch.setattr(jobs, "create_workflow", create)
    return made


def test_a_run_joins_its_files_and_options_and_shares_the_limit(started: list[dict[str, Any]], tmp_path: Path) -> None:
    limit = TimeLimit()
    options = [{"a": 1, "b": 1}, {"b": 2, "output_dir": str(tmp_path)}]
    BundleRun(["one", ["two", "three"]], options, "training", "root", limit=limit).run()
    assert started[0]["config_file"] == ["root/one", "root/two", "root/three"]
    assert (started[0]["a"], started[0]["b"], started[0]["limit"], started[0]["ran"]) == (1, 2, limit, True)


def test_a_run_whose_result_is_there_is_not_run_again(started: list[dict[str, Any]], tmp_path: Path) -> None:
    run = BundleRun(["one"], {"output_dir": str(tmp_path)}, result="last.pt")
    run.run()
    (tmp_path / "last.pt").touch()
    run.run()
    assert len(started) == 1


def test_a_folder_is_that_of_one_job_with_its_settings(tmp_path: Path) -> None:
    settings = {"name": "job", "schedule": scaled_task(1, 1, 1, 8)}
    reserve_job(str(tmp_path / "out"), settings)
    reserve_job(str(tmp_path / "out"), dict(settings))
    (tmp_path / "out" / "metrics.json").touch()
    with pytest.raises(InputError, match="another run"):
        reserve_job(str(tmp_path / "out"), {**settings, "schedule": scaled_task(1, 1, 2, 8)})


class Spent:
    def spent(self, output_dir: Path) -> dict[str, Any]:
        return {"seconds": 3.0, "folder": output_dir.name}


@pytest.mark.parametrize(
    ("evaluations", "expected"),
    [
        (["one"], {"figures": 1}),
        (["one", "two"], {"one": {"figures": 1}, "two": {"figures": 2}}),
        ({"first": "one", "second": "two"}, {"first": {"figures": 1}, "second": {"figures": 2}}),
    ],
)
def test_a_report_holds_the_figures_of_every_evaluation(tmp_path: Path, evaluations: Any, expected: Any) -> None:
    for figures, folder in enumerate(("one", "two"), start=1):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "metrics.json").write_text(json.dumps({"figures": figures}))
    JobReport(str(tmp_path), "job", "a job", "tasks", evaluations, Spent()).run()
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found == {
        **expected,
        "job": {"name": "job", "label": "a job", "table": "tasks", "seconds": 3.0, "folder": tmp_path.name},
    }


def test_an_evaluation_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one.metrics\.json: no figures of an evaluation"):
        JobReport(str(tmp_path), "job", "a job", "tasks", ["one"]).run()


def test_no_processes_are_started_where_no_gpu_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.torch.cuda, "is_available", lambda: False)
    assert jobs.workers() == 0
    monkeypatch.setattr(jobs.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(jobs.os, "cpu_count", lambda: 16)
    assert (jobs.workers(), jobs.workers(20)) == (12, 15)
