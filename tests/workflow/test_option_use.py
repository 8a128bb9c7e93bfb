"""Options without effect are refused, whatever refers to them is followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.workflow.option_names import configured_by
from bundle.workflow.option_use import check_used, used_keys
from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parents[2]
CONTENT: dict[str, Any] = {
    "seed": 0,
    "rate": 0.1,
    "changes_mm": [],
    "labels": "",
    "count": 3,
    "plan": {"count": "$2 * @count", "changes": "@changes_mm"},
    "train": {"rate": "@rate"},
    "initialize": [{"seed": "@seed"}],
    "training": ["$@train#rate"],
    "planning": ["@plan"],
    "run": "%training",
}


def of_job(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(ROOT)
    parser = ConfigParser(config=configured_by({"args_file": f"configs/jobs/{name}.yaml"}))
    parser.resolve_macro_and_relative_ids()
    return dict(parser.get())


def test_keys_are_used_through_references_at_any_depth_and_without_a_value() -> None:
    assert used_keys(CONTENT, ["planning"]) == {"planning", "plan", "count", "changes_mm"}


def test_an_option_without_effect_is_refused_and_those_of_the_whole_job_are_not() -> None:
    check_used("training", ["seed", "rate", "train#rate", "output_dir", "_meta_#version", "mine"], CONTENT)
    check_used("planning", ["count", "changes_mm#0", "rate"], CONTENT)
    with pytest.raises(InputError, match=r"^--labels, --\+plan#count: without effect in this run\. Remove them\.$"):
        check_used("training", ["labels", "rate", "+plan#count"], CONTENT)


def test_tracking_is_refused_where_no_part_of_the_run_is_tracked() -> None:
    handlers = [{"_target_": "bundle.Other"}, {"_target_": "MLFlowHandler"}]
    for content in (CONTENT, {**CONTENT, "elsewhere": handlers}):
        with pytest.raises(InputError, match=r"^--tracking: without effect in this run\. Remove it\.$"):
            check_used("planning", ["tracking"], content)
    check_used("planning", ["tracking"], {**CONTENT, "planning": ["$@handlers"], "handlers": handlers})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "run_id", "idle", "used"),
    [
        ("predict_scorer", "predicting", ["labels", "epochs", "resume"], ["scorer_weights", "dataset_dir", "spacing"]),
        ("predict_grader", "predicting", ["labels", "normal_joint_space_mm"], ["reading_size", "frame_field_mm"]),
        ("evaluate_scorer", "evaluating", ["learning_rate"], ["labels", "normal_joint_space_mm"]),
        ("predict_registration", "predicting", ["epochs", "shift_mm"], ["method", "refine", "pairs_per_joint"]),
        ("follow", "following", ["resume", "variations"], ["method", "batch_size", "joints_dir"]),
        ("find_joints", "training", ["datalist", "phantoms", "image_size"], ["held_out", "resume", "minutes"]),
        ("segment_bones", "training", ["weights", "flips"], ["closed", "added_phantoms"]),
        ("lsn_published", "planning", ["pixel_mm"], ["peak_tflops", "output_dir", "test_phantoms", "resume"]),
        ("pretrain_scorer", "pretraining", ["dicom"], ["epochs", "pretraining_images", "weights"]),
    ],
)
def test_options_of_parts_that_a_job_shares_are_refused_where_it_does_not_use_them(
    job: str, run_id: str, idle: list[str], used: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = of_job(job, monkeypatch)
    check_used(run_id, used, content)
    for name in idle:
        assert name in content
        with pytest.raises(InputError, match=rf"^--{name}: without effect in this run\. Remove it\.$"):
            check_used(run_id, [name], content)
