"""How well does a network read joint space widths (JSW), and the grades of narrowing that follow from them?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
from bundle.measurement import VERTICAL, narrowing_grade
from bundle.statistics import (
    Measured,
    absolute_agreement,
    bland_altman,
    bootstrap_interval,
    consistency,
    plot_bland_altman,
)
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

Array = NDArray[np.float64]


class Reading(Protocol):
    """What a network reads of a joint: how its numbers are understood and measured."""

    def read(self, output: Tensor) -> dict[str, Any]:
        """What a network's numbers (outputs,) say, for JSON."""

    def truth(self, joint: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is true of a joint (:class:`bundle.separation.transforms.JointReadingd`); None where it is not known."""

    def measure(self, rows: pd.DataFrame, seed: int) -> Measured:
        """How good the readings are; a row has ``name, joint, finger``, what was read and what is true."""


class WidthReading:
    """Reads the joint space width in mm."""

    def read(self, output: Tensor) -> dict[str, Any]:
        """``read_mm``, its ``jsw_definition`` and its ``narrowing_grade``: a network reads what it was trained on."""
        width = output.detach().float().cpu().reshape(())
        return {"read_mm": float(width), "jsw_definition": VERTICAL, "narrowing_grade": int(narrowing_grade(width))}

    def truth(self, joint: Mapping[str, Any]) -> dict[str, Any] | None:
        """``jsw_mm`` and ``spacing_mm``; None where the joint has no width."""
        width = float(joint["jsw"])
        return {"jsw_mm": width, "spacing_mm": float(joint["radiograph_spacing"])} if np.isfinite(width) else None

    def measure(self, rows: pd.DataFrame, seed: int) -> Measured:
        """See :func:`reading_of_widths`."""
        return reading_of_widths(rows, seed=seed)


def reading_of_widths(rows: pd.DataFrame, *, samples: int = 1000, level: float = 0.95, seed: int = 0) -> Measured:
    """Errors and agreement of read widths with the true ones.

    Figures are MSE (mm^2), MAE in mm and in pixels, explained variance, R2, Pearson's r, bias and limits of agreement,
    ICC(2,1) and ICC(3,1); MAE and R2 with bootstrap intervals over joints.

    Args:
        rows: an image a row, at least two, with ``name, joint, finger, spacing_mm``, the true ``jsw_mm`` and
            ``read_mm``, finite.
        samples: bootstrap draws.
        level: of the intervals.
        seed: of the draws.

    Raises:
        ValueError: fewer than two rows, or widths that are not finite (:mod:`bundle.statistics.agreement`).
    """
    true, read = (rows[name].to_numpy(np.float64) for name in ("jsw_mm", "read_mm"))
    pixel = rows["spacing_mm"].to_numpy(np.float64)
    found = bland_altman(true, read, level=level)
    table = np.stack([true, read], axis=1)
    absolute, consistent = (agree(table, level=level) for agree in (absolute_agreement, consistency))
    joints = rows["joint"].tolist()

    def interval(statistic: Any) -> list[float]:
        return list(bootstrap_interval(statistic, joints, samples=samples, level=level, seed=seed))

    error = read - true
    figures = {
        "images": len(rows),
        "joints": rows["joint"].nunique(),
        "mse_mm2": float(np.square(error).mean()),
        "mae_mm": found.mae,
        "mae_mm_interval": interval(lambda drawn: float(np.abs(error[drawn]).mean())),
        "mae_px": float(np.abs(error / pixel).mean()),
        "explained_variance": explained_variance(true, read),
        "r2": r2(true, read),
        "r2_interval": interval(lambda drawn: r2(true[drawn], read[drawn])),
        "pearson": float(stats.pearsonr(true, read).statistic),
        "bias_mm": found.bias,
        "limits_mm": list(found.limits),
        "icc_2_1": absolute.value,
        "icc_2_1_interval": list(absolute.interval),
        "icc_3_1": consistent.value,
        "icc_3_1_interval": list(consistent.interval),
    }
    kept = rows.assign(error_mm=error)
    worst = kept.loc[kept["error_mm"].abs().sort_values(ascending=False, kind="stable").index, "name"]
    return Measured(figures, kept, {"bland_altman": plot_bland_altman(true, read, "mm")}, worst.tolist())


def r2(true: Array, read: Array) -> float:
    """Coefficient of determination, ``1 - sum (y - f)^2 / sum (y - mean y)^2``; NaN where all true values are alike."""
    spread = np.square(true - true.mean()).sum()
    return float(1.0 - np.square(read - true).sum() / spread) if spread else float("nan")


def explained_variance(true: Array, read: Array) -> float:
    """``1 - var(y - f) / var(y)``: R2 of readings freed of their bias; NaN where all true values are alike."""
    return float(1.0 - np.var(true - read) / np.var(true)) if np.ptp(true) else float("nan")
