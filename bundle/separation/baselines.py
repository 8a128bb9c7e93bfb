"""Separators without weights that others are compared with."""

from __future__ import annotations

import torch
from bundle.joint import MCP
from bundle.physics import overlap, partition, separation_shares
from torch import Tensor, nn


class HalfSplit(nn.Module):
    """The weight-free separator, but where both masks claim a pixel each bone gets half of the bone attenuation.

    To be used in place of a generator::

        --network_def "{'_target_': 'bundle.separation.HalfSplit'}"

    Args:
        spacing_mm: pixel size; by default that of images as wide as the frame of an MCP joint.
    """

    def __init__(self, spacing_mm: float | None = None) -> None:
        super().__init__()
        self.spacing_mm = spacing_mm

    def forward(self, image: Tensor) -> Tensor:
        """Layers soft tissue, lower bone, upper bone (B, 3, H, W) of images (B, 3, H, W): radiograph and masks."""
        radiograph, masks = image[:, :1], image[:, 1:]
        shares = separation_shares(radiograph, masks, self.spacing_mm or MCP.spacing_at(image.shape[-1]))
        half = shares[:, 1:].mean(dim=1, keepdim=True).expand(-1, 2, -1, -1)
        both = overlap((masks > 0.5).to(masks.dtype)) > 0.5
        return partition(radiograph, torch.cat([shares[:, :1], torch.where(both, half, shares[:, 1:])], dim=1))
