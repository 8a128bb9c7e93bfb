"""The Markdown document of the measured speeds."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

import monai
import torch
from bundle.io import processor
from scripts.benchmarks.runtimes import best_runtimes
from scripts.benchmarks.settings import REFERENCE, Figure, Settings, significant


def table(figures: Sequence[Figure]) -> str:
    """Format the figures as a Markdown table; ratios are to the first one."""
    lines = ["| measured | figure | unit | ratio | batch | repeats | spread |", "|---|---:|---|---:|---:|---:|---:|"]
    for figure in figures:
        ratio = significant(figure.speed / figures[0].speed)
        numbers = f"{significant(figure.value)} | {figure.unit} | {ratio} | {figure.batch} | {len(figure.times)}"
        lines.append(f"| {figure.subject} | {numbers} | {figure.spread:.0%} |")
    return "\n".join(lines)


def hardware(device: torch.device) -> str:
    """Return the name of the device's hardware."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


COMPARED = (
    ("inference", "paper_inference", ""),
    ("inference_amp", "paper_inference_amp", ", both in bfloat16"),
    ("inference_amp", "paper_inference", " in bfloat16"),
)
"""Pairs of subjects; the speed of the first is stated relative to the second."""


def promises(figures: Mapping[str, Figure], memory: tuple[float, float] | None) -> str:
    """Format speed and memory of the default network as a Markdown list."""
    lines = []
    for own, paper, precision in COMPARED:
        if {own, paper} <= figures.keys():
            ratio = significant(figures[own].speed / figures[paper].speed)
            compared = f"{ratio} times as many images per second as the paper's network"
            lines.append(f"- separation by the default network{precision}: {compared}")
    lines += best_runtimes(figures)
    if memory is not None:
        most, libraries = memory
        beyond = (
            f"{significant(most - libraries)} MB beyond the {significant(libraries)} MB of Python and its libraries"
        )
        lines.append(f"- memory of inference on one image, at most: {significant(most)} MB, {beyond}")
    return "\n".join(lines)


def report(figures: Mapping[str, Figure], memory: tuple[float, float] | None, settings: Settings, command: str) -> str:
    """Format the Markdown document: command and machine, the table, the default network, and how to read them."""
    size, device = settings.size, settings.device
    versions = f"torch {torch.__version__}, MONAI {monai.__version__}, Python {platform.python_version()}"
    return f"""# Speed

Written by `{command}`.

- device: {device} ({hardware(device)}), threads: {settings.threads}; {versions}
- data: phantoms of {size} x {size} pixels, seed {settings.seed}

{table(list(figures.values()))}

{promises(figures, memory)}

The figure is the median over the repeats after a warm-up; the spread is the range relative to the median. The ratio
compares images per second to the {figures[REFERENCE].subject} (a step counts the images of its batch); above 1 is
faster. Batches are preloaded into device memory; networks have random weights. A training step is a step of stage 2
with generator, supervisor and discriminator, excluding the generation of its batch.
"""
