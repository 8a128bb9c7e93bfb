"""BLS-GAN (arXiv 2409.07304): generator and trainer."""

from __future__ import annotations

from bundle.separation.bls_gan.bone_layers import BoneLayerGenerator, Correction
from bundle.separation.bls_gan.trainer import BoneLayerTrainer

__all__ = ["BoneLayerGenerator", "BoneLayerTrainer", "Correction"]
