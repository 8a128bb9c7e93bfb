"""Agreement, bootstrap intervals, ROC curves and tables of results."""

from __future__ import annotations

from bundle.statistics.adversary import FitSettings, fit_seeds, flip_some, predict
from bundle.statistics.agreement import (
    absolute_agreement,
    bland_altman,
    consistency,
    plot_bland_altman,
    repeatability,
    smallest_detectable_difference,
)
from bundle.statistics.measured import Column, Measured, SeparatedJoints
from bundle.statistics.roc import Curve, area_under_curve, plot_roc, roc_curve
from bundle.statistics.summary import bootstrap_interval, summarize, to_markdown

__all__ = [
    "Column",
    "Curve",
    "FitSettings",
    "Measured",
    "SeparatedJoints",
    "absolute_agreement",
    "area_under_curve",
    "bland_altman",
    "bootstrap_interval",
    "consistency",
    "fit_seeds",
    "flip_some",
    "plot_bland_altman",
    "plot_roc",
    "predict",
    "repeatability",
    "roc_curve",
    "smallest_detectable_difference",
    "summarize",
    "to_markdown",
]
