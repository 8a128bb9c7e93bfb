"""MONAI transforms of joints and their layers: array transforms and their dictionary versions (``...d``)."""

from __future__ import annotations

from bundle.separation.transforms.array import (
    RandShiftBones,
    RandSynthesizeJointSpace,
    Reconstruct,
    ShiftBones,
    SynthesizeJointSpace,
)
from bundle.separation.transforms.augmentation import RandAugmentLayersd, RandCropJointd, RandPredictedMasksd
from bundle.separation.transforms.dictionary import (
    PseudoOverlapd,
    RandPseudoOverlapd,
    RandShiftBonesd,
    RandSynthesizeJointSpaced,
    ShiftBonesd,
    SynthesizeJointSpaced,
)
from bundle.separation.transforms.layers import ClearOutlinesd, Reconstructd, SeparateLayersd, ShareNoiseTextured
from bundle.separation.transforms.loading import LoadJointd, MasksAsLabeld, phantom_of
from bundle.separation.transforms.overlap_sampling import OverlapTextured, RandFlowStepd, SampleOverlapd

__all__ = [
    "ClearOutlinesd",
    "LoadJointd",
    "MasksAsLabeld",
    "OverlapTextured",
    "PseudoOverlapd",
    "RandAugmentLayersd",
    "RandCropJointd",
    "RandFlowStepd",
    "RandPredictedMasksd",
    "RandPseudoOverlapd",
    "RandShiftBones",
    "RandShiftBonesd",
    "RandSynthesizeJointSpace",
    "RandSynthesizeJointSpaced",
    "Reconstruct",
    "Reconstructd",
    "SampleOverlapd",
    "SeparateLayersd",
    "ShareNoiseTextured",
    "ShiftBones",
    "ShiftBonesd",
    "SynthesizeJointSpace",
    "SynthesizeJointSpaced",
    "phantom_of",
]
