"""The measures E1 to E6 of a separation."""

from bundle.metrics.control import JointSpaceControl
from bundle.metrics.detectability import ShadowDetectability
from bundle.metrics.joint_space import JointSpaceMeasurement
from bundle.metrics.layer_truth import LayerTruth
from bundle.metrics.mask_agreement import MaskAgreement
from bundle.metrics.measured import Measured, SeparatedJoints
from bundle.metrics.realism import Realism, Trial
from bundle.metrics.reconstruction import ReconstructionQuality
from bundle.metrics.separation import (
    LayerRMSE,
    PixelRowFrechetDistance,
    ReconstructionMSE,
    ReconstructionPSNR,
    ReconstructionSSIM,
    SeparationMetric,
    pixel_row_frechet_distance,
    truth_from_engine,
)
from bundle.metrics.summary import bootstrap_interval, summarize, to_markdown
from bundle.metrics.trust import TrustFlag

__all__ = [
    "JointSpaceControl",
    "JointSpaceMeasurement",
    "LayerRMSE",
    "LayerTruth",
    "MaskAgreement",
    "Measured",
    "PixelRowFrechetDistance",
    "Realism",
    "ReconstructionMSE",
    "ReconstructionPSNR",
    "ReconstructionQuality",
    "ReconstructionSSIM",
    "SeparatedJoints",
    "SeparationMetric",
    "ShadowDetectability",
    "Trial",
    "TrustFlag",
    "bootstrap_interval",
    "pixel_row_frechet_distance",
    "summarize",
    "to_markdown",
    "truth_from_engine",
]
