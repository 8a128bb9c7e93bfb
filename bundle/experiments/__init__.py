"""Pre-training experiments: compared arms, their runs, statistics and tables."""

from __future__ import annotations

from bundle.experiments.agreement import ErrorColumn
from bundle.experiments.definitions import experiment_names, read_definition, typed
from bundle.experiments.markdown import EXPERIMENT, ExperimentReport, downstream_section, read_experiment
from bundle.experiments.report import Experiment
from bundle.experiments.runs import Arm, Downstream, Run, Separator, complaint

__all__ = [
    "EXPERIMENT",
    "Arm",
    "Downstream",
    "ErrorColumn",
    "Experiment",
    "ExperimentReport",
    "Run",
    "Separator",
    "complaint",
    "downstream_section",
    "experiment_names",
    "read_definition",
    "read_experiment",
    "typed",
]
