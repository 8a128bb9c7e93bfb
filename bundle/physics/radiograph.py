"""Image formation: intensity, attenuation and the composition of layers (LSN Eq. 4).

Intensity is the absorbed fraction J in [0, 1] (bone bright), so that 1 - J is transmitted. Layers multiply in
transmission and therefore add in attenuation ``a = -log(1 - J)`` (Beer-Lambert).
"""

from __future__ import annotations

import torch
from bundle.physics.exporting import expm1
from torch import Tensor

OPAQUE = 2.0**-15
"""Smallest transmitted fraction: intensities are clipped to ``1 - OPAQUE``, so attenuation stays below 10.4.

Clipping changes the intensity of a saturated pixel by 3e-5; a fully saturated frame still has a PSNR above 90 dB.
"""


def attenuation(intensity: Tensor, opaque: float = OPAQUE) -> Tensor:
    """Convert intensities in [0, 1], of any shape, to attenuation ``-log(1 - J)`` in [0, 10.4].

    Intensities are clipped to ``[0, 1 - opaque]``; outside this range the gradient is zero.
    """
    return -torch.log1p(-intensity.clamp(0.0, 1.0 - opaque))


def intensity(attenuation: Tensor) -> Tensor:
    """Convert attenuations ``a >= 0``, of any shape, to intensity ``1 - exp(-a)`` in [0, 1)."""
    return -expm1(-attenuation)


def reconstruct(layers: Tensor) -> Tensor:
    """Compose layers to a radiograph: ``R = f_r(L) = 1 - prod_i (1 - L_i)`` (Eq. 4).

    Args:
        layers: intensities in [0, 1] of shape (B, C, H, W) or (C, H, W), any number C >= 1 of layers.

    Returns:
        The radiograph, of shape (B, 1, H, W) or (1, H, W).
    """
    transmitted = 1.0 - layers.narrow(-3, 0, 1)
    for channel in range(1, layers.shape[-3]):  # half the time of prod
        transmitted = transmitted * (1.0 - layers.narrow(-3, channel, 1))
    return 1.0 - transmitted


def partition(intensity: Tensor, shares: Tensor) -> Tensor:
    """Split a radiograph into layers by shares of its attenuation: ``L_i = 1 - (1 - J)^p_i``.

    Where the shares sum to one, ``reconstruct(partition(J, p))`` is J to float precision (exact reconstruction).

    Args:
        intensity: radiograph in [0, 1] of shape (B, 1, H, W) or (1, H, W).
        shares: partition p >= 0 of shape (B, C, H, W) or (C, H, W), summing to one over the channels.

    Returns:
        Layers with the shape of ``shares``.
    """
    return -expm1(-shares * attenuation(intensity))


def attenuation_shares(layers: Tensor) -> Tensor:
    """Compute each layer's share of the total attenuation, the inverse of :func:`partition`.

    Pixels without attenuation belong to the soft tissue (channel 0). Shapes as in :func:`reconstruct`.
    """
    parts = attenuation(layers)
    total = parts.sum(dim=-3, keepdim=True)
    empty = total <= torch.finfo(total.dtype).tiny
    shares = parts / torch.where(empty, torch.ones_like(total), total)
    soft_only = torch.zeros_like(shares)
    soft_only.narrow(-3, 0, 1).fill_(1.0)
    return torch.where(empty, soft_only, shares)


def bone_radiographs(layers: Tensor) -> Tensor:
    """Compose each bone with the soft tissue, without the other bone: ``f_r({L_0, L_i})`` (B in Eq. 11).

    Args:
        layers: layers (B, C, H, W) or (C, H, W), channel 0 soft tissue.

    Returns:
        Radiographs of shape (B, C - 1, H, W) or (C - 1, H, W).
    """
    soft = layers.narrow(-3, 0, 1)
    bones = layers.narrow(-3, 1, layers.shape[-3] - 1)
    return 1.0 - (1.0 - soft) * (1.0 - bones)
