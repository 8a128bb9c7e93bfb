"""Head of LSN, which multiplies layers by their masks."""

from __future__ import annotations

import torch
from bundle.physics import visible_region
from bundle.separation.heads.base import Head
from torch import Tensor


class SigmoidHead(Head):
    """Head of LSN (Eq. 1): ``L = N_G(J, M) * M``, bones times their masks, soft tissue times the visible region."""

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Compute layers (B, 3, H, W) in [0, 1], zero outside the masks."""
        radiograph, masks = features[:, :1], features[:, 1:3]
        regions = torch.cat([visible_region(radiograph, masks), masks], dim=1)
        return torch.sigmoid(logits.to(features.dtype)) * regions
