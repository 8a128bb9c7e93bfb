"""MONAI transforms over the rooms of the project: array transforms and their dictionary versions (``...d``)."""

from bundle.transforms.array import (
    PseudoOverlap,
    RandPseudoOverlap,
    RandShiftBones,
    RandSynthesizeJointSpace,
    Reconstruct,
    SeparateLayers,
    ShareGrain,
    ShiftBones,
    SynthesizeJointSpace,
)
from bundle.transforms.augmentation import RandAugmentLayersd, RandCropJointd, RandDrawnMasksd
from bundle.transforms.dictionary import (
    LoadJointd,
    MasksAsLabeld,
    PseudoOverlapd,
    RandPseudoOverlapd,
    RandShiftBonesd,
    RandSynthesizeJointSpaced,
    Reconstructd,
    SeparateLayersd,
    ShareGraind,
    ShiftBonesd,
    SynthesizeJointSpaced,
)

__all__ = [
    "LoadJointd",
    "MasksAsLabeld",
    "PseudoOverlap",
    "PseudoOverlapd",
    "RandAugmentLayersd",
    "RandCropJointd",
    "RandDrawnMasksd",
    "RandPseudoOverlap",
    "RandPseudoOverlapd",
    "RandShiftBones",
    "RandShiftBonesd",
    "RandSynthesizeJointSpace",
    "RandSynthesizeJointSpaced",
    "Reconstruct",
    "Reconstructd",
    "SeparateLayers",
    "SeparateLayersd",
    "ShareGrain",
    "ShareGraind",
    "ShiftBones",
    "ShiftBonesd",
    "SynthesizeJointSpace",
    "SynthesizeJointSpaced",
]
