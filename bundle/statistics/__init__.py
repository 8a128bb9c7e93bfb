"""Agreement, bootstrap intervals, conformal limits, ROC curves, accuracy of readers and tables of results."""

from __future__ import annotations

from bundle.statistics.adversary import FitSettings, fit_seeds, flip_some, predict
from bundle.statistics.agreement import (
    absolute_agreement,
    bland_altman,
    consistency,
    deviation_within,
    plot_bland_altman,
    regression_slope,
    repeatability,
    smallest_detectable_difference,
)
from bundle.statistics.conformal import conformal_quantile, joint_weights
from bundle.statistics.estimates import UNDEFINED, Estimate, proportion
from bundle.statistics.kappa import fleiss_kappa, weighted_kappa
from bundle.statistics.measured import Column, Measured, SeparatedJoints
from bundle.statistics.per_image import IDENTITY, identity, means
from bundle.statistics.readers import (
    FIGURES,
    ReaderAveragedArea,
    ReaderScores,
    delong,
    logistic_slope,
    named,
    obuchowski_rockette,
    reader_intervals,
)
from bundle.statistics.roc import Curve, area_under_curve, plot_roc, roc_curve
from bundle.statistics.summary import bootstrap_interval, summarize, to_markdown

__all__ = [
    "FIGURES",
    "IDENTITY",
    "UNDEFINED",
    "Column",
    "Curve",
    "Estimate",
    "FitSettings",
    "Measured",
    "ReaderAveragedArea",
    "ReaderScores",
    "SeparatedJoints",
    "absolute_agreement",
    "area_under_curve",
    "bland_altman",
    "bootstrap_interval",
    "conformal_quantile",
    "consistency",
    "delong",
    "deviation_within",
    "fit_seeds",
    "fleiss_kappa",
    "flip_some",
    "identity",
    "joint_weights",
    "logistic_slope",
    "means",
    "named",
    "obuchowski_rockette",
    "plot_bland_altman",
    "plot_roc",
    "predict",
    "proportion",
    "reader_intervals",
    "regression_slope",
    "repeatability",
    "roc_curve",
    "smallest_detectable_difference",
    "summarize",
    "to_markdown",
    "weighted_kappa",
]
