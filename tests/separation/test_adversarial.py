"""Losses of the generator and of the discriminator against loops written straight from the equations of the paper."""

from __future__ import annotations

import math

import pytest
import torch
from bundle.separation.adversarial import (
    Discrimination,
    DiscriminatorLoss,
    HingeDiscrimination,
    HingeDiscriminatorLoss,
    NonSaturatingDiscrimination,
)
from tests.separation.naive_losses import (
    B,
    logits,
    masks,
    mean,
    naive_bce,
    naive_union,
    pixels,
    same_value_and_gradient,
    visible,
)
from torch import Tensor


def test_discrimination_is_eq_7_while_below_the_bound() -> None:
    z = 0.2 * logits(1)
    same_value_and_gradient(
        lambda z: Discrimination()(z, masks(), visible()),
        lambda z: 1.0 - mean(naive_bce(z, naive_union(masks()), visible())),
        z,
    )


def test_discrimination_stops_at_the_bound() -> None:
    hard = (masks() > 0.0).double()
    fooled = (40.0 - 80.0 * naive_union(hard)).requires_grad_()
    value = Discrimination(bound=1.5)(fooled, hard, visible())
    value.backward()
    assert value.item() == pytest.approx(-0.5)
    assert fooled.grad is not None and float(fooled.grad.abs().max()) == 0.0


def test_discrimination_bounds_each_sample_and_not_the_mean() -> None:
    hard = (masks() > 0.0).double()
    z = 0.1 * logits(1)
    z[0] = (40.0 - 80.0 * naive_union(hard))[0]
    z.requires_grad_()
    Discrimination()(z, hard, visible()).backward()
    assert z.grad is not None
    assert float(z.grad[0].abs().max()) == 0.0
    assert float(z.grad[1].abs().max()) > 0.0


def test_non_saturating_discrimination_is_the_loop_over_the_bones() -> None:
    region = naive_union(masks()) * visible()

    def naive(z: Tensor) -> Tensor:
        result = []
        for n in range(B):
            errors = [-region[n, 0, y, x] * torch.log(1 - torch.sigmoid(z[n, 0, y, x])) for _, y, x in pixels(1)]
            result.append(torch.stack(errors).sum() / max(float(region[n].sum()), 1.0))
        return mean(result)

    same_value_and_gradient(lambda z: NonSaturatingDiscrimination()(z, masks(), visible()), naive, logits(1))


@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_hinge_discrimination_is_the_loop_over_the_bones(margin: float) -> None:
    region = naive_union(masks()) * visible()

    def naive(z: Tensor) -> Tensor:
        result = []
        for n in range(B):
            errors = [
                region[n, 0, y, x] * (z[n, 0, y, x] + margin)
                for _, y, x in pixels(1)
                if float(z[n, 0, y, x].detach()) > -margin
            ]
            result.append(torch.stack(errors).sum() / max(float(region[n].sum()), 1.0))
        return mean(result)

    same_value_and_gradient(lambda z: HingeDiscrimination(margin=margin)(z, masks(), visible()), naive, logits(1))


def test_hinge_discriminator_loss_is_the_loop_over_the_visible_pixels() -> None:
    target = naive_union(masks())

    def naive(z: Tensor) -> Tensor:
        result = []
        for n in range(B):
            total = torch.zeros((), dtype=z.dtype)
            for _, y, x in pixels(1):
                w, t = float(visible()[n, 0, y, x]), float(target[n, 0, y, x])
                bone, tissue = (1 - z[n, 0, y, x]).clamp(min=0), (1 + z[n, 0, y, x]).clamp(min=0)
                total = total + w * (t * bone + (1 - t) * tissue)
            result.append(total / visible()[n].sum())
        return mean(result)

    same_value_and_gradient(lambda z: HingeDiscriminatorLoss()(z, masks(), visible()), naive, logits(1))


@pytest.mark.parametrize(
    ("loss", "chance"),
    [
        (NonSaturatingDiscrimination(), math.log(2.0)),
        (HingeDiscrimination(margin=0.0), 0.0),
        (HingeDiscrimination(), 1.0),
    ],
)
def test_other_adversaries_punish_a_found_shadow_and_not_what_is_said_of_the_tissue(
    loss: Discrimination, chance: float
) -> None:
    hard = (masks() > 0.0).double()
    bone = naive_union(hard)
    values = [float(loss(level * bone + 7.0 * (1.0 - bone), hard, visible())) for level in (-3.0, 0.0, 3.0)]
    assert values[0] < 0.06
    assert values[1] == pytest.approx(chance)
    assert values[2] > 2.9


def test_discriminator_loss_is_eq_9() -> None:
    same_value_and_gradient(
        lambda z: DiscriminatorLoss()(z, masks(), visible()),
        lambda z: mean(naive_bce(z, naive_union(masks()), visible())),
        logits(1),
    )


def test_generator_and_discriminator_pull_the_shadow_in_opposite_directions() -> None:
    z = (0.2 * logits(1)).requires_grad_()
    seek = torch.autograd.grad(DiscriminatorLoss()(z, masks(), visible()), z)[0]
    hide = torch.autograd.grad(Discrimination()(z, masks(), visible()), z)[0]
    torch.testing.assert_close(hide, -seek)
