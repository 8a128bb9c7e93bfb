"""The measures of a separation, E1 to E6, and the calibration of plausibility."""

from __future__ import annotations

from bundle.evaluation.calibration import held_out, pushed_repeatedly, write_calibration, write_trust_reference
from bundle.evaluation.evaluation import Evaluation, Task
from bundle.evaluation.export import export_joints
from bundle.evaluation.report import EvaluationReport
from bundle.evaluation.separators import choose_separator
from bundle.evaluation.sets import DeliveredJoints, JointSet, PushedJoints

__all__ = [
    "DeliveredJoints",
    "Evaluation",
    "EvaluationReport",
    "JointSet",
    "PushedJoints",
    "Task",
    "choose_separator",
    "export_joints",
    "held_out",
    "pushed_repeatedly",
    "write_calibration",
    "write_trust_reference",
]
