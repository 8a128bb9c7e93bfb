"""Errors over a region against loops over its pixels."""

from __future__ import annotations

import math

import pytest
import torch
from bundle.separation.regional import masked_bce, rmse
from tests.separation.naive_losses import (
    TIGHT,
    B,
    H,
    W,
    draw,
    logits,
    masks,
    mean,
    naive_bce,
    naive_rmse,
    same_value_and_gradient,
    visible,
)


def test_rmse_is_the_loop_over_the_region() -> None:
    a, b = draw(B, 2, H, W, seed=1), draw(B, 2, H, W, seed=2)
    same_value_and_gradient(
        lambda a, b: rmse(a, b, visible()).mean(), lambda a, b: mean(naive_rmse(a, b, visible())), a, b
    )


def test_rmse_takes_one_region_for_each_channel() -> None:
    a, b = draw(B, 2, H, W, seed=1), draw(B, 2, H, W, seed=2)
    torch.testing.assert_close(rmse(a, b, masks()), torch.stack(naive_rmse(a, b, masks())), atol=TIGHT, rtol=0)


def test_rmse_of_a_constant_error_is_that_error() -> None:
    b = draw(B, 1, H, W)
    torch.testing.assert_close(rmse(b + 0.25, b, visible()), torch.full((B,), 0.25, dtype=b.dtype), atol=TIGHT, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rmse_over_an_empty_region_is_zero_with_zero_gradient(dtype: torch.dtype) -> None:
    a = draw(B, 1, H, W).to(dtype).requires_grad_()
    value = rmse(a, torch.zeros_like(a), torch.zeros_like(a))
    value.sum().backward()
    assert value.tolist() == [0.0] * B
    assert a.grad is not None and float(a.grad.abs().max()) == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rmse_of_equal_images_is_zero_with_a_finite_gradient(dtype: torch.dtype) -> None:
    a = draw(B, 1, H, W).to(dtype).requires_grad_()
    value = rmse(a, a.detach().clone(), torch.ones_like(a))
    value.sum().backward()
    assert value.tolist() == [0.0] * B
    assert a.grad is not None and bool(a.grad.isfinite().all())


def test_rmse_refuses_shapes_that_would_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(3, 1, 5, 4\) and \(3, 3, 5, 4\)"):
        rmse(draw(B, 1, H, W), draw(B, 3, H, W), visible())


def test_bce_is_the_loop_over_the_region() -> None:
    target = draw(B, 3, H, W, seed=3)
    same_value_and_gradient(
        lambda z: masked_bce(z, target, visible()).mean(), lambda z: mean(naive_bce(z, target, visible())), logits(3)
    )


def test_bce_of_undecided_logits_is_log_two() -> None:
    value = masked_bce(torch.zeros(B, 3, H, W), draw(B, 3, H, W).float(), visible().float())
    torch.testing.assert_close(value, torch.full((B,), math.log(2.0)))


def test_bce_of_extreme_logits_is_finite() -> None:
    z = torch.full((B, 1, H, W), 1e4, requires_grad=True)
    value = masked_bce(z, torch.zeros(B, 1, H, W), visible().float()).sum()
    value.backward()
    assert value.item() == pytest.approx(B * 1e4)
    assert z.grad is not None and bool(z.grad.isfinite().all())


def test_bce_does_not_see_outside_the_region() -> None:
    target = draw(B, 3, H, W, seed=3)
    elsewhere = logits(3) + 5.0 * (1.0 - visible())
    assert torch.equal(masked_bce(elsewhere, target, visible()), masked_bce(logits(3), target, visible()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_float32_under_autocast(dtype: torch.dtype) -> None:
    """Half-precision logits and layers must not round the loss: 256 x 256 squares of 1e-4 vanish in float16."""
    J = torch.full((1, 1, 64, 64), 0.5)
    everywhere, z = torch.ones(1, 1, 64, 64), torch.full((1, 1, 64, 64), 0.01)
    with torch.autocast("cpu", dtype=dtype):
        error = rmse((J + 2.0**-8).to(dtype), J.to(dtype), everywhere)
        entropy = masked_bce(z.to(dtype), everywhere, everywhere)
    assert error.dtype == entropy.dtype == torch.float32
    torch.testing.assert_close(error, torch.tensor([2.0**-8]), rtol=1e-3, atol=0)
    torch.testing.assert_close(entropy, torch.tensor([math.log1p(math.exp(-0.01))]), rtol=1e-4, atol=0)
