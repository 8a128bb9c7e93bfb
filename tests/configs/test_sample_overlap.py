"""The training of the sampler of overlaps, as a user runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.configs.conftest import of_job

CONFIGS = of_job("sample_overlap")


@pytest.mark.slow
def test_the_best_averaged_weights_are_kept(bundle: Any, tmp_path: Path) -> None:
    settings = {"phantoms": 8, "closures": 1, "epochs": 2, "image_size": bundle.size, "batch_size": 4}
    workflow = bundle.run(
        "training", *CONFIGS, output_dir=str(tmp_path), sampler_features=[16] * 6, flips=False, **settings
    )
    kept = torch.load(tmp_path / "model.pt", weights_only=True)
    average = workflow.parser.get_parsed_content("average").network.state_dict()
    assert {name: value.shape for name, value in kept.items()} == {name: value.shape for name, value in average.items()}
    assert workflow.parser.get_parsed_content("validate#evaluator").state.metrics["flow_loss"] > 0.0
