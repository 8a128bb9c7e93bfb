"""Measurement of the joint space and its grade of narrowing."""

from __future__ import annotations

from bundle.measurement.axis import joint_axis
from bundle.measurement.bone_shape import BoneShape, bone_shape, displacement, head_bays
from bundle.measurement.curves import columns as curve_positions
from bundle.measurement.detectable import DetectableChange
from bundle.measurement.facing import Region, facing_centers, facing_edges
from bundle.measurement.grading import GRADES, GradeCoding, NominalGrades, OrdinalGrades
from bundle.measurement.growth_plate import PlateSigns, plate_signs
from bundle.measurement.joint_space import (
    DEFINITION,
    LARGEST_DOUBT,
    JointSpace,
    closing_motion,
    measure_joint_space,
    narrowing_grade,
    widths,
)
from bundle.measurement.outline import ON_THE_BORDER, outline_distance
from bundle.measurement.outline_gap import ALONG_AXIS, VERTICAL, OutlineGap, outline_gap, outline_gap_along_axis
from bundle.measurement.pose import JointPose, joint_pose, rotated
from bundle.measurement.surfaces import JointSurfaces, find_surfaces

__all__ = [
    "ALONG_AXIS",
    "DEFINITION",
    "GRADES",
    "LARGEST_DOUBT",
    "ON_THE_BORDER",
    "VERTICAL",
    "BoneShape",
    "DetectableChange",
    "GradeCoding",
    "JointPose",
    "JointSpace",
    "JointSurfaces",
    "NominalGrades",
    "OrdinalGrades",
    "OutlineGap",
    "PlateSigns",
    "Region",
    "bone_shape",
    "closing_motion",
    "curve_positions",
    "displacement",
    "facing_centers",
    "facing_edges",
    "find_surfaces",
    "head_bays",
    "joint_axis",
    "joint_pose",
    "measure_joint_space",
    "narrowing_grade",
    "outline_distance",
    "outline_gap",
    "outline_gap_along_axis",
    "plate_signs",
    "rotated",
    "widths",
]
