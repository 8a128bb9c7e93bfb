"""Networks in their runtimes, and the comparison of the default with the paper's network, each in its fastest one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from bundle.base import CACHE, NUMBA
from bundle.networks import RUNTIMES, compiled, package_label
from scripts.benchmarks.settings import Figure, significant
from torch import nn


def in_runtime(network: Any, name: str, amp: bool, size: int) -> Any:
    """Return a generator that a runtime and numba compute; its export is not kept."""
    logits = compiled(nn.Sequential(network.backbone, network.start), name, amp)
    with TemporaryDirectory() as folder, patch.dict(os.environ, {CACHE: folder}):
        logits.prepare((1, network.head.in_channels, size, size))
    return network.with_logits(logits).with_fused_head()


def packages(network: Any, used: Any, name: str) -> str:
    """Describe the packages that compute a generator from :func:`in_runtime`."""
    names = [name] if used.head is network.head else [name, NUMBA]
    return " + ".join(package_label(package) for package in names)


def best_runtimes(figures: Mapping[str, Figure]) -> list[str]:
    """Format the speeds relative to the paper's network, each in its fastest runtime, as Markdown lines."""
    own, paper = (fastest(figures, name) for name in ("inference", "paper_inference"))
    allowed = fastest(figures, "inference", "inference_amp")
    if own is None or paper is None or allowed is None:
        return []
    both = f"- separation, both in their best fp32 runtime: {significant(own / paper)} times the paper's network"
    if "paper_inference" not in figures:
        return [both]
    ratio = significant(allowed / figures["paper_inference"].speed)
    return [both, f"- separation with --amp true against the paper's network in torch: {ratio} times"]


def fastest(figures: Mapping[str, Figure], *subjects: str) -> float | None:
    """Return the highest speed of subjects in any runtime; None if none is measured."""
    names = [name for subject in subjects for name in (subject, *(f"{subject}_{runtime}" for runtime in RUNTIMES))]
    return max((figures[name].speed for name in names if name in figures), default=None)
