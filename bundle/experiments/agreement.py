"""Benefit of pre-training on synthetic radiographs for a task: figures over seeds, error reductions, curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from bundle.statistics import bootstrap_interval
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class ErrorColumn:
    """A column of signed errors in an evaluation's rows, by which arms are compared.

    Attributes:
        column: name of the column.
        label: label in tables.
        power: 1 for the mean absolute error, 2 for the root mean square.
    """

    column: str
    label: str = "error"
    power: int = 1


@dataclass(frozen=True)
class Outcome:
    """Evaluation of one training.

    Attributes:
        arm: compared arm.
        fraction: fraction of the annotated joints in the training.
        seed: random seed of the training.
        figures: figures of the evaluation.
        errors: rows with ``name``, ``joint`` and columns of signed errors, NaN if a row has none; None if they were not
            stored.
    """

    arm: str
    fraction: float
    seed: int
    figures: Mapping[str, Any]
    errors: pd.DataFrame | None


def over_seeds(outcomes: Iterable[Outcome], names: Sequence[str], level: float = 0.95) -> pd.DataFrame:
    """Average figures over seeds.

    Returns:
        A row for each arm, fraction and figure: ``arm, fraction, figure, mean, deviation, lower, upper, seeds``,
        with the sample standard deviation and the confidence interval of the mean by Student's t, which accounts for
        the variation between seeds, not between test joints; NaN for fewer than two seeds.
    """
    rows = [(out.arm, out.fraction, name, float(out.figures[name])) for out in outcomes for name in names]
    table = pd.DataFrame(rows, columns=["arm", "fraction", "figure", "value"])
    grouped = table.groupby(["arm", "fraction", "figure"], sort=False)["value"]
    found = grouped.agg(mean="mean", deviation="std", seeds="count").reset_index()
    freedom = (found["seeds"] - 1).clip(lower=1)
    reach = stats.t.ppf((1.0 + level) / 2.0, freedom) * found["deviation"] / np.sqrt(found["seeds"])
    return found.assign(lower=found["mean"] - reach, upper=found["mean"] + reach)


def change(
    outcomes: Iterable[Outcome], name: str, base: str, arm: str, fraction: float, level: float = 0.95
) -> dict[str, Any]:
    """Compare a figure of two arms on the same fraction of the joints with the same seeds.

    Args:
        outcomes: outcomes of an experiment.
        name: name of the figure, above 0 in both arms.
        base: reference arm.
        arm: other arm.
        fraction: fraction of the annotated joints.
        level: confidence level of the interval.

    Returns:
        ``change``, -0.25 if the figure is a quarter less in the geometric mean over the common seeds, and its
        ``change_interval`` by Student's t of the logarithms, which accounts for the variation between seeds, not
        between test joints. NaN if a figure is 0 or less or no seed is common; the interval of one seed is NaN.
    """
    values = {(out.arm, out.seed): float(out.figures[name]) for out in outcomes if out.fraction == fraction}
    pairs = [(values[arm, seed], value) for (of, seed), value in values.items() if of == base and (arm, seed) in values]
    logs = [math.log(one / other) if min(one, other) > 0 else math.nan for one, other in pairs]
    mean = float(np.mean(logs)) if logs else math.nan
    reach = float(stats.t.ppf((1.0 + level) / 2.0, len(logs) - 1) * stats.sem(logs)) if len(logs) > 1 else math.nan
    return {"change": math.expm1(mean), "change_interval": [math.expm1(mean - reach), math.expm1(mean + reach)]}


def reduction(
    outcomes: Iterable[Outcome],
    error: ErrorColumn,
    base: str,
    arm: str,
    fraction: float,
    base_fraction: float | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Compute the error reduction of one arm against another, from the errors of the test joints over all seeds.

    Args:
        outcomes: outcomes of an experiment.
        error: compared error.
        base: reference arm.
        arm: other arm.
        fraction: fraction of the annotated joints.
        base_fraction: fraction of the annotated joints of the base; by default the same.
        options: options of :func:`bundle.statistics.bootstrap_interval`.

    Returns:
        ``reduction``, 0.25 if a quarter of the error is removed, and its ``reduction_interval`` over joints; if that
        includes 0, there is no difference. ``common``, the fraction of the base's mean absolute error that both make:
        for an image on which both err in one direction, the smaller one of their mean errors. It includes errors that
        lie in the radiograph or in its annotation. ``images`` for which both have an error: a registration may fail.

    Raises:
        ValueError: there is no such outcome, or no image for which both have an error.
    """
    found, base_fraction = list(outcomes), fraction if base_fraction is None else base_fraction
    before, after = (_errors(found, error, *of) for of in ((base, base_fraction), (arm, fraction)))
    before, after = before.align(after, join="inner", axis=0)
    if not len(before):
        msg = f"{base} and {arm} have no evaluated image in common"
        raise ValueError(msg)
    joints = before.index.get_level_values("joint").tolist()
    old, new, size = before["raised"].to_numpy(), after["raised"].to_numpy(), before["absolute"].mean()

    def gone(sampled: Any) -> float:
        return (
            float(1.0 - (new[sampled].mean() / old[sampled].mean()) ** (1.0 / error.power))
            if old[sampled].any()
            else math.nan
        )

    return {
        "reduction": gone(np.arange(len(old))),
        "reduction_interval": list(bootstrap_interval(gone, joints, **options)),
        "common": float(_common(before["mean"], after["mean"]).mean() / size) if size else math.nan,
        "images": len(old),
    }


def _errors(outcomes: Sequence[Outcome], error: ErrorColumn, arm: str, fraction: float) -> pd.DataFrame:
    """Average the error of each image over rows and seeds: its ``mean``, ``absolute`` and ``raised`` size."""
    rows = [out.errors for out in outcomes if (out.arm, out.fraction) == (arm, fraction) and out.errors is not None]
    if not rows:
        msg = f"{arm} has no outcomes at the fraction {fraction}"
        raise ValueError(msg)
    table = pd.concat(rows).dropna(subset=[error.column])
    size = table[error.column].abs()
    sizes = table[["joint", "name"]].assign(mean=table[error.column], absolute=size, raised=size**error.power)
    return sizes.groupby(["joint", "name"])[["mean", "absolute", "raised"]].mean()


def _common(one: pd.Series, other: pd.Series) -> NDArray[np.float64]:
    """Return the common part of two errors of each image: the smaller one, if both have the same sign."""
    return np.where(one * other > 0, np.minimum(one.abs(), other.abs()), 0.0)


def plot_curves(table: pd.DataFrame, figure: str, labels: Mapping[str, str], unit: str) -> Figure:
    """Plot a figure against the fraction of annotated joints, one curve per arm, with its intervals over seeds."""
    plotted = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = plotted.add_subplot()
    for arm, rows in table[table["figure"] == figure].groupby("arm", sort=False):
        ordered = rows.sort_values("fraction")
        percent = 100 * ordered["fraction"]
        (line,) = axes.plot(percent, ordered["mean"], marker="o", label=labels.get(str(arm), str(arm)))
        axes.fill_between(percent, ordered["lower"], ordered["upper"], alpha=0.2, color=line.get_color())
    axes.set(xlabel="annotated joints (%)", ylabel=unit, xlim=(0, 105))
    axes.legend()
    return plotted
