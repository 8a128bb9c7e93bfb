"""Base class of the heads."""

from __future__ import annotations

from torch import Tensor, nn


class Head(nn.Module):
    """Base class of the heads.

    Attributes:
        in_channels: channels of the features, the backbone's input.
        out_channels: channels of the logits, the backbone's output.
        zero_start: whether the logits of an untrained generator are zero.
    """

    in_channels = 3
    out_channels = 3
    zero_start = False

    def prepare(self, image: Tensor) -> Tensor:
        """Features (B, in_channels, H, W) of images (B, 3, H, W); by default the image itself."""
        return image
