"""The weight-free separator: soft tissue continued below the bones by the Laplace equation, in attenuation.

Tissue is smooth in attenuation, and layers add there. The attenuation of the tissue around the bones is continued
harmonically below their support and limited to the measured attenuation; the rest is bone. The support is the mask
grown past the annotated outline, which runs inside the penumbra of the bone. The code runs batched in torch and
compiles with ``torch.jit.script``.
"""

from __future__ import annotations

import math

import torch
from bundle.joint import MCP
from bundle.physics.compiling import Compiled
from bundle.physics.laplace import CYCLES, solve_laplace
from bundle.physics.masks import grow, grown, signed_distance
from bundle.physics.radiograph import attenuation, partition
from torch import Tensor

GROWTH_MM = 5 * MCP.spacing_mm
"""Distance by which the support of a bone extends past its outline: 0.41 mm, 5 pixels of the public frames."""

RAMP_MM = 6 * MCP.spacing_mm
"""Width of the transition from one bone to the other where their supports overlap: 0.49 mm."""

FADE_MM = 3 * MCP.spacing_mm
"""Distance over which a bone fades to 0 at the rim of its support: 0.25 mm."""

OWNERSHIP_RANGE_MM = GROWTH_MM + 3 * MCP.spacing_mm
"""Range of the signed distance that the ownership weights need: 0.66 mm, 8 pixels of the public frames."""


def support(masks: Tensor, spacing_mm: float = MCP.spacing_mm, growth_mm: float = GROWTH_MM) -> Tensor:
    """Compute the region where each bone may have attenuation: its mask grown by ``growth_mm``, (B, 2, H, W), binary.

    Args:
        masks: bone masks, (B, 2, H, W).
        spacing_mm: pixel size in mm.
        growth_mm: see :func:`separation_shares`.
    """
    return grow(masks, growth_mm / spacing_mm)


def separate(image: Tensor, masks: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
    """Separate radiographs without weights; :func:`bundle.physics.reconstruct` of the result is the image.

    Args:
        image: radiographs in [0, 1], (B, 1, H, W).
        masks: bone masks, (B, 2, H, W).
        spacing_mm: pixel size in mm.

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
    """Compute the share of the attenuation that the weight-free separator assigns to each layer.

    Args:
        image: radiographs in [0, 1], (B, 1, H, W).
        masks: bone masks, (B, 2, H, W); soft masks are thresholded at 0.5.
        spacing_mm: pixel size in mm.
        growth_mm: distance by which the support of a bone extends past its outline.
        ramp_mm: width of the transition from one bone to the other where their supports overlap.
        fade_mm: distance over which a bone fades to 0 at the rim of its support.

    Returns:
        (B, 3, H, W), non-negative, summing to 1; a bone's share is 0 outside its support.
    """
    distance = signed_distance(masks, math.ceil(ownership_range(growth_mm, spacing_mm)))
    return shares_by_distance(image, distance, spacing_mm, growth_mm, ramp_mm, fade_mm)


def ownership_range(growth_mm: float, spacing_mm: float, beyond_mm: float = OWNERSHIP_RANGE_MM - GROWTH_MM) -> float:
    """Range of the signed distance that the ownership weights need, in pixels."""
    return (growth_mm + beyond_mm) / spacing_mm


def shares_by_distance(
    image: Tensor,
    distance: Tensor,
    spacing_mm: float = MCP.spacing_mm,
    growth_mm: float = GROWTH_MM,
    ramp_mm: float = RAMP_MM,
    fade_mm: float = FADE_MM,
) -> Tensor:
    """Compute :func:`separation_shares` from the signed distances of the masks, (B, 2, H, W) in pixels.

    Distances are clamped to ``growth_mm`` plus 3 pixels of the public frames (:data:`OWNERSHIP_RANGE_MM`).
    """
    lengths = (float(spacing_mm), float(growth_mm), float(ramp_mm), float(fade_mm))
    if torch.jit.is_scripting():
        return _shares(image, distance, lengths)
    else:
        return _compiled_shares(image, distance, lengths)


def _shares(image: Tensor, distance: Tensor, lengths: tuple[float, float, float, float]) -> Tensor:
    """Compute the shares; ``lengths`` are spacing, growth, ramp and fade in mm."""
    spacing_mm, growth_mm, ramp_mm, fade_mm = lengths
    total = attenuation(image.detach())
    growth, owned = growth_mm / spacing_mm, ownership_range(growth_mm, spacing_mm)
    ownership = ownership_weights(distance.clamp(-owned, owned), growth, ramp_mm / spacing_mm, fade_mm / spacing_mm)
    tissue = 1.0 - grown(distance, growth).amax(dim=1, keepdim=True).to(total.dtype)
    fill = torch.minimum(laplace_fill(total, tissue).clamp(min=0.0), total)
    bone = (total - fill) / total.clamp(min=1e-12)
    bones = bone * ownership
    return torch.cat([(1.0 - bones.sum(dim=1, keepdim=True)).clamp(min=0.0), bones], dim=1)


_compiled_shares = Compiled(_shares)


def ownership_weights(distance: Tensor, growth: float, ramp: float, fade: float) -> Tensor:
    """Compute the fraction of a pixel's bone attenuation that belongs to each bone, (B, 2, H, W), with sum at most 1.

    Where the supports overlap, the weight moves from one bone to the other with the difference of their signed
    distances. The bones fade only as far as their sum does; otherwise a bright line of bone would remain in the tissue
    of a narrow gap. Arguments as in :func:`shares_by_distance`, but in pixels.
    """
    faded = ((distance + growth + 0.5) / fade).clamp(0.0, 1.0) * grown(distance, growth)
    lead = (distance[:, :1] - distance[:, 1:]) / (2.0 * ramp)
    preferred = torch.cat([0.5 + lead, 0.5 - lead], dim=1).clamp(0.0, 1.0) * faded
    owned = faded.sum(dim=1, keepdim=True).clamp(max=1.0)
    return owned * preferred / preferred.sum(dim=1, keepdim=True).clamp(min=1e-6)


def laplace_fill(values: Tensor, known: Tensor, cycles: int = CYCLES) -> Tensor:
    """Continue ``values`` harmonically into the unknown pixels, with a free boundary at the image border.

    Args:
        values: image, (B, 1, H, W); only known pixels are used.
        known: binary map of the known pixels, (B, 1, H, W). An image without a known pixel is filled with 0.
        cycles: number of multigrid cycles; each divides the error by about 4 (:mod:`bundle.physics.laplace`).

    Returns:
        (B, 1, H, W), equal to ``values`` where known.
    """
    return torch.where(known > 0.5, values, solve_laplace(values, known, cycles))
