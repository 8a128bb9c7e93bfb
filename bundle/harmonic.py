"""The weight-free separator: soft tissue continued below the bones by the Laplace equation, in attenuation.

Tissue is smooth in attenuation, and layers add there. So the tissue around the bones is continued harmonically below
their support (the masks grown past the annotated outline, which runs inside the penumbra of the bone), never above the
measured attenuation; what is left is bone. Everything runs batched in torch and compiles with ``torch.jit.script``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.masks import grow, signed_distance
from bundle.radiograph import attenuation, partition


def support(masks: Tensor, growth: int = 5) -> Tensor:
    """Where a bone may have attenuation: its mask grown by ``growth`` pixels, (B, 2, H, W) of 0 and 1."""
    return grow(masks, growth)


def separate(image: Tensor, masks: Tensor) -> Tensor:
    """Separate radiographs without weights; :func:`bundle.radiograph.reconstruct` of the result is the image.

    Args:
        image: radiographs in [0, 1], (B, 1, H, W).
        masks: bone masks, (B, 2, H, W).

    Returns:
        Layers soft tissue, lower bone, upper bone: (B, 3, H, W) in [0, 1].
    """
    return partition(image, separation_shares(image, masks))


def separation_shares(image: Tensor, masks: Tensor, growth: int = 5, ramp: float = 6.0, fade: float = 3.0) -> Tensor:
    """Shares of the attenuation that the weight-free separator gives to each layer.

    Args:
        image: radiographs in [0, 1], (B, 1, H, W).
        masks: bone masks, (B, 2, H, W); soft masks are thresholded at 0.5.
        growth: the support of a bone reaches so many pixels past its outline.
        ramp: width in pixels of the passage from one bone to the other where both supports claim a pixel.
        fade: a bone fades to nothing over so many pixels at the rim of its support.

    Returns:
        (B, 3, H, W), at least 0, summing to 1; a bone's share is 0 outside its support.
    """
    total = attenuation(image.detach())
    claims = bone_claims(masks, growth, ramp, fade)
    tissue = (support(masks, growth).amax(dim=1, keepdim=True) < 0.5).to(total.dtype)
    fill = torch.minimum(laplace_fill(total, tissue).clamp(min=0.0), total)
    bone = (total - fill) / total.clamp(min=1e-12)
    bones = bone * claims
    return torch.cat([(1.0 - bones.sum(dim=1, keepdim=True)).clamp(min=0.0), bones], dim=1)


def bone_claims(masks: Tensor, growth: int = 5, ramp: float = 6.0, fade: float = 3.0) -> Tensor:
    """Fraction of the bone attenuation at a pixel that belongs to each bone, (B, 2, H, W), summing to at most 1.

    Pixels that both supports claim pass from one bone to the other by the difference of their signed distances; there
    the bones fade only as far as they do together, or a bright line of bone would stay in a narrow gap's tissue.
    Arguments as in :func:`separation_shares`.
    """
    distance = signed_distance(masks, growth + 3)
    faded = ((distance + float(growth) + 0.5) / fade).clamp(0.0, 1.0) * support(masks, growth)
    lead = (distance[:, :1] - distance[:, 1:]) / (2.0 * ramp)
    preferred = torch.cat([0.5 + lead, 0.5 - lead], dim=1).clamp(0.0, 1.0) * faded
    claimed = faded.sum(dim=1, keepdim=True).clamp(max=1.0)
    return claimed * preferred / preferred.sum(dim=1, keepdim=True).clamp(min=1e-6)


def laplace_fill(values: Tensor, known: Tensor, iterations: int = 128) -> Tensor:
    """Continue ``values`` harmonically into the pixels that are not known, with a free boundary at the image border.

    A cascade from coarse to fine: every level starts from the coarser one's solution and improves it by conjugate
    gradients on the five-point Laplacian.

    Args:
        values: (B, 1, H, W), read only where known.
        known: (B, 1, H, W) of 0 and 1. An image without a known pixel is filled with 0.
        iterations: conjugate gradient steps a level.

    Returns:
        (B, 1, H, W), equal to ``values`` where known.
    """
    pyramid_values = [values * known]
    pyramid_known = [known]
    while min(pyramid_known[-1].shape[-2], pyramid_known[-1].shape[-1]) > 8:
        coarse_values, coarse_known = _coarsen(pyramid_values[-1], pyramid_known[-1])
        pyramid_values.append(coarse_values)
        pyramid_known.append(coarse_known)
    solution = _mean_of_known(pyramid_values[0], known)
    for level in range(len(pyramid_known) - 1, -1, -1):
        known_here = pyramid_known[level]
        solution = F.interpolate(solution, size=known_here.shape[-2:], mode="bilinear", align_corners=False)
        start = torch.where(known_here > 0.5, pyramid_values[level], solution)
        solution = _relax(start, 1.0 - known_here, iterations)
    return solution


def _mean_of_known(values: Tensor, known: Tensor) -> Tensor:
    count = known.sum(dim=(-2, -1), keepdim=True).clamp(min=1.0)
    return (values * known).sum(dim=(-2, -1), keepdim=True) / count


def _coarsen(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Halve the resolution: a coarse pixel is known when at least half of it is, by the mean of its known part."""
    weight = F.avg_pool2d(known, 2, ceil_mode=True)
    mean = F.avg_pool2d(values * known, 2, ceil_mode=True) / weight.clamp(min=0.25)
    coarse_known = (weight >= 0.5).to(values.dtype)
    return mean * coarse_known, coarse_known


def _laplacian(field: Tensor) -> Tensor:
    """Sum over the four neighbours of ``field - neighbour``; neighbours past the border count as equal (free)."""
    down = field[..., 1:, :] - field[..., :-1, :]
    right = field[..., :, 1:] - field[..., :, :-1]
    total = torch.zeros_like(field)
    total[..., 1:, :] += down
    total[..., :-1, :] -= down
    total[..., :, 1:] += right
    total[..., :, :-1] -= right
    return total


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(-3, -2, -1), keepdim=True)


def _relax(start: Tensor, unknown: Tensor, iterations: int) -> Tensor:
    """Conjugate gradients for a zero Laplacian at the unknown pixels, the others held fixed."""
    solution = start.clone()
    residual = -unknown * _laplacian(solution)
    direction = residual.clone()
    energy = _dot(residual, residual)
    for _ in range(iterations):
        response = _laplacian(direction).mul_(unknown)
        step = energy / _dot(direction, response).clamp(min=1e-20)
        solution.addcmul_(step, direction)
        residual.addcmul_(step, response, value=-1.0)
        renewed = _dot(residual, residual)
        direction.mul_(renewed / energy.clamp(min=1e-20)).add_(residual)
        energy = renewed
    return solution
