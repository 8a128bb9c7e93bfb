"""No configuration learns from test joints unless it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
LEARNING = {
    "training": ["train.yaml"],
    "paper": ["train.yaml", "lsn_paper.yaml"],
    "published": ["train.yaml", "bls_gan.yaml"],
    "segmentation": ["segment_bones.yaml"],
    "widths": ["inference.json", "read_jsw.yaml", "pretrain_reader.yaml"],
    "grades": ["inference.json", "read_jsw.yaml", "grade_narrowing.yaml", "pretrain_reader.yaml"],
    "registration": ["inference.json", "register_joints.yaml", "pretrain_registration.yaml"],
    "data set": ["inference.json", "synthesize.yaml"],
    "calibration": ["inference.json", "calibrate.yaml"],
}
KEPT_APART = ("training", "validation", "untested", "$@calibrated_role if @dataset_dir else 'all'")


def read(files: list[str]) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / file) for file in files])
    return parser


def lists_of_joints(config: Any) -> Iterator[dict[str, Any]]:
    """The blocks that list joints."""
    parts = config.values() if isinstance(config, dict) else config if isinstance(config, list) else []
    if isinstance(config, dict) and str(config.get("_target_", "")).endswith(".joint_items"):
        yield config
    for part in parts:
        yield from lists_of_joints(part)


@pytest.mark.parametrize("name", LEARNING)
def test_what_learns_takes_the_training_list_without_test_joints(name: str) -> None:
    parser = read(LEARNING[name])
    assert str(parser.get("datalist")).endswith("_train")
    content = dict(parser.get())
    if name == "calibration":
        del content["joints"]  # those of inference, which a calibration does not take
    found = list(lists_of_joints(content))
    assert found
    for block in found:
        assert block.get("role") in KEPT_APART, block


def test_the_calibration_takes_what_the_training_held_out() -> None:
    assert read(LEARNING["calibration"]).get("calibrated_role") == "validation"
