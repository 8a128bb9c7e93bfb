"""Small batches, and loops written straight from the equations of the paper."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

B, H, W = 3, 5, 4
TIGHT = 2e-6
"""Twice sqrt(eps): what the smoothed RMSE may differ from the naive one."""


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def logits(channels: int, seed: int = 0) -> Tensor:
    return 6.0 * draw(B, channels, H, W, seed=seed) - 3.0


def masks() -> Tensor:
    """Lower bone in rows 2-4, upper in rows 0-2: overlap in row 2, but none in the last sample; the first is soft."""
    m = torch.zeros(B, 2, H, W, dtype=torch.float64)
    m[:, 0, 2:, 1:] = 1.0
    m[:, 1, :3, 1:3] = 1.0
    m[0] *= draw(2, H, W, seed=7)
    m[-1, 1, 2] = 0.0
    return m


def visible() -> Tensor:
    v = torch.ones(B, 1, H, W, dtype=torch.float64)
    v[:, :, 0, 0] = 0.0
    v[1, :, :, -1] = 0.0
    return v


def pixels(channels: int) -> list[tuple[int, int, int]]:
    return list(itertools.product(range(channels), range(H), range(W)))


def naive_rmse(a: Tensor, b: Tensor, region: Tensor) -> list[Tensor]:
    result = []
    for n in range(B):
        total, area = torch.zeros((), dtype=a.dtype), 0.0
        for c, y, x in pixels(a.shape[1]):
            w = float(region[n, c if region.shape[1] > 1 else 0, y, x])
            total = total + w * (a[n, c, y, x] - b[n, c, y, x]) ** 2
            area += w
        result.append(torch.sqrt(total / max(area, 1.0)) if area else total)
    return result


def naive_bce(z: Tensor, t: Tensor, region: Tensor) -> list[Tensor]:
    result = []
    for n in range(B):
        total, area = torch.zeros((), dtype=z.dtype), 0.0
        for c, y, x in pixels(z.shape[1]):
            w, p = float(region[n, 0, y, x]), torch.sigmoid(z[n, c, y, x])
            total = total - w * (t[n, c, y, x] * torch.log(p) + (1 - t[n, c, y, x]) * torch.log(1 - p))
            area += w
        result.append(total / area)
    return result


def naive_exclusive(m: Tensor, v: Tensor) -> Tensor:
    e = torch.zeros(B, 3, H, W, dtype=m.dtype)
    for n, y, x in itertools.product(range(B), range(H), range(W)):
        lower, upper = m[n, 0, y, x], m[n, 1, y, x]
        e[n, 0, y, x] = lower * (1 - upper)
        e[n, 1, y, x] = upper * (1 - lower)
        e[n, 2, y, x] = v[n, 0, y, x] * (1 - lower) * (1 - upper)
    return e


def naive_union(m: Tensor) -> Tensor:
    return m[:, :1] + m[:, 1:] - m[:, :1] * m[:, 1:]


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def same_value_and_gradient(loss: Callable[..., Tensor], naive: Callable[..., Tensor], *inputs: Tensor) -> None:
    results = []
    for function in (loss, naive):
        leaves = [x.clone().requires_grad_() for x in inputs]
        value = function(*leaves)
        results.append((value, torch.autograd.grad(value, leaves)))
    (value, gradients), (expected, expected_gradients) = results
    torch.testing.assert_close(value, expected, atol=TIGHT, rtol=0)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert float(expected_gradient.abs().max()) > 1e-4
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-8, rtol=1e-6)
    leaves = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(loss, leaves)
