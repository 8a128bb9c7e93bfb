"""The measures E1 to E6 of a separation."""

from bundle.metrics.measured import Measured, SeparatedJoints
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

__all__ = [
    "LayerRMSE",
    "Measured",
    "PixelRowFrechetDistance",
    "ReconstructionMSE",
    "ReconstructionPSNR",
    "ReconstructionSSIM",
    "SeparatedJoints",
    "SeparationMetric",
    "bootstrap_interval",
    "pixel_row_frechet_distance",
    "summarize",
    "to_markdown",
    "truth_from_engine",
]
