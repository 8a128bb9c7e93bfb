"""Scoring networks: joint space or grade of narrowing from a radiograph."""

from __future__ import annotations

from bundle.scoring.agreement import JointSpaceReading
from bundle.scoring.calibration import CalibrationWriter, UncertaintyCalibration, calibration_path, uncertainty_factor
from bundle.scoring.frames import ReadingFramed
from bundle.scoring.grades import GradeReading
from bundle.scoring.labels import JointSpaceLabels, read_joint_spaces, with_labels
from bundle.scoring.losses import JointSpaceLoss, predicted_joint_space
from bundle.scoring.networks import SCORERS, make_scorer, scaled_scorer_options
from bundle.scoring.placement import PlacementCheck
from bundle.scoring.regressor import JointSpaceRegressor
from bundle.scoring.report import ReadingReport, ReadingWriter

__all__ = [
    "SCORERS",
    "CalibrationWriter",
    "GradeReading",
    "JointSpaceLabels",
    "JointSpaceLoss",
    "JointSpaceReading",
    "JointSpaceRegressor",
    "PlacementCheck",
    "ReadingFramed",
    "ReadingReport",
    "ReadingWriter",
    "UncertaintyCalibration",
    "calibration_path",
    "make_scorer",
    "predicted_joint_space",
    "read_joint_spaces",
    "scaled_scorer_options",
    "uncertainty_factor",
    "with_labels",
]
