"""A user sees one line and exit code 1; a programmer still sees tracebacks of everything else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError, flag, input_message
from monai.bundle import ConfigParser
from monai.utils import optional_import
from monai.utils.module import instantiate

ROOT = Path(__file__).resolve().parent.parent


def run(body: str) -> subprocess.CompletedProcess[str]:
    program = f"from bundle.errors import InputError, report_plainly\nreport_plainly()\n{body}"
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.long
@pytest.mark.parametrize(
    "body",
    [
        "raise InputError('no such list')",
        "try:\n    raise InputError('no such list')\nexcept InputError as e:\n    raise RuntimeError('wrapped') from e",
        "try:\n    raise InputError('no such list')\nexcept InputError:\n    raise KeyError('while handling')",
    ],
    ids=["itself", "as a cause", "as a context"],
)
def test_an_input_error_prints_its_message_only(body: str) -> None:
    result = run(body)
    assert result.returncode == 1
    assert result.stderr == "error: no such list\n"
    assert result.stdout == ""


@pytest.mark.long
def test_a_message_of_several_lines_is_printed_whole() -> None:
    assert run("raise InputError('two rejected\\na: empty\\n\\nb: truncated')").stderr == (
        "error: two rejected\na: empty\n\nb: truncated\n"
    )


@pytest.mark.long
def test_other_exceptions_keep_their_traceback() -> None:
    result = run("raise RuntimeError('a bug')")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "RuntimeError: a bug" in result.stderr


class Head:
    """Component that checks its argument, and has a bug."""

    def __init__(self, reach_mm: float = 0.0) -> None:
        if reach_mm < 0.0:
            msg = f"reach_mm is {reach_mm}, below 0"
            raise ValueError(msg)
        if reach_mm > 9.0:
            self.deep()

    def deep(self) -> None:
        self.deeper()

    def deeper(self) -> None:
        msg = "a bug"
        raise ValueError(msg)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reach_mm": -1.0}, "tests.test_errors.Head: reach_mm is -1.0, below 0. Correct its options: reach_mm."),
        ({"reach_mm": 10.0}, None),
    ],
)
def test_an_argument_that_a_component_refuses_is_named_and_a_bug_inside_it_is_not(
    options: dict[str, Any], message: str | None
) -> None:
    with pytest.raises(RuntimeError) as caught:
        instantiate("tests.test_errors.Head", "default", **options)
    assert input_message(caught.value) == message


@pytest.mark.long
def test_a_suppressed_input_error_is_not_reported() -> None:
    body = "try:\n    raise InputError('handled')\nexcept InputError:\n    raise RuntimeError('a bug') from None"
    result = run(body)
    assert "Traceback" in result.stderr
    assert "handled" not in result.stderr


WORKER = """
from torch.utils.data import DataLoader
from monai.data import Dataset
from monai.transforms import Lambda

def refuse(item):
    raise InputError('image 3 is truncated')

if __name__ == '__main__':
    for batch in DataLoader(Dataset([1, 2], {transform}), num_workers=1):
        pass
"""


@pytest.mark.long
@pytest.mark.parametrize("transform", ["refuse", "Lambda(refuse)"], ids=["plain", "wrapped by MONAI"])
def test_an_input_error_of_a_worker_process_prints_its_message_only(transform: str) -> None:
    result = run(WORKER.replace("{transform}", transform))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "error: image 3 is truncated"
    assert "Traceback" not in result.stderr


@pytest.mark.long
def test_logged_input_errors_lose_their_traceback_and_others_keep_it() -> None:
    body = (
        "import logging\nlogging.basicConfig()\n"
        "for error in (InputError('disk full'), ValueError('a bug')):\n"
        "    try:\n        raise error\n    except ValueError as e:\n        logging.exception('Exception: %s', e)\n"
    )
    stderr = run(body).stderr
    assert stderr.count("Traceback") == 1
    assert stderr.startswith("ERROR:root:Exception: disk full\nERROR:root:Exception: a bug\nTraceback")


def test_chains_that_bite_their_tail_end() -> None:
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert input_message(first) is None


def test_an_input_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="expected"):
        raise InputError("expected 3, got 4")


@pytest.mark.parametrize(("value", "meaning"), [(True, True), (False, False), ("true", True), ("False", False)])
def test_a_flag_is_understood_as_text_too(value: bool | str, meaning: bool) -> None:
    assert flag(value) is meaning


@pytest.mark.parametrize("value", ["yes", "", 1, None])
def test_another_value_of_a_flag_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="is neither true nor false"):
        flag(value)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: torch.nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1)), "a --batch_size of at least 2"),
        (lambda: torch.nn.InstanceNorm2d(3)(torch.zeros(2, 3, 1, 1)), "Increase the size of the images"),
        (
            lambda: ConfigParser({"a": {"_target_": "no.Such"}}).get_parsed_content("a"),
            "'no.Such'. Correct its name, or add the folder of its module to PYTHONPATH.",
        ),
    ],
)
def test_settings_that_a_library_refuses_have_a_remedy(run: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, ModuleNotFoundError)) as caught:
        run()
    wrapped = RuntimeError("Failed to evaluate")
    wrapped.__cause__ = caught.value
    assert message in (input_message(wrapped) or "")


def test_tracking_without_its_package_names_the_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    missing, _ = optional_import(
        "mlflow_that_is_missing", name="mlflow", descriptor="Please install mlflow before using MLFlowHandler."
    )
    monkeypatch.setattr("monai.handlers.mlflow_handler.mlflow", missing)
    with pytest.raises(RuntimeError) as caught:
        ConfigParser({"a": {"_target_": "MLFlowHandler", "tracking_uri": "sqlite:///a.db"}}).get_parsed_content("a")
    assert input_message(caught.value) == "mlflow is not installed. Run: pip install -r requirements-tracking.txt"
