"""Pre-training experiments: what is compared, its statistics and its tables."""

from __future__ import annotations

from bundle.experiments.agreement import ErrorColumn, over_seeds, plot_curves
from bundle.experiments.experiments import Arm, Downstream, Runner, Separator
from bundle.experiments.report import EXPERIMENT, Experiment

__all__ = [
    "EXPERIMENT",
    "Arm",
    "Downstream",
    "ErrorColumn",
    "Experiment",
    "Runner",
    "Separator",
    "over_seeds",
    "plot_curves",
]
