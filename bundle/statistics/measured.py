"""Input and output of the measures E1 to E6: separated joints in memory, and results with per-image values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor


@dataclass(frozen=True)
class SeparatedJoints:
    """Joints with their generated layers, on the CPU.

    Attributes:
        items: list item of each of the N joints, with ``name, joint, finger, side, spacing``.
        images: radiograph and masks, (N, 3, H, W).
        layers: generated layers, (N, 3, H, W).
        truth: true layers, (N, 3, H, W); None if unknown.

    Raises:
        ValueError: if the shapes do not match.
    """

    items: Sequence[dict[str, Any]]
    images: Tensor
    layers: Tensor
    truth: Tensor | None = None

    def __post_init__(self) -> None:
        expected = (len(self.items), 3, *self.images.shape[-2:])
        shapes = [tuple(given.shape) for given in (self.images, self.layers, self.truth) if given is not None]
        if any(shape != expected for shape in shapes):
            msg = f"images, layers and truth must be {expected}, got {shapes}"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def joints(self) -> list[str]:
        """Name of the joint of each image."""
        return [str(item["joint"]) for item in self.items]

    @property
    def spacing(self) -> Tensor:
        """Pixel size of each image in mm, (N,)."""
        return torch.tensor([float(item["spacing"]) for item in self.items])


@dataclass(frozen=True)
class Column:
    """A column of a table of results: one figure of a measure.

    Attributes:
        figure: name in ``metrics.json``, prefixed by the names of groups and a space.
        title: title of the column.
        goal: target value, if any.
        paper: value published by LSN, if any.
    """

    figure: str
    title: str
    goal: str = ""
    paper: str = ""


@dataclass(frozen=True)
class Measured:
    """The result of one measure.

    Attributes:
        figures: numbers by name, as written to ``metrics.json``; an interval is a list of two.
        per_image: one row per image (or image and trial), with ``name``, ``joint`` and ``finger``.
        plots: matplotlib figures by file name without extension.
        worst: names of the images to inspect, worst first.
    """

    figures: dict[str, Any]
    per_image: pd.DataFrame
    plots: dict[str, Figure] = field(default_factory=dict)
    worst: Sequence[str] = ()


class TrainedMeasure(Protocol):
    """Measure that trains a fresh network on one set of joints and tests it on another (E4, E5)."""

    def __call__(self, training: SeparatedJoints, test: SeparatedJoints) -> Measured:
        """Run the measure; training uses no test joint."""
