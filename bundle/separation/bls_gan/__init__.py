"""BLS-GAN (arXiv 2409.07304): its network and its training."""

from __future__ import annotations

from bundle.separation.bls_gan.bone_layers import BoneLayerGenerator, Correction
from bundle.separation.bls_gan.trainer import BoneLayerTrainer

__all__ = ["BoneLayerGenerator", "BoneLayerTrainer", "Correction"]
