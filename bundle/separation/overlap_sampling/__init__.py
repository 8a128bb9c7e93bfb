"""Samples of the textures of two overlapping bones: what is plausible in the overlap, instead of its mean."""

from __future__ import annotations

from bundle.separation.overlap_sampling.conditions import (
    CONDITIONS,
    MARGIN,
    ROWS,
    conditions,
    exchanged,
    fade,
    joint_rows,
)
from bundle.separation.overlap_sampling.flow import FlowLoss, flow_step, integrate
from bundle.separation.overlap_sampling.sampler import DEVIATION, OverlapSampler, band_limited, exchange

__all__ = [
    "CONDITIONS",
    "DEVIATION",
    "MARGIN",
    "ROWS",
    "FlowLoss",
    "OverlapSampler",
    "band_limited",
    "conditions",
    "exchange",
    "exchanged",
    "fade",
    "flow_step",
    "integrate",
    "joint_rows",
]
