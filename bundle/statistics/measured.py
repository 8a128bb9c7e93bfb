"""What a measure of section E takes and gives: separated joints in memory, and figures with what they are made of."""

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
    """Joints with the layers that a separator gave them, on the CPU.

    Attributes:
        items: of each of the N joints ``name, joint, finger, side, spacing`` and what else its list says.
        images: radiograph and masks, (N, 3, H, W).
        layers: generated layers, (N, 3, H, W).
        truth: true layers where they are known, (N, 3, H, W).

    Raises:
        ValueError: if the shapes do not agree.
    """

    items: Sequence[dict[str, Any]]
    images: Tensor
    layers: Tensor
    truth: Tensor | None = None

    def __post_init__(self) -> None:
        expected = (len(self.items), 3, *self.images.shape[-2:])
        shapes = [tuple(given.shape) for given in (self.images, self.layers, self.truth) if given is not None]
        if any(shape != expected for shape in shapes):
            msg = f"expected images, layers and truth {expected}, got {shapes}"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def joints(self) -> list[str]:
        """Name of the joint that each image is of."""
        return [str(item["joint"]) for item in self.items]

    @property
    def spacing(self) -> Tensor:
        """Mm per pixel of each, (N,)."""
        return torch.tensor([float(item["spacing"]) for item in self.items])


@dataclass(frozen=True)
class Column:
    """A figure of a measure, as it stands in a table of results.

    Attributes:
        figure: its name, as in ``metrics.json``; names of groups come before, with a space.
        title: of the column.
        goal: what it should be, if anything.
        paper: what LSN has published, if anything.
    """

    figure: str
    title: str
    goal: str = ""
    paper: str = ""


@dataclass(frozen=True)
class Measured:
    """The result of one measure.

    Attributes:
        figures: numbers by name, as they go into ``metrics.json``; an interval is a list of two.
        per_image: a row for each image (or image and trial), with ``name``, ``joint`` and ``finger``.
        plots: matplotlib figures by file name without ending.
        worst: names of the images to look at, the worst first.
    """

    figures: dict[str, Any]
    per_image: pd.DataFrame
    plots: dict[str, Figure] = field(default_factory=dict)
    worst: Sequence[str] = ()


class TrainedMeasure(Protocol):
    """A measure that trains a fresh network on some joints and tests it on others (E4, E5)."""

    def __call__(self, training: SeparatedJoints, test: SeparatedJoints) -> Measured:
        """Measure; nothing of the test joints is seen in training."""
