"""Accuracy of predicted grades of joint space narrowing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from bundle.measurement import GRADES, GradeCoding
from bundle.scoring.calibration import uncertainty_factor
from bundle.statistics import Measured, bootstrap_interval, joint_weights, weighted_kappa
from matplotlib.figure import Figure
from monai.metrics import compute_confusion_matrix_metric
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

TEMPERATURES = (-2.5, 2.5)
"""Range of the logarithm of the temperature."""

RAREST = 1e-6
"""Smallest probability in a log loss."""

Counts = NDArray[np.int64]
"""Confusion matrix (5, 5): true grades in rows, predicted ones in columns."""


class GradeReading:
    """Interpretation of a grader's outputs (a :class:`bundle.scoring.agreement.Reading`).

    Args:
        coding: coding of the outputs.
        weights: weights file of the grader, whose calibration is used (:func:`uncertainty_factor`); "" for none.
    """

    answer, figure, ideal = "narrowing_grade", "log_loss", 0.0

    def __init__(self, coding: GradeCoding, weights: str = "") -> None:
        self.coding, self.weights = coding, weights

    @cached_property
    def factor(self) -> float:
        """Temperature of the probabilities."""
        return uncertainty_factor(self.weights) if self.weights else 1.0

    def read(self, output: Tensor) -> dict[str, Any]:
        """Return ``narrowing_grade`` and ``probabilities`` of the five grades from a network's outputs (outputs,)."""
        numbers = output.detach().float().cpu()[None]
        shares = self.coding.probabilities(numbers, self.factor)[0]
        return {"narrowing_grade": int(self.coding.grades(numbers)), "probabilities": shares.tolist()}

    def truth(self, joint: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return ``true_grade``; None if the joint has no width."""
        grade = int(joint["grade"])
        return None if grade < 0 else {"true_grade": grade}

    def measure(self, rows: pd.DataFrame, seed: int) -> Measured:
        """See :func:`grading_of_joints`."""
        return grading_of_joints(rows, seed=seed)

    def fit_factor(self, outputs: Tensor, rows: pd.DataFrame) -> float:
        """Fit the temperature with the smallest log loss, every joint with the same weight."""
        _, weights = joint_weights(rows["joint"])

        def loss(log_temperature: float) -> float:
            return float(np.average(self.figure_at(outputs, rows, float(np.exp(log_temperature))), weights=weights))

        return float(np.exp(minimize_scalar(loss, bounds=TEMPERATURES, method="bounded").x))

    def figure_at(self, outputs: Tensor, rows: pd.DataFrame, factor: float) -> NDArray[np.float64]:
        """Return the log loss of each image with a temperature, (N,)."""
        shares = self.coding.probabilities(outputs.double(), factor).numpy()
        return log_loss(rows["true_grade"].to_numpy(np.int64), shares)


def grading_of_joints(rows: pd.DataFrame, *, samples: int = 1000, level: float = 0.95, seed: int = 0) -> Measured:
    """Compute the agreement of predicted with true grades.

    Figures are accuracy; sensitivity, specificity and precision, each the mean over the grades that occur (macro; the
    precision of a grade that is never predicted is 0), with the single values by grade; Cohen's kappa with linear and
    with quadratic weights; mean absolute error in grades; the confusion matrix. Accuracy, sensitivity and quadratic
    kappa have bootstrap intervals over joints. The log loss, and the ``confidence``, the mean probability of the most
    probable grade, which should equal the accuracy, judge the probabilities.

    Args:
        rows: one image per row, with ``name, joint, finger``, the grades ``true_grade`` and ``narrowing_grade``, and
            the ``probabilities``.
        samples: number of bootstrap samples.
        level: confidence level of the intervals.
        seed: random seed of the bootstrap.
    """
    true, read = (rows[name].to_numpy(np.int64) for name in ("true_grade", "narrowing_grade"))
    joints = rows["joint"].tolist()
    intervals = {
        f"{name}_interval": list(
            bootstrap_interval(
                lambda sampled, name=name: graded(true[sampled], read[sampled])[name],  # type: ignore[misc]
                joints,
                samples=samples,
                level=level,
                seed=seed,
            )
        )
        for name in ("accuracy", "sensitivity", "kappa_quadratic")
    }
    counts = confusion(true, read)
    figures = {"images": len(rows), "joints": rows["joint"].nunique(), **graded(true, read), **intervals}
    off = rows.assign(error_grades=(read - true).astype(float))
    worst = off.loc[off["error_grades"].abs().sort_values(ascending=False, kind="stable").index, "name"]
    by_grade = {name: list(values) for name, values in _by_grade(counts).items()}
    plots = {"confusion": plot_confusion(counts)}
    shares = np.array(rows["probabilities"].tolist(), np.float64)
    figures |= {"log_loss": float(log_loss(true, shares).mean()), "confidence": float(shares.max(axis=1).mean())}
    return Measured({**figures, "by_grade": by_grade, "confusion": counts.tolist()}, off, plots, worst.tolist())


def log_loss(true: Counts, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute minus the logarithm of the probability (N, 5) of the true grade (N,), (N,)."""
    losses: NDArray[np.float64] = -np.log(probabilities[np.arange(len(true)), true].clip(RAREST))
    return losses


def graded(true: Counts, read: Counts) -> dict[str, float]:
    """Compute the numeric figures of :func:`grading_of_joints` from grades (N,)."""
    counts = confusion(true, read)
    occurs = counts.sum(axis=1) > 0
    means = {name: float(np.mean(np.asarray(values)[occurs])) for name, values in _by_grade(counts).items()}
    kappas = {f"kappa_{name}": weighted_kappa(counts, power) for name, power in (("linear", 1), ("quadratic", 2))}
    return {
        "accuracy": float(np.mean(true == read)),
        **means,
        **kappas,
        "mae_grades": float(np.abs(true - read).mean()),
    }


def confusion(true: Counts, read: Counts) -> Counts:
    """Count grades (N,) in a confusion matrix."""
    counts = np.zeros((GRADES, GRADES), np.int64)
    np.add.at(counts, (true, read), 1)
    return counts


def _by_grade(counts: Counts) -> dict[str, list[float]]:
    """Sensitivity, specificity and precision of each grade; 0 if it is never predicted, NaN if it never occurs."""
    hit, called, total = counts.diagonal(), counts.sum(axis=0), counts.sum()
    missed, false = counts.sum(axis=1) - hit, called - hit
    # MONAI's columns: true positive, false positive, true negative, false negative
    table = torch.from_numpy(np.stack([hit, false, total - hit - missed - false, missed], axis=1)).double()
    found = {name: compute_confusion_matrix_metric(name, table) for name in ("sensitivity", "specificity", "precision")}
    absent = torch.from_numpy((called == 0) & (hit + missed > 0))
    found["precision"] = torch.where(absent, 0.0, found["precision"])
    return {name: values.tolist() for name, values in found.items()}


def plot_confusion(counts: Counts) -> Figure:
    """Plot the confusion matrix with its counts, shaded by the share of each true grade."""
    figure = Figure(figsize=(5.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts / counts.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0.0, vmax=1.0)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center")
    axes.set(xlabel="predicted grade", ylabel="true grade", xticks=range(GRADES), yticks=range(GRADES))
    return figure
