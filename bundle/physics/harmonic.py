"""The weight-free separator: soft tissue continued below the bones by the Laplace equation, in attenuation.

Tissue is smooth in attenuation, and layers add there. So the tissue around the bones is continued harmonically below
their support (the masks grown past the annotated outline, which runs inside the penumbra of the bone), never above the
measured attenuation; what is left is bone. Everything runs batched in torch and compiles with ``torch.jit.script``.
"""

from __future__ import annotations

import math

import torch
from bundle.joint import MCP
from bundle.physics.laplace import solve_laplace
from bundle.physics.masks import grow, grown, signed_distance
from bundle.physics.radiograph import attenuation, partition
from torch import Tensor

GROWTH_MM = 5 * MCP.spacing_mm
"""The support of a bone reaches so far past its outline: 0.41 mm, 5 pixels of the public frames."""

RAMP_MM = 6 * MCP.spacing_mm
"""Width of the passage from one bone to the other where both supports claim a pixel: 0.49 mm."""

FADE_MM = 3 * MCP.spacing_mm
"""A bone fades to nothing over so far at the rim of its support: 0.25 mm."""

OWNERSHIP_RANGE_MM = GROWTH_MM + 3 * MCP.spacing_mm
"""Range of the signed distance that the claims of the bones need: 0.66 mm, 8 pixels of the public frames."""


def support(masks: Tensor, spacing_mm: float = MCP.spacing_mm, growth_mm: float = GROWTH_MM) -> Tensor:
    """Where a bone may have attenuation: its mask grown by ``growth_mm``, (B, 2, H, W) of 0 and 1.

    Args:
        masks: (B, 2, H, W).
        spacing_mm: width of a pixel.
        growth_mm: as of :func:`separation_shares`.
    """
    return grow(masks, growth_mm / spacing_mm)


def separate(image: Tensor, masks: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
    """Separate radiographs without weights; :func:`bundle.physics.reconstruct` of the result is the image.

    Args:
        image: radiographs in [0, 1], (B, 1, H, W).
        masks: bone masks, (B, 2, H, W).
        spacing_mm: width of a pixel.

    Returns:
        Layers soft tissue, lower bone, upper bone: (B, 3, H, W) in [0, 1].
    """
    return partition(image, separation_shares(image, masks, spacing_mm))


def separation_shares(
    image: Tensor,
    masks: Tensor,
    spacing_mm: float = MCP.spacing_mm,
    growth_mm: float = GROWTH_MM,
    ramp_mm: float = RAMP_MM,
    fade_mm: float = FADE_MM,
) -> Tensor:
    """Shares of the attenuation that the weight-free separator gives to each layer.

    Args:
        image: radiographs in [0, 1], (B, 1, H, W).
        masks: bone masks, (B, 2, H, W); soft masks are thresholded at 0.5.
        spacing_mm: width of a pixel.
        growth_mm: the support of a bone reaches so far past its outline.
        ramp_mm: width of the passage from one bone to the other where both supports claim a pixel.
        fade_mm: a bone fades to nothing over so far at the rim of its support.

    Returns:
        (B, 3, H, W), at least 0, summing to 1; a bone's share is 0 outside its support.
    """
    distance = signed_distance(masks, math.ceil(_claimed(growth_mm, spacing_mm)))
    return shares_by_distance(image, distance, spacing_mm, growth_mm, ramp_mm, fade_mm)


def _claimed(growth_mm: float, spacing_mm: float, beyond_mm: float = OWNERSHIP_RANGE_MM - GROWTH_MM) -> float:
    """Range of the signed distance that the claims need, in pixels."""
    return (growth_mm + beyond_mm) / spacing_mm


def shares_by_distance(
    image: Tensor,
    distance: Tensor,
    spacing_mm: float = MCP.spacing_mm,
    growth_mm: float = GROWTH_MM,
    ramp_mm: float = RAMP_MM,
    fade_mm: float = FADE_MM,
) -> Tensor:
    """:func:`separation_shares` of masks whose signed distance (B, 2, H, W) in pixels is known.

    Distances are clamped to ``growth_mm`` plus 3 pixels of the public frames (:data:`OWNERSHIP_RANGE_MM`).
    """
    total = attenuation(image.detach())
    growth, owned = growth_mm / spacing_mm, _claimed(growth_mm, spacing_mm)
    ownership = ownership_weights(distance.clamp(-owned, owned), growth, ramp_mm / spacing_mm, fade_mm / spacing_mm)
    tissue = 1.0 - grown(distance, growth).amax(dim=1, keepdim=True).to(total.dtype)
    fill = torch.minimum(laplace_fill(total, tissue).clamp(min=0.0), total)
    bone = (total - fill) / total.clamp(min=1e-12)
    bones = bone * ownership
    return torch.cat([(1.0 - bones.sum(dim=1, keepdim=True)).clamp(min=0.0), bones], dim=1)


def ownership_weights(distance: Tensor, growth: float, ramp: float, fade: float) -> Tensor:
    """Fraction of the bone attenuation at a pixel that belongs to each bone, (B, 2, H, W), summing to at most 1.

    Pixels that both supports claim pass from one bone to the other by the difference of their signed distances; there
    the bones fade only as far as they do together, or a bright line of bone would stay in a narrow gap's tissue.
    Arguments as in :func:`shares_by_distance`, but in pixels.
    """
    faded = ((distance + growth + 0.5) / fade).clamp(0.0, 1.0) * grown(distance, growth)
    lead = (distance[:, :1] - distance[:, 1:]) / (2.0 * ramp)
    preferred = torch.cat([0.5 + lead, 0.5 - lead], dim=1).clamp(0.0, 1.0) * faded
    owned = faded.sum(dim=1, keepdim=True).clamp(max=1.0)
    return owned * preferred / preferred.sum(dim=1, keepdim=True).clamp(min=1e-6)


def laplace_fill(values: Tensor, known: Tensor, cycles: int = 3) -> Tensor:
    """Continue ``values`` harmonically into the pixels that are not known, with a free boundary at the image border.

    Args:
        values: (B, 1, H, W), read only where known.
        known: (B, 1, H, W) of 0 and 1. An image without a known pixel is filled with 0.
        cycles: of multigrid; each one more divides the error by about 4 (:mod:`bundle.physics.laplace`).

    Returns:
        (B, 1, H, W), equal to ``values`` where known.
    """
    return torch.where(known > 0.5, values, solve_laplace(values, known, cycles))
