"""Partition head with estimates of the layers."""

from __future__ import annotations

from bundle.joint import MCP
from bundle.physics import attenuation
from bundle.separation.heads.partition import PartitionHead, mixed_shares
from torch import Tensor


class EstimateHead(PartitionHead):
    """Partition head with estimates of the layers: a layer is its estimate plus its share of the residual.

    The backbone predicts three logits, which give the shares ``w`` of :class:`PartitionHead`, and three attenuation
    estimates ``m``. A layer is its conditional expectation given the attenuation ``a`` of the pixel, for independent
    Gaussian layers with means ``m`` and variances proportional to ``w``::

        a_i = m_i + w_i (a - sum m)

    A smooth estimate of the bones therefore suffices where they overlap; the shares divide the texture. Negative layers
    are set to 0 and the others rescaled. Zero logits and estimates give the weight-free separation. The layers always
    compose to the radiograph.

    Args:
        mixture: see :class:`PartitionHead`.
        reach_mm: see :class:`PartitionHead`.
        spacing_mm: see :class:`PartitionHead`.
        least: lower bound of the attenuation by which the estimates are divided (in air).
    """

    out_channels = 6

    def __init__(
        self, mixture: float = 0.3, reach_mm: float = 0.0, spacing_mm: float = MCP.spacing_mm, least: float = 0.05
    ) -> None:
        super().__init__(mixture, reach_mm, spacing_mm)
        self.least = least

    def shares(self, logits: Tensor, features: Tensor) -> Tensor:
        """Shares of the attenuation, (B, 3, H, W), non-negative and summing to 1, from logits (B, 6, H, W)."""
        allowed = self.allowed(features)
        shares = mixed_shares(logits[:, :3], features[:, 3:6], allowed, self.mixture)
        estimates = logits[:, 3:].to(features.dtype) * allowed / attenuation(features[:, :1]).clamp(min=self.least)
        shares = (shares + estimates - shares * estimates.sum(dim=1, keepdim=True)).clamp(min=0.0)
        return shares / shares.sum(dim=1, keepdim=True)
