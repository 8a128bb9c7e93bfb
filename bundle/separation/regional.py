"""Errors over a region of the frame: what the losses are made of."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from torch import Tensor
from torch.nn import functional as F


def rmse(a: Tensor, b: Tensor, region: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Root mean squared error over a region, ``sqrt(MSE + eps) - sqrt(eps)``, one value a sample.

    ``eps`` keeps the gradient finite where ``a == b``. Equal images and an empty region give exactly 0, with zero
    gradient; elsewhere the value is at most ``sqrt(eps)`` below the RMSE.

    Args:
        a: (B, C, H, W).
        b: of the shape of ``a``.
        region: weights in [0, 1], (B, 1, H, W) for all channels or (B, C, H, W).
        eps: squared intensity below which errors stop mattering.

    Returns:
        (B,), in the unit of ``a``.

    Raises:
        ValueError: if the shapes differ.
    """
    a, b = same_shape(a, b)
    mse = region_mean((a - b) ** 2, region)
    return torch.sqrt(mse + eps) - eps**0.5


def masked_bce(logits: Tensor, target: Tensor, region: Tensor) -> Tensor:
    """Binary cross entropy over the pixels of a region and all channels, one value a sample.

    Args:
        logits: (B, C, H, W), before the sigmoid.
        target: probabilities in [0, 1] of the same shape (the masks of a moved bone are soft).
        region: weights in [0, 1], (B, 1, H, W) for all channels or (B, C, H, W); an empty region gives 0.

    Returns:
        (B,), in nats: 0 is perfect, log 2 is a coin.

    Raises:
        ValueError: if the shapes differ.
    """
    logits, target = same_shape(logits, target)
    return region_mean(F.binary_cross_entropy_with_logits(logits, target, reduction="none"), region)


def mean_of_known(errors: Tensor, known: Tensor) -> Tensor:
    """Mean of the errors (B,) whose ``known`` is 1, 0 without any.

    Of several processes each returns its part: the mean of what they return is the mean over all their samples.
    """
    known = known.to(errors)
    processes = idist.get_world_size()
    count = torch.as_tensor(idist.all_reduce(known.sum())) / processes
    return (errors * known).sum() / count.clamp(min=1.0 / processes)


def mean_absolute_error(a: Tensor, b: Tensor, region: Tensor) -> Tensor:
    """Mean absolute error over a region, (B,); arguments as in :func:`rmse`."""
    a, b = same_shape(a, b)
    return region_mean((a - b).abs(), region)


def same_shape(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32 or better; a shape that would broadcast is an error."""
    if a.shape != b.shape:
        msg = f"expected two tensors of one shape (B, C, H, W), got {tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(msg)
    return a.to(torch.promote_types(a.dtype, torch.float32)), b.to(torch.promote_types(b.dtype, torch.float32))


def region_mean(values: Tensor, region: Tensor) -> Tensor:
    """Weighted mean of each sample, (B, C, H, W) to (B,); a region smaller than a pixel counts as one pixel."""
    weights = region.to(values.dtype).expand_as(values).flatten(1)
    return (values.flatten(1) * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def slopes(layers: Tensor) -> Tensor:
    """Differences to the right and downwards, (B, C, H, W) to (B, 2 C, H - 1, W - 1)."""
    here = layers[..., :-1, :-1]
    return torch.cat([layers[..., :-1, 1:] - here, layers[..., 1:, :-1] - here], dim=1)
