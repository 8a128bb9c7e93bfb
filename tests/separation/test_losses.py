"""Losses of the generator and the supervisor against loops written straight from the equations of the paper."""

from __future__ import annotations

import math

import pytest
import torch
from bundle.physics.masks import overlap
from bundle.separation.losses import (
    EarlyPseudoGeneratorLoss,
    GeneratorLoss,
    PseudoGeneratorLoss,
    Reconstruction,
    Supervision,
    SupervisorLoss,
)
from tests.separation.naive_losses import (
    B,
    H,
    W,
    draw,
    logits,
    masks,
    mean,
    naive_bce,
    naive_exclusive,
    naive_rmse,
    same_value_and_gradient,
    visible,
)
from torch import Tensor


def test_reconstruction_is_eq_7() -> None:
    J = draw(B, 1, H, W, seed=4)

    def naive(R: Tensor) -> Tensor:
        return mean(naive_rmse(R, J, visible())) + mean(naive_rmse(R, J, overlap(masks())))

    assert float(overlap(masks())[-1].sum()) == 0.0
    same_value_and_gradient(lambda R: Reconstruction()(R, J, masks(), visible()), naive, draw(B, 1, H, W, seed=5))


def test_reconstruction_weights_scale_their_terms() -> None:
    R, J = draw(B, 1, H, W, seed=5), draw(B, 1, H, W, seed=4)
    whole = Reconstruction(both=0.0)(R, J, masks(), visible())
    both = Reconstruction(whole=0.0)(R, J, masks(), visible())
    assert float(both) > 0.0
    torch.testing.assert_close(Reconstruction(whole=2.0, both=0.2)(R, J, masks(), visible()), 2.0 * whole + 0.2 * both)


def test_supervision_is_eq_7() -> None:
    target = naive_exclusive(masks(), visible())
    same_value_and_gradient(
        lambda z: Supervision()(z, masks(), visible()), lambda z: mean(naive_bce(z, target, visible())), logits(3)
    )


def test_supervision_reaches_its_least_value_at_the_exclusive_maps() -> None:
    hard = (masks() > 0.0).double()
    right = 40.0 * naive_exclusive(hard, visible()) - 20.0
    assert float(Supervision()(right, hard, visible())) < 1e-8
    assert float(Supervision()(-right, hard, visible())) == pytest.approx(20.0)


PARTS = {
    "reconstruction": torch.tensor(1.0),
    "supervision": torch.tensor(10.0),
    "discrimination": torch.tensor(100.0),
    "layers": torch.tensor(1000.0),
}


@pytest.mark.parametrize(
    ("loss", "total"),
    [
        (GeneratorLoss(), 0.6 + 3.0 + 10.0),
        (PseudoGeneratorLoss(), 0.5 + 2.0 + 20.0 + 100.0),
        (EarlyPseudoGeneratorLoss(), 1.0 + 4.0 + 400.0),
        (GeneratorLoss(reconstruction=2.0, supervision=0.0, layers=0.5), 2.0 + 10.0 + 500.0),
    ],
)
def test_generator_losses_have_the_weights_of_eq_7_and_11(loss: GeneratorLoss, total: float) -> None:
    assert float(loss(PARTS)) == pytest.approx(total)


@pytest.mark.parametrize(
    ("loss", "unused"), [(GeneratorLoss(), "layers"), (EarlyPseudoGeneratorLoss(), "discrimination")]
)
def test_a_part_without_weight_is_not_needed(loss: GeneratorLoss, unused: str) -> None:
    assert not loss.uses(unused)
    assert all(loss.uses(part) for part in PARTS if part != unused)
    needed = {part: value for part, value in PARTS.items() if part != unused}
    assert torch.equal(loss(needed), loss({**PARTS, unused: torch.tensor(math.nan)}))


def test_the_generator_loss_hands_each_part_its_weight_as_gradient() -> None:
    parts = {part: value.clone().requires_grad_() for part, value in PARTS.items()}
    PseudoGeneratorLoss()(parts).backward()
    assert {part: float(value.grad) for part, value in parts.items() if value.grad is not None} == pytest.approx(
        {"reconstruction": 0.5, "supervision": 0.2, "discrimination": 0.2, "layers": 0.1}
    )


def test_a_missing_part_is_named() -> None:
    with pytest.raises(ValueError, match=r"supervision.*got \['reconstruction'\]"):
        GeneratorLoss()({"reconstruction": torch.tensor(1.0)})


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_a_weight_that_makes_no_sense_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight of supervision"):
        GeneratorLoss(supervision=weight)


def test_a_generator_without_any_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        GeneratorLoss(reconstruction=0.0, supervision=0.0, discrimination=0.0)(PARTS)


def test_supervisor_loss_is_eq_8() -> None:
    target = naive_exclusive(masks(), visible())
    same_value_and_gradient(
        lambda z: SupervisorLoss()(z, masks(), visible()), lambda z: mean(naive_bce(z, target, visible())), logits(3)
    )


@pytest.mark.slow
def test_supervisor_loss_on_pseudo_images_is_eq_12() -> None:
    source_masks = masks().flip(-1)
    targets = naive_exclusive(masks(), visible()), naive_exclusive(source_masks, visible())

    def naive(z: Tensor, s: Tensor) -> Tensor:
        return 0.5 * mean(naive_bce(z, targets[0], visible())) + 0.5 * mean(naive_bce(s, targets[1], visible()))

    same_value_and_gradient(
        lambda z, s: SupervisorLoss()(z, masks(), visible(), (s, source_masks, visible())),
        naive,
        logits(3, seed=1),
        logits(3, seed=2),
    )


def test_an_image_that_is_its_own_source_turns_eq_12_into_eq_8() -> None:
    sample = logits(3), masks(), visible()
    torch.testing.assert_close(SupervisorLoss()(*sample, sample), SupervisorLoss()(*sample))
    torch.testing.assert_close(SupervisorLoss(pseudo=0.5, source=2.0)(*sample, sample), 2.5 * SupervisorLoss()(*sample))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_losses_agree_on_the_gpu() -> None:
    R, J, m, v = draw(B, 1, H, W, seed=5), draw(B, 1, H, W, seed=4), masks(), visible()
    z = logits(3)
    on_gpu = Reconstruction()(R.cuda(), J.cuda(), m.cuda(), v.cuda()) + Supervision()(z.cuda(), m.cuda(), v.cuda())
    torch.testing.assert_close(on_gpu.cpu(), Reconstruction()(R, J, m, v) + Supervision()(z, m, v))
