"""The training of the bone segmentation, as a user runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.configs.conftest import of_job

CONFIGS = of_job("segment_bones")
SMALL = {"backbone_options": {"features": [16] * 6, "width": 2}, "batch_size": 4, "translation_px": 4}


@pytest.mark.long
def test_masks_are_learned_and_the_best_weights_are_kept(bundle: Any, tmp_path: Path) -> None:
    settings = {"phantoms": 24, "epochs": 10, "image_size": bundle.size, "output_dir": str(tmp_path), **SMALL}
    workflow = bundle.run("training", *CONFIGS, **settings)
    evaluator = workflow.parser.get_parsed_content("validate#evaluator")
    best = evaluator.state.best_metric
    assert best > 0.7
    kept = torch.load(tmp_path / "model.pt", weights_only=True)
    network = workflow.parser.get_parsed_content("network")
    assert {name: value.shape for name, value in kept.items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }
    assert evaluator.state.metrics["hausdorff_95"] >= 0.0


@pytest.mark.slow
def test_the_public_layout_is_trained_on(bundle: Any, data: Path, tmp_path: Path) -> None:
    settings = {"dataset_dir": str(data), "datalist": "LS_K1_all_test", "validation_fraction": 0.4, **SMALL}
    bundle.run("training", *CONFIGS, epochs=1, image_size=bundle.size, output_dir=str(tmp_path / "out"), **settings)
    assert (tmp_path / "out" / "model.pt").is_file()


def test_a_missing_list_is_refused_in_a_line(bundle: Any, tmp_path: Path) -> None:
    message = bundle.refusal(
        "training", *CONFIGS, dataset_dir=str(tmp_path / "absent"), output_dir=str(tmp_path / "out")
    )
    assert re.match(r"error: .*: no such data set folder", message)
    assert not (tmp_path / "out").exists()
