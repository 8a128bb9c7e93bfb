"""E6, control: requested change of the joint space width (JSW) against the change that the image shows.

Every joint is synthesized with requested changes; :class:`bundle.registration.BoneRegistration` then finds each bone of
the radiograph in the synthetic one. It sees the radiograph, its annotated masks and the synthetic radiograph, but
neither the layers nor the moved masks nor the motion. The measured change is the downward motion of the lower bone
minus that of the upper one. A shadow left in the place of a bone, or a smeared edge, biases it towards no change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from bundle.evaluation.measures.changes import Change, RequestedChanges
from bundle.joint import FINGERS, LOWER, UPPER
from bundle.measurement import outline_gap
from bundle.physics import RigidMotion, SyntheticJoints, synthesize
from bundle.registration import BoneRegistration, BoneShift
from bundle.statistics import Column, Measured, SeparatedJoints, bootstrap_interval
from matplotlib.figure import Figure
from torch import Tensor

LIMITS = 1.96
"""Half-width of the 95 % limits of agreement about the bias, in standard deviations."""


@dataclass(frozen=True, kw_only=True)
class JointSpaceControl(RequestedChanges):
    """E6: bias, 95 % limits of agreement and mean absolute error (MAE) of the change of JSW, in mm.

    Errors are measured - requested. A trial in which a bone was not found is counted under ``failures`` and excluded
    from bias, limits and ``mae``; ``mae_with_failures`` counts it as no motion. The mask figures check the motion
    without any image: the change of :func:`bundle.measurement.outline_gap` from the annotated to the moved masks
    against the requested one.

    Attributes:
        registration: registration method that measures.
    """

    columns: ClassVar[Mapping[str, Sequence[Column]]] = {
        "E6": (
            Column("bias", "bias", "<= 0.01"),
            Column("limits", "95 % limits of agreement"),
            Column("mae", "MAE", "<= 0.03"),
            Column("failures", "bone not found"),
        ),
        "E6_phantoms": (
            Column("bias", "bias"),
            Column("limits", "95 % limits of agreement"),
            Column("mae", "MAE", "<= 0.02"),
            Column("failures", "bone not found"),
        ),
    }

    registration: BoneRegistration = field(default_factory=BoneRegistration)

    def __call__(self, test: SeparatedJoints) -> Measured:
        """Measure.

        Raises:
            ValueError: there is no joint or no change to measure.
        """
        requested = enumerate(self.sampled(len(test)))
        table = pd.DataFrame([row for index, changes in requested for row in self._rows(test, index, changes)])
        figures = {**self._figures(table), "settings": {**asdict(self), "changes_mm": list(self.changes_mm)}}
        return Measured(figures, table, {"bland_altman": plot_changes(table)}, self._worst(table))

    def _rows(self, test: SeparatedJoints, index: int, changes: Sequence[Change]) -> list[dict[str, Any]]:
        item, image = test.items[index], test.images[index : index + 1]
        known = {name: str(item[name]) for name in ("name", "joint", "finger")}
        spacing = float(item["spacing"])
        layers = test.layers[index : index + 1]
        return [{**known, **self._trial(image, layers, spacing, change)} for change in changes]

    def _trial(self, image: Tensor, layers: Tensor, spacing: float, change: Change) -> dict[str, Any]:
        masks = image[:, 1:]
        motion = change.motion(masks[0], spacing)
        synthetic = synthesize(layers, masks, motion, spacing, [change.noise_texture], self.mode)
        after = self.quantised(synthetic.image[0])
        lower, upper = self.registration(image[0, :1], masks[0], after, spacing)
        return {**change.row(), **_found(lower, upper, motion), **_checked(masks, synthetic, spacing)}

    def _figures(self, table: pd.DataFrame) -> dict[str, Any]:
        order = [*reversed(FINGERS), *sorted(set(table["finger"]) - set(FINGERS))]
        groups = table.groupby("finger")
        steps = table[table["kind"] == "fixed"].groupby("asked", sort=True)
        return {
            **_agreement(table),
            **self._intervals(table),
            "by_finger": {name: _agreement(groups.get_group(name)) for name in order if name in groups.groups},
            "by_change": {f"{change:g}": _agreement(rows) for change, rows in steps},
            "random": _agreement(table[table["kind"] == "random"]),
            "masks": _agreement(table.assign(measured=table["mask_change"], failed=table["mask_change"].isna())),
        }

    def _intervals(self, table: pd.DataFrame) -> dict[str, list[float]]:
        error = (table["measured"] - table["asked"]).to_numpy()
        statistics = {
            "bias_interval": lambda rows: _mean(error[rows]),
            "mae_interval": lambda rows: _mean(np.abs(error[rows])),
        }
        joints = list(table["joint"])
        return {
            name: list(bootstrap_interval(statistic, joints, samples=self.samples, seed=self.seed))
            for name, statistic in statistics.items()
        }

    def _worst(self, table: pd.DataFrame) -> list[str]:
        error = (table["measured"] - table["asked"]).abs().fillna(math.inf)
        return list(error.groupby(table["name"]).max().nlargest(self.worst_count).index)


def _found(lower: BoneShift, upper: BoneShift, motion: RigidMotion) -> dict[str, Any]:
    asked = motion.translation[0, :, 1].tolist()
    return {
        "measured": lower.y - upper.y,
        "lower_error": lower.y - asked[LOWER],
        "upper_error": upper.y - asked[UPPER],
        "correlation": min(lower.correlation, upper.correlation),
        "failed": not (lower.found and upper.found),
    }


def _checked(masks: Tensor, synthetic: SyntheticJoints, spacing: float) -> dict[str, float]:
    before, after = outline_gap(masks, spacing), outline_gap(synthetic.masks, spacing)
    return {"mask_change": float(after - before)}


def _agreement(table: pd.DataFrame) -> dict[str, Any]:
    """Compute figures of agreement from the columns ``asked``, ``measured`` and ``failed``."""
    found = table[~table["failed"]]
    error = (found["measured"] - found["asked"]).to_numpy()
    bias, deviation = _mean(error), float(np.std(error, ddof=1)) if len(error) > 1 else math.nan
    unmoved = table["asked"][table["failed"]].to_numpy()
    return {
        "bias": bias,
        "limits": [bias - LIMITS * deviation, bias + LIMITS * deviation],
        "mae": _mean(np.abs(error)),
        "mae_with_failures": _mean(np.abs(np.concatenate([error, unmoved]))),
        "largest": float(np.abs(error).max()) if len(error) else math.nan,
        "trials": len(table),
        "failures": int(table["failed"].sum()),
    }


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan


def plot_changes(table: pd.DataFrame) -> Figure:
    """Plot error against the mean of requested and measured change (Bland-Altman), with bias and 95 % limits, in mm.

    Args:
        table: table with the columns ``finger, asked, measured, failed``.
    """
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for finger, rows in table[~table["failed"]].groupby("finger"):
        axes.plot(
            (rows["asked"] + rows["measured"]) / 2, rows["measured"] - rows["asked"], ".", label=finger, alpha=0.6
        )
    agreement = _agreement(table)
    axes.axhline(agreement["bias"], color="black", linewidth=1.0)
    for limit in agreement["limits"]:
        axes.axhline(limit, color="black", linewidth=1.0, linestyle="--")
    axes.set_xlabel("mean of requested and measured change of JSW (mm)")
    axes.set_ylabel("measured - requested (mm)")
    axes.set_title(f"{agreement['trials']} changes; bone not found in {agreement['failures']}")
    if agreement["failures"] < agreement["trials"]:
        axes.legend(title="finger", fontsize="small")
    return figure
