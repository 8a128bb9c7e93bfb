"""Settings of ``scripts/benchmark.py``, and the figures that it measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = "separator"
MEMORY = "memory"
INFERENCE = (ROOT / "configs" / "inference.json",)
TRAINING = (ROOT / "configs" / "train.yaml",)
PAPER = (*TRAINING, ROOT / "configs" / "variants" / "lsn_paper.yaml")


@dataclass(frozen=True)
class Settings:
    """Subject and settings of the measurement.

    Attributes:
        device: device to measure on.
        threads: number of CPU threads of torch.
        batch_size: batch size of everything; None for that of each configuration.
        repeats: number of repeats of each figure.
        seconds: time after which no further repeat of a figure starts; at least one is made.
        size: height and width of the phantoms in pixels.
        seed: random seed of phantoms, motions, noise texture and weights.
        inference: configuration files of the default network.
        training: configuration files of its training.
        paper: configuration files of the paper's network and its training.
        skip: names in :data:`SUBJECTS`, or ``memory``, to leave out.
    """

    device: torch.device
    threads: int
    batch_size: int | None
    repeats: int
    seconds: float
    size: int
    seed: int
    inference: Sequence[Path]
    training: Sequence[Path]
    paper: Sequence[Path]
    skip: Sequence[str]


@dataclass(frozen=True)
class Figure:
    """Speed of one subject.

    Attributes:
        subject: description in Markdown.
        batch: images per batch.
        times: time per batch in seconds, one for each repeat.
        unit: unit of the figure, ``images/s`` or ``s/step``.
    """

    subject: str
    batch: int
    times: Sequence[float]
    unit: str = "images/s"

    @property
    def speed(self) -> float:
        """Images per second, by the median time."""
        return self.batch / median(self.times)

    @property
    def value(self) -> float:
        """The figure in its unit."""
        return median(self.times) if self.unit == "s/step" else self.speed

    @property
    def spread(self) -> float:
        """Range of the times as a fraction of their median."""
        return (max(self.times) - min(self.times)) / median(self.times)


def significant(value: float) -> str:
    """Format with three significant digits, without an exponent."""
    return np.format_float_positional(value, precision=3, unique=False, fractional=False, trim="-")
