"""Phantoms that tests look at."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from bundle.joint import MCP
from bundle.measurement.outline_gap import outline_gap
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters

GAP_RANGE = MCP.outline_gap_mm
SMALL = {"size": 128, "spacing": 21 / 128}


@lru_cache(maxsize=32)
def phantom(seed: int, outline_gap_mm: float | None = None, **options: Any) -> Phantom:
    return render(sample_parameters(seed, outline_gap_mm=outline_gap_mm, **options))


def measured(made: Phantom) -> float:
    return float(outline_gap(made.masks[None], made.parameters.spacing))


def same(one: Phantom, other: Phantom) -> bool:
    pairs = [(one.image, other.image), (one.layers, other.layers), (one.masks, other.masks)]
    return all(torch.equal(a, b) for a, b in pairs)
