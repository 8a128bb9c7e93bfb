"""Losses of the registration against references written from their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.registration.alignment import Alignment, narrowing
from bundle.registration.losses import (
    AlignmentLoss,
    MaskedRegistrationLoss,
    MixedRegistration,
    SeenRegistration,
    TrueRegistration,
    bone_places,
    registration_mse,
)
from bundle.registration.pairs import JointPairs
from torch import Tensor


def given(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    fixed = torch.rand(2, 1, 9, 9, generator=random, dtype=torch.float64)
    warped = torch.rand(2, 2, 9, 9, generator=random, dtype=torch.float64)
    masks = torch.zeros(2, 2, 9, 9, dtype=torch.float64)
    masks[:, 0, 4:, 1:8], masks[:, 1, :6, 2:7] = 1.0, 1.0
    return fixed, warped, masks


def naive(fixed: Tensor, warped: Tensor, masks: Tensor, gain: bool) -> list[list[float]]:
    """Pixel by pixel, gain and offset by numpy's least squares."""
    found = []
    for sample in range(len(fixed)):
        row = []
        for bone in range(2):
            pixels = [
                (fixed[sample, 0, y, x], warped[sample, bone, y, x])
                for y in range(fixed.shape[2])
                for x in range(fixed.shape[3])
                if masks[sample, bone, y, x] == 1.0 and masks[sample, 1 - bone, y, x] == 0.0
            ]
            one, other = np.array(pixels, dtype=float).T
            if gain:
                slope, offset = np.linalg.lstsq(np.stack([other, np.ones_like(other)], axis=1), one, rcond=None)[0]
                other = slope * other + offset if slope > 0.0 else np.full_like(one, one.mean())
            row.append(float(np.mean((one - other) ** 2)))
        found.append(row)
    return found


@pytest.mark.parametrize("gain", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_error_is_that_of_the_definition(gain: bool, seed: int) -> None:
    assert registration_mse(*given(seed), gain).tolist() == [pytest.approx(row) for row in naive(*given(seed), gain)]


@pytest.mark.slow
@pytest.mark.parametrize("gain", [False, True])
def test_its_gradients_are_those_of_finite_differences(gain: bool) -> None:
    fixed, warped, masks = given(1)
    warped = (0.5 * fixed + 0.5 * warped).requires_grad_()
    assert torch.autograd.gradcheck(lambda moved: registration_mse(fixed, moved, masks, gain), (warped,))


def test_another_exposure_costs_nothing_with_gain_and_something_without() -> None:
    fixed, _, masks = given()
    warped = (0.7 * fixed + 0.1).expand(-1, 2, -1, -1)
    assert float(MaskedRegistrationLoss(gain=True)(fixed, warped, masks)) == pytest.approx(0.0, abs=1e-12)
    assert float(MaskedRegistrationLoss(gain=False)(fixed, warped, masks)) > 1e-3
    negative = (1.0 - fixed).expand(-1, 2, -1, -1)
    assert float(MaskedRegistrationLoss(gain=True)(fixed, negative, masks)) > 1e-2


@pytest.mark.parametrize("gain", [False, True])
def test_an_empty_region_gives_nothing_and_has_no_gradient(gain: bool) -> None:
    fixed, warped, masks = given()
    warped = warped.requires_grad_()
    loss = MaskedRegistrationLoss(gain=gain)(fixed, warped, torch.zeros_like(masks))
    loss.backward()
    assert float(loss) == 0.0
    assert warped.grad is not None and not warped.grad.any()


def test_what_the_moving_radiograph_does_not_show_is_not_compared() -> None:
    fixed, warped, masks = given()
    seen = torch.ones_like(masks)
    seen[..., 6:] = 0.0
    elsewhere = warped + 3.0 * (1.0 - seen)
    assert torch.equal(
        registration_mse(fixed, warped, masks, seen=seen), registration_mse(fixed, elsewhere, masks, seen=seen)
    )
    assert torch.equal(
        registration_mse(fixed, warped, masks, seen=torch.ones_like(masks)), registration_mse(fixed, warped, masks)
    )


def test_shapes_that_do_not_agree_are_refused() -> None:
    fixed, warped, masks = given()
    with pytest.raises(ValueError, match="radiographs must be"):
        registration_mse(fixed, warped[:, :1], masks)


def alignments() -> tuple[Alignment, Alignment]:
    center = torch.tensor([[[0.1, 0.8], [0.0, -0.9]]]).double()
    true = torch.tensor([[[1.0, 2.0, 0.1, 0.3], [1.0, -1.0, 0.2, -0.4]]]).double()
    found = true + torch.tensor([0.01, 0.5, 0.02, -0.03])
    return Alignment.from_parameters(found, center), Alignment.from_parameters(true, center)


def test_the_distance_of_alignments_is_the_mean_over_places_of_the_bones() -> None:
    found, true = alignments()
    apart = []
    for bone, side in ((0, 1.0), (1, -1.0)):
        for down in (0.0, 3.0, 6.0):
            for across in (-3.0, 0.0, 3.0):
                place = found.center[:, bone] + torch.tensor([across, side * down])
                both = torch.stack([place, place], dim=1)[:, :, None]
                apart.append(float((found(both) - true(both))[0, bone, 0].norm()))
    jsn = abs(float(narrowing(found) - narrowing(true)))
    assert float(AlignmentLoss(places=1.0, jsn=0.0)(found, true)) == pytest.approx(np.mean(apart), abs=1e-6)
    assert float(AlignmentLoss(places=0.0, jsn=2.0)(found, true)) == pytest.approx(2.0 * jsn)
    assert bone_places(found.center).shape == (1, 2, 9, 2)


def aligned() -> tuple[JointPairs, Alignment]:
    """A pair that lies still, and an alignment whose lower bone is 0.2 mm off."""
    y, x = torch.meshgrid(*[torch.linspace(-10.5, 10.5, 65)[:-1] + 10.5 / 64] * 2, indexing="ij")
    image = (0.5 + 0.2 * torch.sin(1.3 * x) * torch.cos(0.9 * y))[None, None]
    masks = torch.stack([(y > 0.5), (y < -0.5)])[None].float()
    center = torch.tensor([[[0.0, 0.5], [0.0, -0.5]]])
    still, shifted = Alignment.still(center), Alignment.still(center)
    shifted.translation[:, 0, 1] = 0.2
    return JointPairs(torch.cat([image, masks], dim=1), image, torch.tensor([21 / 64]), center, still), shifted


def test_both_losses_fall_to_the_true_alignment() -> None:
    pairs, shifted = aligned()
    still = pairs.bones
    for loss in (TrueRegistration(), SeenRegistration(size=64)):
        assert float(loss([still], pairs)) < 0.01 * float(loss([shifted], pairs))
        assert float(loss([still, shifted], pairs)) == pytest.approx(
            (float(loss([still], pairs)) + float(loss([shifted], pairs))) / 2
        )


@pytest.mark.parametrize("known", [[True, False, False], [True] * 3, [False] * 3])
def test_pairs_of_which_nothing_is_known_are_compared_by_what_they_show(known: list[bool]) -> None:
    pairs, shifted = aligned()
    three, off = pairs.repeated(3), shifted.of_rows(torch.zeros(3, dtype=torch.long))
    three.bones.translation[~torch.tensor(known)] = torch.nan
    off.translation.requires_grad_()
    loss = MixedRegistration(TrueRegistration(), SeenRegistration(size=64), weight=100.0)
    parts = [float(TrueRegistration()([shifted], pairs)), 100.0 * float(SeenRegistration(size=64)([shifted], pairs))]
    found = loss([off, off], three)
    assert float(found) == pytest.approx((sum(known) * parts[0] + (3 - sum(known)) * parts[1]) / 3)
    (gradient,) = torch.autograd.grad(found, off.translation)
    assert gradient.isfinite().all() and (gradient[:, 0, 1] > 0.0).all()


def test_a_smooth_part_that_stays_does_not_pull_the_bones() -> None:
    y, x = torch.meshgrid(*[(torch.arange(64) - 31.5) * 21 / 64] * 2, indexing="ij")
    texture, tissue = 0.05 * torch.sin(6.0 * x) * torch.cos(5.0 * y), 0.3 + 0.02 * y
    moved = 0.05 * torch.sin(6.0 * x) * torch.cos(5.0 * (y - 0.2))
    masks = torch.stack([(y > 0.5), (y < -0.5)])[None].float()
    center = torch.tensor([[[0.0, 0.5], [0.0, -0.5]]])
    still, shifted = Alignment.still(center), Alignment.still(center)
    shifted.translation[:, :, 1] = 0.2
    fixed, moving = ((tissue + part)[None, None] for part in (texture, moved))
    pairs = JointPairs(torch.cat([fixed, masks], dim=1), moving, torch.tensor([21 / 64]), center, still)
    loss = SeenRegistration(size=64, coarse_mm=0.6)
    assert float(loss([shifted], pairs)) < 0.3 * float(loss([still], pairs))
    flat = JointPairs(torch.cat([tissue[None, None], masks], dim=1), tissue[None, None], pairs.spacing, center, still)
    assert float(loss([still], flat)) < 1e-6
