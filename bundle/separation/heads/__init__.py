"""Heads: the input features of a backbone, and the conversion of its logits to layers.

``prepare(image)`` computes the features for the backbone, ``forward(logits, features)`` the layers (B, 3, H, W): soft
tissue, lower bone, upper bone. Images are (B, 3, H, W): radiograph, lower mask, upper mask.
"""

from __future__ import annotations

from bundle.separation.heads.base import Head
from bundle.separation.heads.estimate import EstimateHead
from bundle.separation.heads.partition import PartitionHead, mixed_shares
from bundle.separation.heads.sigmoid import SigmoidHead

__all__ = ["EstimateHead", "Head", "PartitionHead", "SigmoidHead", "mixed_shares"]
