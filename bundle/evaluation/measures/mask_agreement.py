"""Agreement of predicted masks with annotated ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from bundle.joint import BONES
from bundle.physics import continue_to_border, overlap
from bundle.statistics import Column, Measured, SeparatedJoints, identity, means
from matplotlib.figure import Figure
from monai.metrics import compute_dice, compute_hausdorff_distance
from torch import Tensor
from tqdm import tqdm


@dataclass(frozen=True, kw_only=True)
class MaskAgreement:
    """Dice and 95 % Hausdorff distance in mm of masks that a network predicts, against those of the list.

    Figures are means over the images with bootstrap intervals over joints: ``<bone>_dice`` and ``<bone>_hd95_mm`` of
    the whole bone, ``<bone>_outside_...`` of its region outside the overlap in the list's masks, ``inside_...`` of the
    overlap itself, if it has :attr:`least` pixels in the list's masks. Those of whole bones are also given separately
    for joints that overlap and those that do not (``overlapping_...``, ``apart_...``). Distances to an empty mask are
    undefined and counted as ``missed``. The worst joints have the largest distance of a bone.

    Attributes:
        segment: function that predicts masks (2, H, W) from a radiograph (1, H, W).
        least: smallest overlap to compare, in pixels.
        samples: number of bootstrap samples.
        level: confidence level of the intervals.
        seed: random seed of the bootstrap.
    """

    columns: ClassVar[Mapping[str, Sequence[Column]]] = {
        "masks": (
            *(
                Column(f"{prefix}{bone}_{figure}", f"{bone} bone{where}, {shown}", goal)
                for prefix, where in (("", ""), ("overlapping_", ", overlapping joints"), ("apart_", ", other joints"))
                for bone in ("lower", "upper")
                for figure, shown, goal in (("dice", "Dice", ">= 0.97"), ("hd95_mm", "HD95 (mm)", "<= 0.8"))
            ),
            *(
                Column(f"{bone}_outside_{figure}", f"{bone} bone outside the overlap, {shown}")
                for bone in ("lower", "upper")
                for figure, shown in (("dice", "Dice"), ("hd95_mm", "HD95 (mm)"))
            ),
            Column("inside_dice", "overlap, Dice"),
            Column("inside_hd95_mm", "overlap, HD95 (mm)"),
            Column("missed", "bone not found"),
        )
    }

    segment: Callable[[Tensor], Tensor]
    least: int = 20
    samples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __call__(self, test: SeparatedJoints) -> Measured:
        """Predict the masks of the joints again and compare; their layers are not used."""
        images = zip(test.images, test.spacing.tolist(), strict=True)
        found = [
            self._compare(image, spacing)
            for image, spacing in tqdm(images, total=len(test), desc="predicting masks", unit="joint", mininterval=0.5)
        ]
        rows = identity(test).assign(**pd.DataFrame(found).to_dict("series"))
        names = list(found[0])
        whole = [f"{bone}_{figure}" for bone in BONES for figure in ("dice", "hd95_mm")]
        overlapping = rows["inside_dice"].notna()
        figures = {
            "images": len(rows),
            "overlap_images": int(overlapping.sum()),
            "missed": int(rows[whole].isna().any(axis=1).sum()),
            **self._means(rows, names, ""),
            **self._means(rows[overlapping], whole, "overlapping_"),
            **self._means(rows[~overlapping], whole, "apart_"),
        }
        worst = rows.assign(furthest=rows[[f"{bone}_hd95_mm" for bone in BONES]].max(axis=1, skipna=False))
        ranked = worst.sort_values("furthest", ascending=False, na_position="first", kind="stable")["name"]
        return Measured(figures, rows, {"distances": _plot(rows)}, ranked.tolist())

    def _means(self, rows: pd.DataFrame, names: list[str], prefix: str) -> dict[str, Any]:
        found = means(rows, names, self.samples, self.level, self.seed) if len(rows) else {}
        return {f"{prefix}{name}": value for name, value in found.items()}

    def _compare(self, image: Tensor, spacing: float) -> dict[str, float]:
        """Compute all figures of one joint (3, H, W)."""
        predicted, given = continue_to_border(self.segment(image[:1]), spacing), (image[1:] > 0.5).float()
        both = overlap(given)
        inside = float(both.sum()) >= self.least
        pairs = {bone: (predicted[row], given[row]) for row, bone in enumerate(BONES)}
        outside = {f"{bone}_outside": tuple(mask * (1.0 - both[0]) for mask in pair) for bone, pair in pairs.items()}
        common = {"inside": (overlap(predicted)[0], both[0]) if inside else None}
        return {
            f"{part}_{figure}": value
            for part, pair in {**pairs, **outside, **common}.items()
            for figure, value in _agreement(pair, spacing).items()
        }


def _agreement(pair: Any, spacing: float) -> dict[str, float]:
    """Compute Dice and distance in mm of two masks (H, W); NaN if there is nothing to compare."""
    if pair is None:
        return {"dice": np.nan, "hd95_mm": np.nan}
    predicted, given = (mask[None, None] for mask in pair)
    distance = compute_hausdorff_distance(predicted, given, include_background=True, percentile=95, spacing=spacing)
    return {
        "dice": float(compute_dice(predicted, given)),
        "hd95_mm": float(torch.where(distance.isfinite(), distance, torch.nan)),
    }


def _plot(rows: pd.DataFrame) -> Figure:
    """Plot the cumulative distribution of the distances over joints."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot(xlabel="95 % Hausdorff distance (mm)", ylabel="joints (%)")
    for bone in BONES:
        values = np.sort(rows[f"{bone}_hd95_mm"].dropna().to_numpy())
        if len(values):
            axes.step(values, 100.0 * np.arange(1, len(values) + 1) / len(rows), where="post", label=f"{bone} bone")
    axes.set_ylim(0.0, 100.0)
    axes.legend()
    return figure
