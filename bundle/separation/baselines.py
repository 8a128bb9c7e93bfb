"""Weight-free baseline separators."""

from __future__ import annotations

import torch
from bundle.joint import MCP
from bundle.physics import overlap, partition, separation_shares
from torch import Tensor, nn


class HalfSplit(nn.Module):
    """The weight-free separator with the bone attenuation split in half where both masks overlap.

    Use it in place of a generator::

        --network_def "{'_target_': 'bundle.separation.HalfSplit'}"

    Args:
        spacing_mm: pixel size of the images in mm; by default the frame of an MCP joint divided by their width.
    """

    def __init__(self, spacing_mm: float | None = None) -> None:
        super().__init__()
        self.spacing_mm = spacing_mm

    def forward(self, image: Tensor) -> Tensor:
        """Separate images (B, 3, H, W), radiograph and masks, into soft tissue, lower bone and upper bone."""
        radiograph, masks = image[:, :1], image[:, 1:]
        shares = separation_shares(radiograph, masks, self.spacing_mm or MCP.spacing_at(image.shape[-1]))
        half = shares[:, 1:].mean(dim=1, keepdim=True).expand(-1, 2, -1, -1)
        both = overlap((masks > 0.5).to(masks.dtype)) > 0.5
        return partition(radiograph, torch.cat([shares[:, :1], torch.where(both, half, shares[:, 1:])], dim=1))
