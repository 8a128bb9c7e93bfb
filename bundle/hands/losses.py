"""Loss of heatmaps against landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from bundle.errors import number_argument
from bundle.hands.networks import BLOCK
from torch import Tensor, nn


def target_heatmaps(points: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Gaussians at the landmarks that are in a view, normalised to 1 in each channel, else 0: (B, C, H, W).

    Args:
        points: x and y in pixels of the view, and 1 if the landmark is in the view, else 0; (B, hands, C, 3).
        height: height of the heatmaps.
        width: width of the heatmaps.
        sigma: standard deviation in positions of the heatmap.
    """
    places = (points[..., :2] - (BLOCK - 1) / 2) / BLOCK
    rows = _gaussian(places[..., 1], height, sigma)
    columns = _gaussian(places[..., 0], width, sigma)
    maps = torch.einsum("bkc,bkch,bkcw->bchw", points[..., 2], rows, columns)
    return maps / maps.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)


def _gaussian(centers: Tensor, length: int, sigma: float) -> Tensor:
    at = torch.arange(length, device=centers.device, dtype=centers.dtype)
    return torch.exp(-0.5 * ((at - centers[..., None]) / sigma) ** 2)


class HeatmapLoss(nn.Module):
    r"""Cross-entropy of the position of each landmark, including "not in the view".

    ``L = - sum_c (sum_p t_cp log q_cp + t_c0 log q_c0) / C``,

    with the probabilities ``q`` of :func:`probabilities`, the targets ``t_cp`` of :func:`target_heatmaps`,
    and ``t_c0 = 1`` where the landmark is not in the view.

    Args:
        sigma_px: standard deviation of the targets in pixels of the heatmap, 0.1 to 100.

    Raises:
        InputError: it is out of range.
    """

    def __init__(self, sigma_px: float = 1.2) -> None:
        super().__init__()
        self.sigma_px = number_argument("sigma_px", sigma_px, 0.1, 100.0)

    def forward(self, logits: Sequence[Tensor], points: Sequence[Tensor]) -> Tensor:
        """Compute the mean loss, a scalar, over the kinds of views.

        Args:
            logits: heatmaps of each kind, (B, C, H, W).
            points: landmarks of each kind, (B, hands, C, 3) (:func:`target_heatmaps`).
        """
        return torch.stack([self._one(*pair) for pair in zip(logits, points, strict=True)]).mean()

    def _one(self, logits: Tensor, points: Tensor) -> Tensor:
        targets = target_heatmaps(points, logits.shape[-2], logits.shape[-1], self.sigma_px)
        flat = logits.flatten(2)
        normalizer = torch.cat([flat, flat.new_zeros(*flat.shape[:2], 1)], dim=2).logsumexp(dim=2)
        return (normalizer - (targets.flatten(2) * flat).sum(dim=2)).mean()
