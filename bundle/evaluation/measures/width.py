"""E6_width: stated joint space of synthetic radiographs against the one that is measured in them anew.

Every joint is synthesized with the changes of E6. The stated joint space is the distance of the source's measured
surfaces, moved with the bones (:meth:`bundle.measurement.JointSurfaces.moved`), as data sets state it. It is measured
anew in three ways: on the layers that made the image, and on the finished image alone, separated anew with the moved
masks, or with masks that are predicted in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from bundle.datasets import measured_anew
from bundle.evaluation.measures.changes import Change, RequestedChanges
from bundle.evaluation.measures.joint_space import width_groups
from bundle.measurement import JointSpace, measure_joint_space, widths
from bundle.physics import RigidMotion, SyntheticJoints, synthesize
from bundle.segmentation import with_predicted_masks
from bundle.statistics import (
    Column,
    Measured,
    SeparatedJoints,
    bland_altman,
    bootstrap_interval,
    plot_bland_altman,
    regression_slope,
)
from torch import Tensor
from tqdm import tqdm

OWN, ANEW, PREDICTED = "own", "anew", "predicted"
"""Layers that are measured: those that made the image, those separated anew with the moved masks, and with predicted
masks."""

TITLES = {OWN: "own layers", ANEW: "separated anew", PREDICTED: "predicted masks"}
GOALS = {OWN: "<= 0.01", ANEW: "<= 0.02", PREDICTED: "<= 0.04"}
"""Largest mean absolute errors in mm."""

_SLOPE_GOAL = "0.99 to 1.01"


def _columns() -> tuple[Column, ...]:
    """Columns of each way of measuring."""
    return tuple(
        column
        for way, goal in GOALS.items()
        for column in (
            Column(f"{way} slope", f"slope, {TITLES[way]}", _SLOPE_GOAL),
            Column(f"{way} bias", f"bias, {TITLES[way]}"),
            Column(f"{way} limits", f"95 % limits, {TITLES[way]}"),
            Column(f"{way} mae", f"MAE, {TITLES[way]}", goal),
            Column(f"{way} refused", f"refused, {TITLES[way]}"),
        )
    )


@dataclass(frozen=True, kw_only=True)
class StatedJointSpace(RequestedChanges):
    """E6_width: slope, bias, 95 % limits of agreement and MAE of the joint space measured anew, in mm.

    Errors are measured - stated. ``slope`` is that of the measured change from the source joint over the stated one.
    Joints whose measurement is refused make no image; they are the fraction ``sources_refused``. Of the images,
    ``refused`` is the fraction whose new measurement is refused; they are excluded from the other figures. Each way of
    measuring has its figures, also separately for random changes, the larger ones, and for images whose stated joint
    space is wide, narrow or closed.

    Attributes:
        separate: separator of radiographs with masks, (B, 3, H, W), into layers; None measures only the layers that
            made the images.
        segment: function that predicts masks (2, H, W) from a radiograph (1, H, W); None omits predicted masks.
    """

    columns: ClassVar[Mapping[str, Sequence[Column]]] = {"E6_width": _columns(), "E6_width_phantoms": _columns()}

    separate: Callable[[Tensor], Tensor] | None = None
    segment: Callable[[Tensor], Tensor] | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        """Ways of measuring."""
        anew = () if self.separate is None else (ANEW,)
        return (OWN, *anew, *((PREDICTED,) if anew and self.segment is not None else ()))

    def __call__(self, test: SeparatedJoints) -> Measured:
        """Measure; the worst joints are refused, or have the largest error.

        Raises:
            ValueError: there is no joint or no change to measure.
        """
        requested = self.sampled(len(test))
        images = tqdm(range(len(test)), desc="measuring synthetic joints", unit="joint", mininterval=0.5)
        rows = pd.DataFrame([row for index in images for row in self._rows(test, index, requested[index])])
        made = rows[rows["source_refused"] == ""]
        refused = rows.groupby("name")["source_refused"].first() != ""
        figures = {
            "sources": len(refused),
            "sources_refused": float(refused.mean()),
            "images": len(made),
            **{way: self._of_way(made, way) for way in self.ways},
        }
        return Measured(figures, rows, self._plots(made), self._worst(made))

    def _rows(self, test: SeparatedJoints, index: int, changes: Sequence[Change]) -> Iterator[dict[str, Any]]:
        """Yield a row for each synthetic image of a joint; a single one if its measurement is refused."""
        item, spacing = test.items[index], float(test.spacing[index])
        layers, masks = test.layers[index : index + 1], test.images[index : index + 1, 1:]
        source = measure_joint_space(layers, (masks > 0.5).to(masks), spacing)
        known: dict[str, Any] = {name: str(item[name]) for name in ("name", "joint", "finger")}
        known |= {"source_mm": float(source.mean), "source_refused": source.refused[0]}
        if source.refused[0]:
            yield known
            return
        for change in changes:
            motion = change.motion(masks[0], spacing)
            synthetic = synthesize(layers, masks, motion, spacing, [change.noise_texture], self.mode)
            yield {**known, **change.row(), **self._image(source, synthetic, motion, spacing)}

    def _image(
        self, source: JointSpace, synthetic: SyntheticJoints, motion: RigidMotion, spacing: float
    ) -> dict[str, Any]:
        """Stated joint space of a synthetic image, and the one by each way of measuring."""
        stated = widths(source.surfaces.moved(motion.to(source.mean)))[0]
        row: dict[str, Any] = {"stated_mm": float(stated)}
        for way in self.ways:
            space = self._measured(way, synthetic, spacing)
            row |= {way: float(space.mean), f"{way}_refused": space.refused[0]}
        return row

    def _measured(self, way: str, synthetic: SyntheticJoints, spacing: float) -> JointSpace:
        masks = (synthetic.masks > 0.5).to(synthetic.masks)
        if way == OWN or self.separate is None:
            return measure_joint_space(synthetic.layers, masks, spacing)
        image = torch.cat([self.quantised(synthetic.image), masks], dim=1)
        if way == PREDICTED and self.segment is not None:
            image = with_predicted_masks(image[0], self.segment, spacing)[None]
        return measured_anew(self.separate, image, spacing)

    def _of_way(self, made: pd.DataFrame, way: str) -> dict[str, Any]:
        """Figures of a way of measuring, over all images and over groups of them."""
        if made.empty:
            return {"images": 0}
        figures: dict[str, Any] = self._agreement(made, way)
        reasons = made.loc[made[f"{way}_refused"] != "", f"{way}_refused"]
        figures["reasons"] = reasons.value_counts().to_dict()
        groups = {"random": made["kind"] == "random", **width_groups(made["stated_mm"])}
        return figures | {name: self._agreement(made[chosen], way) for name, chosen in groups.items()}

    def _agreement(self, rows: pd.DataFrame, way: str) -> dict[str, Any]:
        """Agreement of the measured with the stated joint space; only the refusals if fewer than two are measured."""
        found: dict[str, Any] = {"images": len(rows), "refused": float(rows[way].isna().mean())}
        rows = rows.dropna(subset=[way])
        if len(rows) < 2:
            return found
        stated, measured, before = (rows[name].to_numpy() for name in ("stated_mm", way, "source_mm"))
        error, asked, shown = measured - stated, stated - before, measured - before
        statistics: dict[str, Callable[[Any], float]] = {
            "slope": lambda at: regression_slope(asked[at], shown[at]),
            "bias": lambda at: float(error[at].mean()),
            "mae": lambda at: float(np.abs(error[at]).mean()),
        }
        joints = rows["joint"].tolist()
        for name, of in statistics.items():
            interval = bootstrap_interval(of, joints, samples=self.samples, seed=self.seed)
            found |= {name: of(slice(None)), f"{name}_interval": list(interval)}
        return {**found, "limits": list(bland_altman(stated, measured).limits), "largest": float(np.abs(error).max())}

    def _plots(self, made: pd.DataFrame) -> dict[str, Any]:
        measured = {way: made.dropna(subset=[way]) for way in self.ways} if len(made) else {}
        return {
            f"{way}_bland_altman": plot_bland_altman(rows["stated_mm"], rows[way], "mm")
            for way, rows in measured.items()
            if len(rows) > 1
        }

    def _worst(self, made: pd.DataFrame) -> list[str]:
        if made.empty:
            return []
        error = made[list(self.ways)].sub(made["stated_mm"], axis=0).abs().fillna(np.inf).max(axis=1)
        return list(error.groupby(made["name"]).max().nlargest(self.worst_count).index)
