"""The measures of a separation, one file each: E1 to E6, joint space, masks and plausibility."""

from __future__ import annotations

from bundle.evaluation.measures.control import JointSpaceControl
from bundle.evaluation.measures.crops import as_seen, cut_out, on_grid
from bundle.evaluation.measures.detectability import ShadowDetectability
from bundle.evaluation.measures.joint_space import JointSpaceMeasurement
from bundle.evaluation.measures.layer_truth import LayerTruth
from bundle.evaluation.measures.mask_agreement import MaskAgreement
from bundle.evaluation.measures.overlap_texture import OverlapTexture
from bundle.evaluation.measures.plausibility import PlausibilityFlag
from bundle.evaluation.measures.realism import Realism, Trial
from bundle.evaluation.measures.realism_in_pose import RealismInPose
from bundle.evaluation.measures.reconstruction import ReconstructionQuality
from bundle.evaluation.measures.width import StatedJointSpace

__all__ = [
    "JointSpaceControl",
    "JointSpaceMeasurement",
    "LayerTruth",
    "MaskAgreement",
    "OverlapTexture",
    "PlausibilityFlag",
    "Realism",
    "RealismInPose",
    "ReconstructionQuality",
    "ShadowDetectability",
    "StatedJointSpace",
    "Trial",
    "as_seen",
    "cut_out",
    "on_grid",
]
