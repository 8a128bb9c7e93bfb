"""A separator with a sampler: the corrections sample all layers, and the source says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from bundle.evaluation.separators import NetworkSeparator
from bundle.separation import OverlapSampler
from torch import nn


def lightened(joint: dict[str, Any]) -> dict[str, Any]:
    return {**joint, "pred": joint["pred"] + 0.1}


def separator(sampler: str | None = None) -> NetworkSeparator:
    weights, half = SimpleNamespace(source="weights"), lambda images, network: 0.5 * images
    return NetworkSeparator(
        nn.Identity(), weights, half, lightened, lambda joint: joint, sampler=cast("OverlapSampler | None", sampler)
    )


def test_layers_are_corrected_and_postprocessed_ones_not_twice() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert torch.allclose(separator()(["a", "b"], images), 0.5 * images + 0.1)
    assert torch.equal(separator()(["a", "b"], images, postprocessed=True), 0.5 * images)


def test_the_source_names_the_sampler() -> None:
    assert (separator().source, separator("a sampler").source) == ("weights", "weights, overlap sampled by a sampler")
