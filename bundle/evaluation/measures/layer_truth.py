"""E2 and E3, layer truth: errors of the layers against the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import torch
from bundle.measurement import outline_gap
from bundle.physics import by_pixel_size, overlap, separate
from bundle.separation import BATCH, LayerRMSE, layer_reference, values_of
from bundle.statistics import Column, Measured, SeparatedJoints, identity, means
from matplotlib.figure import Figure
from torch import Tensor

REGIONS = LayerRMSE.regions
REFERENCE = "weight_free_"
"""Prefix of the weight-free separator's figures."""


@dataclass(frozen=True, kw_only=True)
class LayerTruth:
    """E2 and E3: root mean squared error of the layers in the overlap, in the whole bones and of the soft tissue.

    Figures are means over the images with bootstrap intervals over joints, named ``<region>_rmse``; those of the
    weight-free separator on the same images, ``weight_free_<region>_rmse``, are the reference.

    Attributes:
        group_by: key of the items; each of its values has its own figures, named ``<value>_<region>_rmse``. Empty for
            one group.
        samples: number of bootstrap samples.
        level: confidence level of the intervals.
        seed: random seed of the bootstrap.

    Raises:
        ValueError: on call, the true layers are unknown.
    """

    columns: ClassVar[Mapping[str, Sequence[Column]]] = {
        "E2": (
            Column("deep_overlap_rmse", "bones in the overlap, deep", "<= 0.030"),
            Column("deep_bones_rmse", "whole bones, deep"),
            Column("deep_soft_rmse", "soft tissue, deep", "<= 0.010"),
            Column("real_overlap_rmse", "bones in the overlap, real"),
            Column("real_bones_rmse", "whole bones, real"),
            Column("real_soft_rmse", "soft tissue, real"),
        ),
        "E3": (
            Column("overlap_rmse", "bones in the overlap"),
            Column("bones_rmse", "whole bones", "half of weight-free"),
            Column("soft_rmse", "soft tissue", "half of weight-free"),
        ),
        "E3_closed": (
            Column("deep_overlap_rmse", "bones in the overlap, deep"),
            Column("deep_bones_rmse", "whole bones, deep"),
            Column("deep_soft_rmse", "soft tissue, deep"),
            Column("real_overlap_rmse", "bones in the overlap, real"),
            Column("real_bones_rmse", "whole bones, real"),
            Column("real_soft_rmse", "soft tissue, real"),
        ),
    }

    group_by: str = ""
    samples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __call__(self, joints: SeparatedJoints) -> Measured:
        """Measure joints whose true layers are known; the worst are those with the largest error in the overlap."""
        rows = self._rows(joints)
        groups = [(f"{name}_", part) for name, part in rows.groupby(self.group_by)] if self.group_by else [("", rows)]
        figures = {f"{prefix}{key}": value for prefix, part in groups for key, value in self._figures(part).items()}
        plots = {"error_against_overlap": self._plot(rows)}
        ranked = rows.sort_values("overlap_rmse", ascending=False, na_position="last", kind="stable")
        return Measured(figures, rows, plots, ranked["name"].tolist())

    def _rows(self, joints: SeparatedJoints) -> pd.DataFrame:
        if joints.truth is None:
            msg = "the true layers of some joints are unknown"
            raise ValueError(msg)
        reference = layer_reference(joints.truth, joints.images, joints.spacing)
        without = weight_free(joints)
        metrics = {f"{region}_rmse": LayerRMSE(region) for region in REGIONS}
        own, theirs = (values_of(metrics, layers, reference) for layers in (joints.layers, without))
        grouped = {self.group_by: [item[self.group_by] for item in joints.items]} if self.group_by else {}
        masks = joints.images[:, 1:]
        size = {
            "overlap_px": overlap((masks > 0.5).float()).sum(dim=(1, 2, 3)).int().numpy(),
            "outline_gap_mm": outline_gap(masks, joints.spacing).numpy(),
        }
        compared = {f"{REFERENCE}{name}": values for name, values in theirs.items()}
        return identity(joints).assign(**grouped, **size, **own, **compared)

    def _figures(self, rows: pd.DataFrame) -> dict[str, Any]:
        names = [f"{begin}{region}_rmse" for begin in ("", REFERENCE) for region in REGIONS]
        figures = means(rows, names, self.samples, self.level, self.seed)
        medians = {f"{name}_median": float(rows[name].median()) for name in ("overlap_px", "outline_gap_mm")}
        counts = {"images": len(rows), "overlap_images": int(rows["overlap_rmse"].notna().sum())}
        return {**counts, **figures, **medians}

    def _plot(self, rows: pd.DataFrame) -> Figure:
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot(
            xlabel="overlap (pixels)", ylabel="RMSE of the bone layers in the overlap (intensity)", xscale="log"
        )
        shown = rows[rows["overlap_px"] > 0]
        for name, label, colour in ((REFERENCE, "weight-free", "0.6"), ("", "this separator", "tab:blue")):
            axes.scatter(shown["overlap_px"], shown[f"{name}overlap_rmse"], s=9, color=colour, label=label)
        axes.set_ylim(bottom=0.0)
        axes.legend()
        return figure


def weight_free(joints: SeparatedJoints) -> Tensor:
    """Separate without weights: layers (N, 3, H, W)."""
    batches = zip(joints.images.split(BATCH), joints.spacing.split(BATCH), strict=True)
    made = [
        by_pixel_size(lambda pixel, part: separate(part[:, :1], part[:, 1:], pixel), spacing, images)
        for images, spacing in batches
    ]
    return torch.cat([part for parts in made for part in parts])
