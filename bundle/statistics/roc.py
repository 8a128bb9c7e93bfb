"""Receiver operating characteristic: area, curve and plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Curve = NDArray[np.floating[Any]]

FALSE_POSITIVES: Curve = np.linspace(0.0, 1.0, 101)
"""False positive rates at which a curve is sampled."""


def area_under_curve(scores: ArrayLike, labels: ArrayLike) -> float:
    """Compute the AUC, the probability that a positive scores above a negative, with ties counted half.

    It equals the Mann-Whitney U divided by ``n_1 n_0``.

    Args:
        scores: scores (N,), higher for positives.
        labels: labels (N,), positive above 0.5.

    Returns:
        AUC in [0, 1]; NaN without positives or without negatives.
    """
    positive = np.asarray(labels) > 0.5
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return math.nan
    ranks = rankdata(np.asarray(scores, dtype=np.float64))
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """Compute true positive rates at :data:`FALSE_POSITIVES`; NaN without positives or without negatives.

    Args:
        scores: scores (N,), higher for positives.
        labels: labels (N,), positive above 0.5.
    """
    scores, positive = np.asarray(scores, dtype=np.float64), np.asarray(labels) > 0.5
    if positive.all() or not positive.any():
        return np.full_like(FALSE_POSITIVES, math.nan)
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    found = np.append(0, np.cumsum(positive[order])[last_of_ties]) / positive.sum()
    false = np.append(0, np.cumsum(~positive[order])[last_of_ties]) / (~positive).sum()
    return np.interp(FALSE_POSITIVES, false, found)


def plot_roc(curves: Mapping[str, Sequence[Curve]], title: str) -> Figure:
    """Plot the mean curve of each group; its area is the mean of the areas.

    Args:
        curves: curves of :func:`roc_curve`, of images or repeated fits, by legend label.
        title: title of the plot.
    """
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes: Any = figure.add_subplot(
        xlabel="false positives", ylabel="true positives", xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title
    )
    for label, group in curves.items():
        axes.plot(FALSE_POSITIVES, np.nanmean(np.stack(group), axis=0), label=label)
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":", linewidth=1)
    axes.legend(loc="lower right", fontsize="small")
    return figure
