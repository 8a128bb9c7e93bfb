"""The measures E1 to E6 of a separation, and the calibration of plausibility and uncertainty."""

from __future__ import annotations

from bundle.evaluation.calibration import closed_repeatedly, held_out, write_calibration, write_plausibility_reference
from bundle.evaluation.evaluation import Evaluation, Task
from bundle.evaluation.export import export_joints
from bundle.evaluation.report import EvaluationReport
from bundle.evaluation.separators import SeparatesAnew, choose_separator
from bundle.evaluation.sets import ClosedJoints, JointSet, PostprocessedJoints

__all__ = [
    "ClosedJoints",
    "Evaluation",
    "EvaluationReport",
    "JointSet",
    "PostprocessedJoints",
    "SeparatesAnew",
    "Task",
    "choose_separator",
    "closed_repeatedly",
    "export_joints",
    "held_out",
    "write_calibration",
    "write_plausibility_reference",
]
