"""Scoring networks: joint space or grade of narrowing from a radiograph."""

from __future__ import annotations

from bundle.scoring.agreement import JointSpaceReading
from bundle.scoring.frames import ReadingFramed
from bundle.scoring.grades import GradeReading
from bundle.scoring.labels import JointSpaceLabels, read_joint_spaces, with_labels
from bundle.scoring.losses import JointSpaceLoss, predicted_joint_space
from bundle.scoring.networks import SCORERS, make_scorer, scaled_scorer_options
from bundle.scoring.regressor import JointSpaceRegressor
from bundle.scoring.report import ReadingReport, ReadingWriter

__all__ = [
    "SCORERS",
    "GradeReading",
    "JointSpaceLabels",
    "JointSpaceLoss",
    "JointSpaceReading",
    "JointSpaceRegressor",
    "ReadingFramed",
    "ReadingReport",
    "ReadingWriter",
    "make_scorer",
    "predicted_joint_space",
    "read_joint_spaces",
    "scaled_scorer_options",
    "with_labels",
]
