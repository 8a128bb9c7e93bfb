"""Configurations are checked as they are run: overlays and jobs with all that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripts import verify_bundle
from tests.scripts.bundle_checks.small_bundle import COMMANDS, PARTS, failures, put, write_yaml


def test_an_overlay_is_checked_on_top_of_the_training_config(root: Path) -> None:
    titles = [title for title, _ in verify_bundle.checks(root)]
    assert "train.yaml + slow.yaml" in titles
    assert "inference.json" in titles


@pytest.mark.slow
def test_a_config_in_a_folder_is_checked_with_those_of_its_command(root: Path) -> None:
    (root / "configs" / "studies").mkdir()
    files = "['configs/train.yaml', 'configs/studies/train.yaml']"
    text = f'# python -m monai.bundle run training --config_file "{files}"\nepochs: "@nothing"\n'
    (root / "configs" / "studies" / "train.yaml").write_text(text)
    found = failures(root, "train.yaml", "train.yaml + studies/train.yaml")
    assert "refers to @nothing" in found["train.yaml + studies/train.yaml"]
    assert "train.yaml" not in found


def add_job(root: Path, *parts: str, **values: Any) -> None:
    """Add a job of the training with the parts that it names, and one part that there is."""
    (root / "configs" / "parts").mkdir()
    write_yaml(root / "configs" / "parts" / "wide.yaml", {"width": 8, "doubled": "$2 * @width"})
    files = ["configs/train.yaml", *(f"configs/parts/{part}" for part in parts)]
    write_yaml(root / "configs" / "jobs" / "long.yaml", {"run_id": "training", "config_file": files} | values)


@pytest.mark.slow
def test_a_job_is_checked_with_its_configs_and_its_own_values(root: Path) -> None:
    add_job(root, "wide.yaml", **{"width": 4, "train#trainer#max_epochs": 9})
    put("README.md", "`python -m monai.bundle run training --args_file configs/jobs/long.yaml --width 2`")(root)
    assert failures(root, "jobs/long.yaml", PARTS, COMMANDS) == {}
    titles = [title for title, _ in verify_bundle.checks(root)]
    assert not [title for title in titles if title.startswith("parts/")]


@pytest.mark.long
@pytest.mark.parametrize(
    ("parts", "values", "check", "reason"),
    [
        (("wide.yaml",), {"epochs": "@nothing"}, "jobs/long.yaml", "refers to @nothing"),
        (("wide.yaml", "gone.yaml"), {}, "jobs/long.yaml", "no config configs/gone.yaml"),
        (("wide.yaml",), {"run_id": "trainning"}, "jobs/long.yaml", "no run 'trainning'"),
        ((), {}, "parts of configs", "no config lays configs/parts/wide.yaml over others"),
    ],
)
def test_a_job_that_cannot_run_is_found(
    root: Path, parts: tuple[str, ...], values: dict[str, Any], check: str, reason: str
) -> None:
    add_job(root, *parts, **values)
    assert reason in failures(root, check)[check]


@pytest.mark.slow
def test_a_command_with_an_option_that_its_job_lacks_is_found(root: Path) -> None:
    add_job(root, "wide.yaml")
    put("README.md", "`python -m monai.bundle run training --args_file configs/jobs/long.yaml --widht 2`")(root)
    assert "has no 'widht'" in failures(root, COMMANDS)[COMMANDS]
