from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.errors import InputError
from bundle.jobs import JobReport, Schedule, scaled_schedule


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
    with pytest.raises(InputError, match=r"^epochs: expected"):
        scaled_schedule(300, 100, 200, epochs=epochs)  # type: ignore[arg-type]


def test_a_report_is_the_evaluation_and_what_the_job_was(tmp_path: Path) -> None:
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps({"settings": {}, "measures": {"E1": {}}}))
    JobReport(str(tmp_path), "lsn", "LSN").run()
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["measures"] == {"E1": {}}
    assert found["job"] == {"name": "lsn", "label": "LSN", "table": "methods"}


def test_a_report_without_figures_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.json: no figures of an evaluation .* run the job again"):
        JobReport(str(tmp_path), "lsn", "LSN").run()
