"""A separator with a sampler: who samples the layers, and how often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from bundle.evaluation.separators import NetworkSeparator
from bundle.separation import OverlapSampler
from torch import Tensor, nn


class Sampler:
    """Adds 0.1 to the layers."""

    def __call__(self, image: Tensor, layers: Tensor, spacing_mm: float) -> Tensor:
        return layers + 0.1

    def __str__(self) -> str:
        return "adds a tenth"


def separator(postprocessing: Any = None, sampler: Sampler | None = None) -> NetworkSeparator:
    weights = SimpleNamespace(source="weights")
    sampling = cast("OverlapSampler | None", sampler)
    return NetworkSeparator(
        nn.Identity(), weights, lambda images, network: 0.5 * images, postprocessing, sampler=sampling
    )


def test_layers_without_postprocessing_are_sampled_and_the_source_says_so() -> None:
    images = torch.rand(2, 3, 8, 8)
    mean, sampled = separator(), separator(sampler=Sampler())
    assert torch.equal(mean(["a", "b"], images), 0.5 * images)
    assert torch.allclose(sampled(["a", "b"], images), 0.5 * images + 0.1)
    assert (mean.source, sampled.source) == ("weights", "weights, overlap sampled by adds a tenth")


def test_postprocessed_layers_are_sampled_by_the_postprocessing_alone() -> None:
    images = torch.rand(2, 3, 8, 8)
    made = separator(lambda joint: {**joint, "pred": joint["pred"] + 0.3}, Sampler())(["a", "b"], images, True)
    assert torch.allclose(made, 0.5 * images + 0.3)
