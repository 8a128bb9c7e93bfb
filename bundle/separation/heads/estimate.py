"""A head that divides by estimates of the layers."""

from __future__ import annotations

from bundle.joint import MCP
from bundle.physics import attenuation
from bundle.separation.heads.partition import PartitionHead, mixed_shares
from torch import Tensor


class EstimateHead(PartitionHead):
    """A partition head that also has estimates of the layers: each takes its estimate, and its share of the rest.

    The backbone gives three logits, with the shares ``w`` of :class:`PartitionHead`, and three estimates ``m`` of
    attenuation. Of the attenuation ``a`` of a pixel a layer gets what its conditional expectation would be, were the
    layers independent Gaussians with means ``m`` and variances in proportion to ``w``::

        a_i = m_i + w_i (a - sum m)

    So a smooth estimate of the bones is enough where they overlap: their texture is divided without being known. A
    layer that would be negative gets nothing, at the cost of the others. Zero logits and estimates are the weight-free
    separation, and the layers compose to the radiograph for any.

    Args:
        mixture: as of :class:`PartitionHead`.
        reach_mm: as of :class:`PartitionHead`.
        spacing_mm: as of :class:`PartitionHead`.
        least: where the attenuation is less (air), estimates count as parts of this.
    """

    out_channels = 6

    def __init__(
        self, mixture: float = 0.3, reach_mm: float = 0.0, spacing_mm: float = MCP.spacing_mm, least: float = 0.05
    ) -> None:
        super().__init__(mixture, reach_mm, spacing_mm)
        self.least = least

    def shares(self, logits: Tensor, features: Tensor) -> Tensor:
        """Shares of the attenuation, (B, 3, H, W): at least 0, summing to 1, of logits (B, 6, H, W)."""
        allowed = self.allowed(features)
        shares = mixed_shares(logits[:, :3], features[:, 3:6], allowed, self.mixture)
        estimates = logits[:, 3:].to(features.dtype) * allowed / attenuation(features[:, :1]).clamp(min=self.least)
        shares = (shares + estimates - shares * estimates.sum(dim=1, keepdim=True)).clamp(min=0.0)
        return shares / shares.sum(dim=1, keepdim=True)
