"""Quality control: plausibility of a radiograph and its masks, uncertainty of its layers."""

from __future__ import annotations

from bundle.quality.corruption import CORRUPTIONS, another_scanner, corrupt
from bundle.quality.plausibility import Plausibilityd, PlausibilityReference, Range, Verdict
from bundle.quality.properties import PROPERTIES, Property, measure
from bundle.quality.uncertainty import (
    SIGNS,
    Answer,
    Calibration,
    FlipInferer,
    bone_disagreement,
    held_out_figures,
    overlap_signs,
)

__all__ = [
    "CORRUPTIONS",
    "PROPERTIES",
    "SIGNS",
    "Answer",
    "Calibration",
    "FlipInferer",
    "PlausibilityReference",
    "Plausibilityd",
    "Property",
    "Range",
    "Verdict",
    "another_scanner",
    "bone_disagreement",
    "corrupt",
    "held_out_figures",
    "measure",
    "overlap_signs",
]
