"""Measurement of the joint space and its grade of narrowing."""

from __future__ import annotations

from bundle.measurement.facing import Region, facing_centers, facing_edges
from bundle.measurement.grading import GRADES, GradeCoding, NominalGrades, OrdinalGrades
from bundle.measurement.joint_space import (
    ALIGNED,
    ALONG_AXIS,
    VERTICAL,
    JointSpace,
    joint_space_by_alignment,
    joint_space_width,
    measure_joint_space,
    narrowing_grade,
)
from bundle.measurement.outline import ON_THE_BORDER, outline_distance

__all__ = [
    "ALIGNED",
    "ALONG_AXIS",
    "GRADES",
    "ON_THE_BORDER",
    "VERTICAL",
    "GradeCoding",
    "JointSpace",
    "NominalGrades",
    "OrdinalGrades",
    "Region",
    "facing_centers",
    "facing_edges",
    "joint_space_by_alignment",
    "joint_space_width",
    "measure_joint_space",
    "narrowing_grade",
    "outline_distance",
]
