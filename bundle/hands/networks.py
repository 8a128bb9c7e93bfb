"""Networks that predict heatmaps of the landmarks of a hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from bundle.errors import InputError
from bundle.hands.landmarks import LANDMARKS
from monai.networks.nets import BasicUNet
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 2
"""Side in pixels of the block of a view that is one position of a heatmap."""


LEVELS = 6
"""Number of the channels of a network: five levels and the last layer."""


class HeatmapUNet(nn.Module):
    """MONAI's BasicUNet on blocks of pixels, with a heatmap of logits for each landmark at half the resolution.

    The view is normalised to mean 0 and standard deviation 1.

    Args:
        features: channels of the U-Net's five levels and of its last layer.

    Raises:
        InputError: these are not six whole numbers above 0.
    """

    def __init__(self, features: Sequence[int] = (24, 32, 64, 96, 128, 24)) -> None:
        super().__init__()
        is_list = isinstance(features, Sequence) and len(features) == LEVELS
        if not is_list or not all(type(width) is int and width > 0 for width in features):
            msg = f"finder_features: {features!r} is invalid. Pass {LEVELS} whole numbers above 0."
            raise InputError(msg)
        self.unet = BasicUNet(2, BLOCK**2, len(LANDMARKS), features, upsample="nontrainable")

    def forward(self, view: Tensor) -> Tensor:
        """Map views (B, 1, H, W), H and W multiples of 32, to logits (B, 24, H / 2, W / 2)."""
        mean, deviation = view.mean(dim=(1, 2, 3), keepdim=True), view.std(dim=(1, 2, 3), keepdim=True)
        logits: Tensor = self.unet(F.pixel_unshuffle((view - mean) / (deviation + 1e-3), BLOCK))
        return logits


class FinderNetwork(nn.Module):
    """The two networks of the finder: one for views of a film, one for upright crops of a hand.

    Args:
        features: channels of both networks (:class:`HeatmapUNet`).
    """

    def __init__(self, features: Sequence[int] = (24, 32, 64, 96, 128, 24)) -> None:
        super().__init__()
        self.film, self.crop = HeatmapUNet(features), HeatmapUNet(features)

    def forward(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Map views of films and upright crops to their logits."""
        film, crop = views
        return [self.film(film), self.crop(crop)]


def probabilities(logits: Tensor) -> Tensor:
    """Probability of each position of a heatmap, (B, C, H, W).

    Softmax over the positions and one more outcome with logit 0, "not in the view", so that the probabilities of a
    heatmap add up to the probability that the landmark is in the view.
    """
    flat = logits.flatten(2)
    whole = torch.cat([flat, flat.new_zeros(*flat.shape[:2], 1)], dim=2).softmax(dim=2)
    return whole[..., :-1].reshape(logits.shape)
