"""Accuracy of predicted joint spaces, and of the grades of narrowing that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from bundle.measurement import narrowing_grade
from bundle.scoring.calibration import uncertainty_factor
from bundle.scoring.losses import predicted_joint_space
from bundle.statistics import (
    Measured,
    absolute_agreement,
    bland_altman,
    bootstrap_interval,
    conformal_quantile,
    consistency,
    plot_bland_altman,
)
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

Array = NDArray[np.float64]

LIMIT, COVERED = 1.96, 0.95
"""Standard deviations within which the error should lie, and the fraction of images for which it should."""


class Reading(Protocol):
    """Interpretation of a scoring network's outputs, and their evaluation.

    Attributes:
        answer: key of the prediction.
    """

    answer: str

    def read(self, output: Tensor) -> dict[str, Any]:
        """Interpret a network's outputs (outputs,), for JSON."""

    def truth(self, joint: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the true value of a joint (:class:`bundle.scoring.JointSpaceLabels`); None if unknown."""

    def measure(self, rows: pd.DataFrame, seed: int) -> Measured:
        """Evaluate the predictions; a row has ``name, joint, finger``, the prediction and the true value."""


class JointSpaceReading:
    """Interpretation of the outputs of a regressor as the joint space in mm and its uncertainty.

    Args:
        weights: weights file of the regressor, whose calibration is used (:func:`uncertainty_factor`); "" for none.
    """

    answer, figure, ideal = "network_mm", "within_limits", COVERED

    def __init__(self, weights: str = "") -> None:
        self.weights = weights

    @cached_property
    def factor(self) -> float:
        """Factor of the standard deviations."""
        return uncertainty_factor(self.weights) if self.weights else 1.0

    def read(self, output: Tensor) -> dict[str, Any]:
        """Return ``network_mm``, its standard deviation ``network_sd_mm`` and its ``narrowing_grade``."""
        width, deviation = predicted_joint_space(output.detach().cpu()[None])
        return {
            "network_mm": float(width),
            "network_sd_mm": self.factor * float(deviation),
            "narrowing_grade": int(narrowing_grade(width)),
        }

    def truth(self, joint: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return ``joint_space_mm`` and ``spacing_mm``; None if the joint has no joint space."""
        width, spacing = float(joint["joint_space"]), float(joint["radiograph_spacing"])
        return {"joint_space_mm": width, "spacing_mm": spacing} if np.isfinite(width) else None

    def measure(self, rows: pd.DataFrame, seed: int) -> Measured:
        """See :func:`agreement_of_joint_spaces`."""
        return agreement_of_joint_spaces(rows, seed=seed)

    def fit_factor(self, outputs: Tensor, rows: pd.DataFrame) -> float:
        """Fit the factor that keeps 95 % of the errors of an unseen joint within 1.96 standard deviations."""
        return conformal_quantile(_relative_errors(outputs, rows), rows["joint"], COVERED) / LIMIT

    def figure_at(self, outputs: Tensor, rows: pd.DataFrame, factor: float) -> Array:
        """Return 1 for each image whose error lies within 1.96 standard deviations, otherwise 0, (N,)."""
        return (_relative_errors(outputs, rows) <= LIMIT * factor).astype(np.float64)


def _relative_errors(outputs: Tensor, rows: pd.DataFrame) -> Array:
    """Absolute errors of outputs (N, 2) in standard deviations as the network states them, (N,)."""
    width, deviation = (values.numpy().astype(np.float64) for values in predicted_joint_space(outputs))
    found: Array = np.abs(width - rows["joint_space_mm"].to_numpy(np.float64)) / deviation
    return found


def agreement_of_joint_spaces(
    rows: pd.DataFrame, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Measured:
    """Compute errors and agreement of predicted with true joint spaces.

    Figures are MSE (mm^2), MAE in mm and in pixels, explained variance, R2, Pearson's r, bias and limits of agreement,
    ICC(2,1) and ICC(3,1), and the fraction of errors within 1.96 predicted standard deviations; MAE and R2 with
    bootstrap intervals over joints.

    Args:
        rows: one image per row, at least two, with ``name, joint, finger, spacing_mm``, the true
            ``joint_space_mm``, ``network_mm`` and ``network_sd_mm``, finite.
        samples: number of bootstrap samples.
        level: confidence level of the intervals.
        seed: random seed of the bootstrap.

    Raises:
        ValueError: fewer than two rows, or widths that are not finite (:mod:`bundle.statistics.agreement`).
    """
    true, read = (rows[name].to_numpy(np.float64) for name in ("joint_space_mm", "network_mm"))
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
        "mae_mm_interval": interval(lambda sampled: float(np.abs(error[sampled]).mean())),
        "mae_px": float(np.abs(error / pixel).mean()),
        "explained_variance": explained_variance(true, read),
        "r2": r2(true, read),
        "r2_interval": interval(lambda sampled: r2(true[sampled], read[sampled])),
        "within_limits": float((np.abs(error) <= LIMIT * rows["network_sd_mm"].to_numpy(np.float64)).mean()),
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
    """Coefficient of determination, ``1 - sum (y - f)^2 / sum (y - mean y)^2``; NaN if all true values are equal."""
    spread = np.square(true - true.mean()).sum()
    return float(1.0 - np.square(read - true).sum() / spread) if spread else float("nan")


def explained_variance(true: Array, read: Array) -> float:
    """``1 - var(y - f) / var(y)``: R2 of predictions without their bias; NaN if all true values are equal."""
    return float(1.0 - np.var(true - read) / np.var(true)) if np.ptp(true) else float("nan")
