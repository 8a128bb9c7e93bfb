"""No configuration learns from test joints unless it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from bundle.io import OR_FOLDER
from bundle.workflow.option_use import depended_on
from monai.bundle import ConfigParser
from tests.configs.conftest import ROOT, of_job

LEARNING = (
    *("train", "lsn_paper", "bls_gan", "resident_train", "multi_gpu_train", "segment_bones", "sample_overlap"),
    *(
        "read_joint_space",
        "grade_narrowing",
        "register_joints",
        "pretrain_scorer",
        "pretrain_grader",
        "pretrain_registration",
    ),
    *(
        "resident_scorer",
        "resident_registration",
        "synthesize",
        "synthesize_blocks",
        "calibrate",
        "calibrate_scorer",
        "calibrate_grader",
    ),
)
KEPT_APART = ("training", "validation", "untested", "$@held_out.role")


def read(*files: str) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / file) for file in files])
    return parser


def lists_of_joints(parser: ConfigParser, run_id: str) -> Iterator[dict[str, Any]]:
    """The blocks that list joints for a run."""
    parser.parse()
    for path, value in depended_on(parser.get(), [run_id]):
        if (
            path[-1] == "_target_"
            and str(value).endswith((".joint_items", "@list_joints"))
            and path[0] != "list_joints"
        ):
            yield parser["#".join(path[:-1])]


def test_the_jobs_that_learn_are_known() -> None:
    runs = {path.stem: yaml.safe_load(path.read_text()).get("run_id") for path in (ROOT / "configs/jobs").iterdir()}
    assert {name for name, run in runs.items() if run in ("training", "synthesizing", "calibrating")} == {
        *LEARNING,
        "synthesize_dicom",
        "find_joints",  # of whole hands, whose table has no lists; a fraction is held out
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNING)
def test_what_learns_takes_the_training_list_without_test_joints(name: str) -> None:
    parser = read(*of_job(name))
    assert str(parser.get("datalist")).removesuffix(OR_FOLDER).endswith("_train")
    found = list(lists_of_joints(parser, yaml.safe_load((ROOT / f"configs/jobs/{name}.yaml").read_text())["run_id"]))
    assert found
    for block in found:
        assert block.get("role") in KEPT_APART, block


def test_joints_of_a_list_as_it_stands_are_found() -> None:
    parser = read(*of_job("read_joint_space"))
    parser["validation_joints#role"] = "all"
    assert "all" in [block.get("role") for block in lists_of_joints(parser, "training")]


def test_the_calibration_takes_what_the_training_held_out() -> None:
    assert read(*of_job("calibrate")).get("calibrated_role") == "validation"
