"""MONAI transforms on joints and their layers: array transforms and their dictionary versions (``...d``)."""

from __future__ import annotations

from bundle.separation.transforms.augmentation import (
    RandAugmentLayersd,
    RandCropJointd,
    RandDrawnMasksd,
)
from bundle.separation.transforms.dictionary import (
    JointReadingd,
    LoadJointd,
    MasksAsLabeld,
    PseudoOverlapd,
    RandPseudoOverlapd,
    ReadingFramed,
    SeparateLayersd,
    ShareGraind,
)

__all__ = [
    "JointReadingd",
    "LoadJointd",
    "MasksAsLabeld",
    "PseudoOverlapd",
    "RandAugmentLayersd",
    "RandCropJointd",
    "RandDrawnMasksd",
    "RandPseudoOverlapd",
    "ReadingFramed",
    "SeparateLayersd",
    "ShareGraind",
]
