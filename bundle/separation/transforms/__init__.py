"""MONAI transforms on joints and their layers: array transforms and their dictionary versions (``...d``)."""

from __future__ import annotations

from bundle.separation.transforms.augmentation import RandAugmentLayersd, RandCropJointd, RandDrawnMasksd
from bundle.separation.transforms.dictionary import PseudoOverlapd, RandPseudoOverlapd
from bundle.separation.transforms.layers import SeparateLayersd, ShareGraind
from bundle.separation.transforms.loading import JointReadingd, LoadJointd, MasksAsLabeld, ReadingFramed

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
