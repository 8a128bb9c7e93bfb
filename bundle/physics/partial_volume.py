"""Removal of the contour that the partial volume of pixels leaves in the soft tissue along the bones.

A pixel on the outline of a bone mixes bone and tissue, so the soft-tissue layer keeps a faint contour along the
outline, the stronger the coarser the pixels of the file. The contour stays in place when the bone moves.
"""

from __future__ import annotations

import math

import torch
from bundle.joint import MCP
from bundle.physics.harmonic import laplace_fill, support
from bundle.physics.masks import signed_distance
from bundle.physics.radiograph import attenuation, intensity
from torch import Tensor

INSIDE_MM = 0.6
"""Distance from the outline into the bone over which the soft tissue is continued anew, in mm."""

BLEND_MM = 0.16
"""Difference of the distances to the two outlines at which the nearer bone receives 88 % of a changed attenuation."""


def clear_outlines(layers: Tensor, masks: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
    """Continue the soft tissue across the outlines of the bones, and give the difference to the bones.

    The band around an outline reaches from the rim of the bone's support to :data:`INSIDE_MM` inside the bone. The
    tissue on both sides of it is continued by the Laplace equation, up to the measured attenuation.

    Args:
        layers: soft tissue and bones, (B, 3, H, W) in [0, 1].
        masks: bone masks, (B, 2, H, W).
        spacing_mm: pixel size in mm.

    Returns:
        Layers (B, 3, H, W) in [0, 1] that compose to the same radiograph, unchanged outside the bands.
    """
    parts, supports = attenuation(layers), support(masks, spacing_mm)
    distance = signed_distance(masks, math.ceil(INSIDE_MM / spacing_mm) + 1) * spacing_mm
    band = (supports * (distance < INSIDE_MM)).amax(dim=1, keepdim=True)
    total, soft, bones = parts.sum(dim=1, keepdim=True), parts[:, :1], parts[:, 1:]
    tissue = torch.minimum(laplace_fill(soft, 1.0 - band).clamp(min=0.0), total)
    nearer = (distance * 2.0 / BLEND_MM).masked_fill(supports < 0.5, -1e9).softmax(dim=1) * supports
    bones = (bones + (soft - tissue) * nearer).clamp(min=0.0)
    cleared = torch.cat([(total - bones.sum(dim=1, keepdim=True)).clamp(min=0.0), bones], dim=1)
    return torch.where(band > 0.5, intensity(cleared), layers)
