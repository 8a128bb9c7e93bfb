"""Prediction of bone masks from a radiograph."""

from __future__ import annotations

from bundle.segmentation.segmenter import BoneMaskLoss, BoneMasksd, BoneSegmenter, with_predicted_masks

__all__ = ["BoneMaskLoss", "BoneMasksd", "BoneSegmenter", "with_predicted_masks"]
