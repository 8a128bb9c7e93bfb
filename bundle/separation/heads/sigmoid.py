"""The head of LSN, which multiplies layers by their masks."""

from __future__ import annotations

import torch
from bundle.physics import visible_region
from bundle.separation.heads.base import Head
from torch import Tensor


class SigmoidHead(Head):
    """The head of LSN (Eq. 1): ``L = N_G(J, M) * M``, bones by their masks, soft tissue by the visible region."""

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Layers in [0, 1], zero outside the masks: (B, 3, H, W)."""
        radiograph, masks = features[:, :1], features[:, 1:3]
        regions = torch.cat([visible_region(radiograph, masks), masks], dim=1)
        return torch.sigmoid(logits.to(features.dtype)) * regions
