"""Training pairs of the sampler: what it sees, and the texture that true layers require."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from bundle.phantoms import render, sample_parameters
from bundle.separation.overlap_sampling import DEVIATION, exchanged
from bundle.separation.transforms import OverlapTextured
from torch import Tensor, nn


@pytest.fixture(scope="module")
def closed() -> dict[str, Any]:
    phantom = render(sample_parameters(0, outline_gap_mm=-0.9))
    return {"name": "a", "image": torch.cat([phantom.image, phantom.masks]), "label": phantom.layers}


def answering(found: Tensor, loaded: list[Any] | None = None) -> OverlapTextured:
    """The transform with a generator that answers these layers and notes in ``loaded`` that its weights are read."""
    load: Callable[[Any], None] = [].append if loaded is None else loaded.append
    return OverlapTextured(nn.Identity(), load, lambda image, network: found[None])


def test_the_texture_is_what_the_upper_bone_must_give_to_the_lower_one(closed: dict[str, Any]) -> None:
    found = closed["label"].clone()
    found[1] *= 0.9
    pair = answering(found)(closed)
    both = pair["given"][-1:].float()
    assert 0 < both.sum() < both.numel()
    whole = exchanged(found[None], closed["label"][None])[0] / DEVIATION
    starts = [
        row
        for row in range(whole.shape[-2] - both.shape[-2] + 1)
        if torch.equal(pair["texture"], (whole[:, row : row + both.shape[-2]] * both).half())
    ]
    overlap = (closed["image"][1:] > 0.5).all(dim=0).any(dim=1).nonzero()
    assert len(starts) == 1
    assert starts[0] <= int(overlap.min()) and int(overlap.max()) < starts[0] + both.shape[-2]
    assert float(pair["texture"].abs().max()) > 0


def test_true_layers_need_no_texture(closed: dict[str, Any]) -> None:
    pair = answering(closed["label"])(closed)
    assert (pair["texture"] == 0).all()
    assert pair["name"] == "a" and pair["given"].dtype == pair["texture"].dtype == torch.half


def test_weights_are_loaded_once(closed: dict[str, Any]) -> None:
    loaded: list[Any] = []
    transform = answering(closed["label"], loaded)
    transform(closed)
    transform(closed)
    assert loaded == [None]
