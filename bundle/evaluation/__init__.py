"""The measures of a separation, E1 to E6, and the calibration of plausibility."""

from __future__ import annotations

from bundle.evaluation.calibration import (
    pushed_repeatedly,
    write_calibration,
    write_trust_reference,
)
from bundle.evaluation.evaluation import (
    DeliveredJoints,
    Evaluation,
    JointSet,
    PushedJoints,
    Task,
    choose_separator,
    export_joints,
)

__all__ = [
    "DeliveredJoints",
    "Evaluation",
    "JointSet",
    "PushedJoints",
    "Task",
    "choose_separator",
    "export_joints",
    "pushed_repeatedly",
    "write_calibration",
    "write_trust_reference",
]
