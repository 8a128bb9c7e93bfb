"""Sensitivity of the plausibility flag to defects of an image, and its rate of false alarms."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from bundle.quality import CORRUPTIONS, PlausibilityReference, corrupt, measure
from bundle.statistics import Measured, SeparatedJoints, area_under_curve, bootstrap_interval, plot_roc, roc_curve
from numpy.typing import NDArray
from torch import Tensor

CLEAN = "clean"
NO_BONES, ANOTHER_JOINT = "no_bones", "masks_of_another_joint"
"""Corruptions that need more than the image: its soft-tissue layer alone, and the masks of another joint."""

Images = Iterator[tuple[str, int, Tensor, float]]


@dataclass(frozen=True, kw_only=True)
class PlausibilityFlag:
    """The flag on clean joints and on the same joints corrupted in every way of :mod:`bundle.quality.corruption`.

    Figures: ``false_alarms``, the fraction of the clean joints that is flagged, with an interval over joints, and for
    each corruption ``<corruption>_auc`` of the score against that of the clean joints, and ``<corruption>_caught``, the
    fraction that is flagged. Worst are the flagged clean joints, the highest score first.

    Attributes:
        reference: path of the ranges of plausible images (:class:`bundle.quality.PlausibilityReference`).
        corrupted: number of joints that are corrupted, evenly spread over the set; 0 for all.
        shown: number of corruptions in the plot, those with the lowest area.
        samples: number of bootstrap samples.
        level: confidence level of the interval.
        seed: random seed of the corruptions, combined with the name of the joint, and of the bootstrap.
    """

    reference: str
    corrupted: int = 0
    shown: int = 6
    samples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __call__(self, test: SeparatedJoints) -> Measured:
        """Measure the joints; their layers are only used for the image without bones."""
        reference = PlausibilityReference.read(self.reference)
        clean = ((CLEAN, row, test.images[row], float(test.spacing[row])) for row in range(len(test)))
        rows = pd.DataFrame(
            [self._judge(reference, test, *image) for images in (clean, self._wrong(test)) for image in images]
        )
        groups = dict(iter(rows.groupby("corruption", sort=False)))
        plausible = groups.pop(CLEAN)
        areas = {name: _against(plausible, group, area_under_curve) for name, group in groups.items()}
        figures = {**self._false_alarms(plausible), **_per_corruption(groups, areas)}
        hardest = sorted(areas, key=lambda name: areas[name])[: self.shown]
        curves = {f"{name} ({areas[name]:.3f})": [_against(plausible, groups[name], roc_curve)] for name in hardest}
        worst = plausible[plausible["flagged"] > 0].sort_values("score", ascending=False)["name"]
        plots = {"roc": plot_roc(curves, "corrupted joints flagged")} if curves else {}
        return Measured(figures, rows, plots, worst.tolist())

    def _wrong(self, test: SeparatedJoints) -> Images:
        """Yield the corrupted images with the corruption's name and the joint's row."""
        count = min(self.corrupted or len(test), len(test))
        for row in np.unique(np.linspace(0, len(test) - 1, count).astype(int)).tolist():
            image, spacing = test.images[row], float(test.spacing[row])
            for name in CORRUPTIONS:
                seed = zlib.crc32(f"{self.seed} {name} {test.items[row]['name']}".encode())
                yield name, row, *corrupt(name, image, spacing, seed)
            yield NO_BONES, row, torch.cat([test.layers[row, :1], image[1:]]), spacing
            other = next((k % len(test) for k in range(row + 1, row + len(test)) if _differ(test, row, k)), None)
            if other is not None:
                yield ANOTHER_JOINT, row, torch.cat([image[:1], test.images[other, 1:]]), spacing

    def _judge(
        self,
        reference: PlausibilityReference,
        test: SeparatedJoints,
        corruption: str,
        row: int,
        image: Tensor,
        spacing: float,
    ) -> dict[str, Any]:
        verdict = reference.judge(measure(image, spacing))
        identity = {key: test.items[row][key] for key in ("name", "joint", "finger")}
        return {**identity, "corruption": corruption, "score": verdict.score, "flagged": float(verdict.flagged)}

    def _false_alarms(self, plausible: pd.DataFrame) -> dict[str, Any]:
        flagged = plausible["flagged"].to_numpy()
        interval = bootstrap_interval(
            partial(_rate, flagged), plausible["joint"].tolist(), samples=self.samples, level=self.level, seed=self.seed
        )
        return {"false_alarms": float(flagged.mean()), "false_alarms_interval": list(interval), "clean": len(flagged)}


def _differ(test: SeparatedJoints, row: int, other: int) -> bool:
    return test.joints[row] != test.joints[other % len(test)]


def _rate(flagged: NDArray[np.float64], sampled: NDArray[np.int64]) -> float:
    return float(flagged[sampled].mean())


def _against(plausible: pd.DataFrame, group: pd.DataFrame, statistic: Callable[..., Any]) -> Any:
    """Compute a statistic of scores and labels, 1 for corrupted."""
    scores = np.concatenate([plausible["score"], group["score"]])
    return statistic(scores, np.arange(len(scores)) >= len(plausible))


def _per_corruption(groups: dict[str, pd.DataFrame], areas: dict[str, float]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, group in groups.items():
        figures[f"{name}_auc"] = areas[name]
        figures[f"{name}_caught"] = float(group["flagged"].mean())
    return figures
