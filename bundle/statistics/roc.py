"""Receiver operating characteristics: area and curve of scores, and their plot."""

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
"""Rates of false positives at which a curve is given."""


def area_under_curve(scores: ArrayLike, labels: ArrayLike) -> float:
    """Probability that a positive scores above a negative, ties counted half: (U of Mann and Whitney) / (n_1 n_0).

    Args:
        scores: (N,), higher for positives.
        labels: (N,), positive where above 0.5.

    Returns:
        In [0, 1]; NaN without a positive or without a negative.
    """
    positive = np.asarray(labels) > 0.5
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return math.nan
    ranks = rankdata(np.asarray(scores, dtype=np.float64))
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """Rate of true positives at :data:`FALSE_POSITIVES`; NaN without a positive or without a negative.

    Args:
        scores: (N,), higher for positives.
        labels: (N,), positive where above 0.5.
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
    """Plot the mean of each group's curves, whose area is the mean of their areas.

    Args:
        curves: by the line's label, curves of :func:`roc_curve` (of images, or of repeated fits).
        title: above the plot.
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
