"""Losses of one's own beside those of the paper."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.separation.weighted_loss import WeightedLoss
from monai.bundle import ConfigParser
from torch import Tensor


def test_an_extra_loss_lies_in_any_module_that_python_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "class Mean:\n    def __call__(self, layers, batch):\n        return layers.mean()\n"
    (tmp_path / "own_module_of_losses.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    term = {"_target_": "bundle.separation.WeightedLoss", "loss": {"_target_": "own_module_of_losses.Mean"}}
    made = ConfigParser({"extra_losses": {"mean": {**term, "weight": 0.5}}}).get_parsed_content("extra_losses")["mean"]
    assert made.weight == 0.5
    assert made(torch.full((2, 3, 4, 4), 0.25), {}) == 0.25


@pytest.mark.parametrize("returned", [torch.zeros(2), 0.0])
def test_an_extra_loss_that_is_no_scalar_is_refused_by_its_name(returned: Any) -> None:
    def per_sample(layers: Tensor, batch: Any) -> Any:
        return returned

    message = r"extra_losses: per_sample returns .*, not a scalar\. Return the mean over the batch"
    with pytest.raises(InputError, match=message):
        WeightedLoss(per_sample)(torch.zeros(2, 3, 4, 4), {})


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_an_extra_loss_has_a_finite_weight(weight: float) -> None:
    with pytest.raises(ValueError, match="weight of an extra loss"):
        WeightedLoss(lambda layers, batch: layers.mean(), weight)
