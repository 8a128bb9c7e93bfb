"""Errors over a region of the image, the building blocks of the losses."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from torch import Tensor
from torch.nn import functional as F


def rmse(a: Tensor, b: Tensor, region: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Compute the root mean squared error over a region per sample, ``sqrt(MSE + eps) - sqrt(eps)``.

    ``eps`` keeps the gradient finite where ``a == b``. Equal images and an empty region give exactly 0, with zero
    gradient; elsewhere the value is at most ``sqrt(eps)`` below the RMSE.

    Args:
        a: images, (B, C, H, W).
        b: images of the same shape.
        region: weights in [0, 1], (B, 1, H, W) for all channels or (B, C, H, W).
        eps: squared error below which errors become negligible.

    Returns:
        (B,), in the unit of ``a``.

    Raises:
        ValueError: if the shapes differ.
    """
    a, b = same_shape(a, b)
    mse = region_mean((a - b) ** 2, region)
    return torch.sqrt(mse + eps) - eps**0.5


def masked_bce(logits: Tensor, target: Tensor, region: Tensor) -> Tensor:
    """Compute the binary cross entropy over a region and all channels per sample.

    Args:
        logits: (B, C, H, W), before the sigmoid.
        target: probabilities in [0, 1] of the same shape (the masks of a moved bone are soft).
        region: weights in [0, 1], (B, 1, H, W) for all channels or (B, C, H, W); an empty region gives 0.

    Returns:
        (B,), in nats: 0 is perfect, log 2 is chance level.

    Raises:
        ValueError: if the shapes differ.
    """
    logits, target = same_shape(logits, target)
    return region_mean(F.binary_cross_entropy_with_logits(logits, target, reduction="none"), region)


def mean_of_known(errors: Tensor, known: Tensor) -> Tensor:
    """Average the errors (B,) whose ``known`` is 1; 0 without any.

    With several processes, the mean of the returned values is the mean over the samples of all processes.
    """
    known = known.to(errors)
    processes = idist.get_world_size()
    count = torch.as_tensor(idist.all_reduce(known.sum())) / processes
    return (errors * known).sum() / count.clamp(min=1.0 / processes)


def mean_absolute_error(a: Tensor, b: Tensor, region: Tensor) -> Tensor:
    """Compute the mean absolute error over a region, (B,); arguments as in :func:`rmse`."""
    a, b = same_shape(a, b)
    return region_mean((a - b).abs(), region)


def same_shape(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Promote both tensors to float32 or better; different shapes are an error, even if they broadcast."""
    if a.shape != b.shape:
        msg = f"both tensors must be of the same shape (B, C, H, W), got {tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(msg)
    return a.to(torch.promote_types(a.dtype, torch.float32)), b.to(torch.promote_types(b.dtype, torch.float32))


def region_mean(values: Tensor, region: Tensor) -> Tensor:
    """Compute the weighted mean per sample, (B, C, H, W) to (B,); a region smaller than a pixel counts as one pixel."""
    weights = region.to(values.dtype).expand_as(values).flatten(1)
    return (values.flatten(1) * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def slopes(layers: Tensor) -> Tensor:
    """Compute finite differences to the right and downwards, (B, C, H, W) to (B, 2 C, H - 1, W - 1)."""
    here = layers[..., :-1, :-1]
    return torch.cat([layers[..., :-1, 1:] - here, layers[..., 1:, :-1] - here], dim=1)
