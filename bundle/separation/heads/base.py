"""What all heads have in common."""

from __future__ import annotations

from torch import Tensor, nn


class Head(nn.Module):
    """What all heads have.

    Attributes:
        in_channels: channels of the features, which the backbone takes.
        out_channels: channels of the logits, which the backbone gives.
        zero_start: whether the logits of an untrained generator are zero.
    """

    in_channels = 3
    out_channels = 3
    zero_start = False

    def prepare(self, image: Tensor) -> Tensor:
        """Features (B, in_channels, H, W) of images (B, 3, H, W); unless a head says otherwise, the image itself."""
        return image
