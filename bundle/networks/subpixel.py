"""U-Net on blocks of pixels: full-resolution logits at a fraction of the cost."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from bundle.networks.resolution import continued
from monai.networks.nets import BasicUNet
from torch import Tensor, nn
from torch.nn import functional as F

DEEPEST = 16
"""Downsampling factor of the U-Net's lowest level, which needs at least two pixels per side."""


class SubpixelUNet(nn.Module):
    """MONAI's BasicUNet on blocks of pixels, followed by a refinement at full resolution.

    The pixels of a block become channels of the U-Net's input, and channels of its output become pixels (sub-pixel
    convolution, arXiv 1609.05158). A U-Net at half the resolution costs a quarter; unlike an averaged image, the blocks
    lose no detail. Two convolutions over the result and the image remove grid artefacts of the blocks.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels of the U-Net's five levels and of its last layer.
        block: side of a block in pixels.
        width: channels of the refinement.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (16, 32, 64, 96, 128, 16),
        block: int = 2,
        width: int = 8,
    ) -> None:
        super().__init__()
        self.block = block
        self.step = 2 * DEEPEST * block
        self.unet = BasicUNet(2, in_channels * block**2, width * block**2, features, upsample="nontrainable")
        self.refinement = nn.Sequential(
            nn.Conv2d(in_channels + width, width, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(width, out_channels, 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W), for any H and W; pads to multiples of ``step``."""
        height, width = image.shape[-2], image.shape[-1]
        image = continued(image, self.step)
        coarse = F.pixel_shuffle(self.unet(F.pixel_unshuffle(image, self.block)), self.block)
        return self.refinement(torch.cat([image, coarse], dim=1))[..., :height, :width]
