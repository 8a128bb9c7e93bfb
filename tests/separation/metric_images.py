"""Images and layers that metrics compare."""

from __future__ import annotations

from typing import Any

import torch
from bundle.physics.radiograph import partition
from bundle.separation.metrics import SeparationMetric
from torch import Tensor

B, H, W = 3, 20, 17


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def images() -> Tensor:
    """[J, masks]: air on the left, bones that overlap in rows 9-11, but not in the last image."""
    J = 0.2 + 0.6 * draw(B, 1, H, W, seed=1)
    J[..., :5] = 0.0
    M = torch.zeros(B, 2, H, W)
    M[:, 0, 9:, 8:13] = 1.0
    M[:, 1, :12, 8:13] = 1.0
    M[-1, 1, 9:12] = 0.0
    return torch.cat([J, M], dim=1)


def layers(seed: int = 2) -> Tensor:
    """Noisy thirds of the attenuation: R is near J, also where there is nothing but air."""
    image = images()
    return (partition(image[:, :1], torch.full((B, 3, H, W), 1 / 3)) + 0.05 * draw(B, 3, H, W, seed=seed)).clamp(0, 1)


def per_image(metric: SeparationMetric, y_pred: Any, y: Any) -> list[float]:
    metric.reset()
    metric(y_pred, y)
    values: Tensor = metric.get_buffer()
    assert values.shape == (len(y_pred), 1)
    return [float(v) for v in values[:, 0]]
