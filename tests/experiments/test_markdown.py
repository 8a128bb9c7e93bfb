"""The sections of docs/results.md on experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.experiments.markdown import read_experiment
from scripts import write_results
from tests.scripts.test_write_results import evaluation


def cell(arm: str, fraction: float, mean: float) -> dict[str, Any]:
    known = {"arm": arm, "fraction": fraction, "figure": "mae", "mean": mean, "deviation": 0.1}
    return {**known, "lower": mean - 0.05, "upper": mean + 0.05, "seeds": 3}


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    folder = tmp_path / "experiment"
    folder.mkdir()
    gone = {"error": "error", "arm": "ours", "reduction": 0.25, "reduction_interval": [0.1, None], "common": 0.6}
    found = {
        "title": "Joint space width",
        "question": "Is it better?",
        "base": "none",
        "settings": {"arms": {"ours": {"label": "with"}, "none": {"label": "without"}}},
        "figures": {"mae": "MAE (mm)"},
        "curves": ["mae"],
        "over_seeds": [cell("ours", 1.0, 0.12), cell("none", 1.0, 0.16), cell("none", 0.5, 0.2)],
        "errors": ["error"],
        "reductions": [
            {"fraction": 1.0, "base_fraction": 1.0, **gone},
            {"fraction": 0.5, "base_fraction": 1.0, **gone},
        ],
        "changes": [],
        "cells": [],
        "command": "snakemake --snakefile /disk/me/Data/Snakefile",
        "machine": {},
    }
    (folder / "experiment.json").write_text(json.dumps(found))
    return folder


def test_a_row_for_each_fraction_and_arm_the_base_first(experiment: Path) -> None:
    lines = read_experiment(str(experiment)).rows().splitlines()
    assert lines[2:] == [
        "| 50% | without | 3 | 0.2 (0.15 to 0.25) | - | - |",
        "| 100% | without | 3 | 0.16 (0.11 to 0.21) | - | - |",
        "| 100% | with | 3 | 0.12 (0.07 to 0.17) | 25% (10% to not defined) | 60% |",
    ]


def test_a_second_error_has_a_column_of_its_own(experiment: Path) -> None:
    found = json.loads((experiment / "experiment.json").read_text())
    found["errors"] = ["error", "sigma"]
    found["reductions"].append({**found["reductions"][0], "error": "sigma", "reduction": 0.5, "common": 0.1})
    (experiment / "experiment.json").write_text(json.dumps(found))
    head, _, *_, last = read_experiment(str(experiment)).rows().splitlines()
    assert head.endswith("| error removed | sigma removed | common error |")
    assert last.endswith("| 25% (10% to not defined) | 50% (10% to not defined) | 60% |")


def test_changes_of_figures_have_a_table_of_their_own(experiment: Path) -> None:
    assert read_experiment(str(experiment)).changes() == ""
    found = json.loads((experiment / "experiment.json").read_text())
    change = {"arm": "ours", "figure": "mae", "change": -0.25, "change_interval": [-0.4, 0.1]}
    undefined = {"arm": "ours", "fraction": 0.5, "figure": "mae", "change": None, "change_interval": [None, None]}
    found["changes"] = [
        {"fraction": 1.0, **change},
        undefined,
        {"fraction": 0.2, **change, "change_interval": [None, None]},
    ]
    (experiment / "experiment.json").write_text(json.dumps(found))
    assert read_experiment(str(experiment)).changes().splitlines() == [
        "| annotated joints |  | change of MAE (mm) |",
        "| ---: | --- | ---: |",
        "| 20% | with | -25% (not defined to not defined) |",
        "| 100% | with | -25% (-40% to 10%) |",
    ]


def test_few_annotated_joints_are_compared_with_more_of_the_base(experiment: Path) -> None:
    assert read_experiment(str(experiment)).fewer() == (
        "- with, 50% of the joints, against without, 100%: 25% (10% to not defined) of the error removed"
    )


def test_a_single_fraction_of_the_joints_has_no_curve(tmp_path: Path, experiment: Path) -> None:
    found = json.loads((experiment / "experiment.json").read_text())
    found["over_seeds"] = [cell("ours", 1.0, 0.12), cell("none", 1.0, 0.16)]
    (experiment / "experiment.json").write_text(json.dumps(found))
    report = read_experiment(str(experiment))
    report.keep(tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["joint_space_width.json"]
    assert "![" not in report.section()


@pytest.mark.slow
def test_the_document_shows_the_experiment_and_is_made_again_from_what_is_kept(
    tmp_path: Path, experiment: Path
) -> None:
    output = tmp_path / "docs" / "results.md"
    method = f"A={evaluation(tmp_path, 'one', E1={'psnr': 120.0})}"
    write_results.main([method, "--experiments", str(experiment), "--output", str(output)])
    document, kept = output.read_text(), tmp_path / "docs" / "results" / "experiments"
    assert "## Downstream tasks (E7)" in document and "### Joint space width" in document
    assert "![MAE (mm)](results/experiments/joint_space_width_mae.png)" in document
    assert (kept / "joint_space_width_mae.png").is_file() and "/disk/me" not in document
    again = [f"A={tmp_path / 'docs' / 'results' / 'a.json'}", "--experiments", str(kept / "joint_space_width.json")]
    write_results.main([*again, "--output", str(output)])
    assert output.read_text() == document


def test_what_is_no_experiment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment.json").write_text("{}")
    with pytest.raises(InputError, match="neither the output folder of an experiment nor"):
        read_experiment(str(tmp_path))
