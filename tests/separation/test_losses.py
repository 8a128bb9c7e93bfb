"""Losses against loops written straight from the equations of the paper."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.physics.masks import overlap
from bundle.separation.adversarial import (
    Discrimination,
    DiscriminatorLoss,
    HingeDiscrimination,
    HingeDiscriminatorLoss,
    NonSaturatingDiscrimination,
)
from bundle.separation.losses import (
    EarlyPseudoGeneratorLoss,
    GeneratorLoss,
    LayerDistance,
    LayerFidelity,
    PseudoGeneratorLoss,
    Reconstruction,
    Separation,
    Supervision,
    SupervisorLoss,
)
from bundle.separation.regional import masked_bce, rmse
from bundle.separation.weighted_loss import WeightedLoss
from monai.bundle import ConfigParser
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


def naive_bones(layers: Tensor) -> Tensor:
    return torch.stack([1 - (1 - layers[:, 0]) * (1 - layers[:, i]) for i in (1, 2)], dim=1)


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


def separation(L: Tensor, truth: Tensor, region: Tensor | None = None, bones: Tensor | None = None) -> Separation:
    return Separation(L, masks() if bones is None else bones, visible() if region is None else region, truth)


def still_and_moved(L: Tensor, truth: Tensor) -> tuple[Separation, Separation]:
    """A motion of a column, rolled round: the soft tissue stays."""
    moved, moved_truth = (torch.cat([x[:, :1], x[:, 1:].roll(1, dims=-1)], dim=1) for x in (L, truth))
    region = visible().flip(-2)
    return separation(L, truth), separation(moved, moved_truth, region, masks().roll(1, dims=-1))


@pytest.mark.slow
@pytest.mark.parametrize("region", ["visible", "bones"])
def test_layer_fidelity_is_eq_11_over_the_samples_with_truth(region: str) -> None:
    truth, known = draw(B, 3, H, W, seed=8), torch.tensor([[1.0], [0.0], [1.0]])

    def naive(L: Tensor) -> Tensor:
        errors = [
            naive_rmse(naive_bones(s.layers), naive_bones(s.truth), s.visible if region == "visible" else s.masks)
            for s in still_and_moved(L, truth)
        ]
        return sum(0.5 * error[n] for error in errors for n in (0, 2)) / 2.0

    loss = LayerFidelity(region=region)
    same_value_and_gradient(lambda L: loss(*still_and_moved(L, truth), known), naive, draw(B, 3, H, W, seed=9))


def test_layer_fidelity_weights_scale_their_terms() -> None:
    arguments = still_and_moved(draw(B, 3, H, W, seed=9), draw(B, 3, H, W, seed=8))
    known = torch.ones(B)
    still = LayerFidelity(still=1.0, moved=0.0)(*arguments, known)
    moved = LayerFidelity(still=0.0, moved=1.0)(*arguments, known)
    assert abs(float(still - moved)) > 1e-3
    torch.testing.assert_close(LayerFidelity(still=0.25, moved=3.0)(*arguments, known), 0.25 * still + 3.0 * moved)


def test_layer_fidelity_without_any_truth_is_zero_with_zero_gradient() -> None:
    L = draw(B, 3, H, W, seed=9).requires_grad_()
    value = LayerFidelity()(*still_and_moved(L, torch.zeros(B, 3, H, W, dtype=L.dtype)), torch.zeros(B))
    value.backward()
    assert value.item() == 0.0
    assert L.grad is not None and float(L.grad.abs().max()) == 0.0


def test_layer_fidelity_does_not_see_where_bone_and_soft_tissue_merge() -> None:
    """On its own pixels only the bone together with its soft tissue counts, as in the paper."""
    truth = draw(B, 3, H, W, seed=8)
    L = truth.clone()
    L[:, 0], L[:, 1] = truth[:, 1], truth[:, 0]
    lower = torch.cat([torch.ones(B, 1, H, W), torch.zeros(B, 1, H, W)], dim=1).double()
    everywhere = separation(L, truth, torch.ones(B, 1, H, W).double(), lower)
    value = LayerFidelity(region="bones")(everywhere, everywhere, torch.ones(B))
    assert float(value) == pytest.approx(0.0, abs=1e-9)
    assert float(LayerFidelity()(everywhere, everywhere, torch.ones(B))) > 0.05


def naive_l1(a: Tensor, b: Tensor, region: Tensor) -> list[Tensor]:
    result = []
    for n in range(B):
        total, area = torch.zeros((), dtype=a.dtype), 0.0
        for c in range(a.shape[1]):
            for y, x in itertools.product(*map(range, a.shape[2:])):
                w = float(region[n, 0, y, x])
                total, area = total + w * (a[n, c, y, x] - b[n, c, y, x]).abs(), area + w
        result.append(total / max(area, 1.0))
    return result


def naive_slopes(bones: Tensor) -> Tensor:
    """Of each bone to the right, then of each downwards; the last row and column have none."""
    slopes = torch.zeros(B, 4, H, W, dtype=bones.dtype)
    for n, c, y, x in itertools.product(range(B), range(2), range(H - 1), range(W - 1)):
        slopes[n, c, y, x] = bones[n, c, y, x + 1] - bones[n, c, y, x]
        slopes[n, 2 + c, y, x] = bones[n, c, y + 1, x] - bones[n, c, y, x]
    return slopes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rmse", "l1"])
@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.75, 0.25)])
def test_layer_distance_is_the_loop_over_its_terms(kind: str, weights: tuple[float, float, float]) -> None:
    truth, known = draw(B, 3, H, W, seed=8), torch.tensor([[1.0], [0.0], [1.0]])
    distance = naive_rmse if kind == "rmse" else naive_l1
    inner = visible().clone()
    inner[..., -1, :] = inner[..., :, -1] = 0.0

    def naive(L: Tensor) -> Tensor:
        slopes = naive_slopes(L[:, 1:]), naive_slopes(truth[:, 1:])
        terms = (
            distance(L, truth, visible()),
            distance(L[:, 1:], truth[:, 1:], overlap(masks())),
            distance(*slopes, inner),
        )
        return sum(weight * (term[0] + term[2]) / 2.0 for weight, term in zip(weights, terms, strict=True))

    loss = LayerDistance(kind=kind, whole=weights[0], both=weights[1], gradient=weights[2])
    same_value_and_gradient(lambda L: loss(*still_and_moved(L, truth), known), naive, draw(B, 3, H, W, seed=9))


def test_layer_distance_weighs_still_and_moved_and_needs_no_truth_of_what_has_no_weight() -> None:
    still, moved = still_and_moved(draw(B, 3, H, W, seed=9), draw(B, 3, H, W, seed=8))
    known = torch.ones(B)
    first, second = LayerDistance().error(still).mean(), LayerDistance().error(moved).mean()
    value = LayerDistance(still=0.25, moved=3.0)(still, moved, known)
    torch.testing.assert_close(value, 0.25 * first + 3.0 * second)
    unknown = Separation(moved.layers, moved.masks, moved.visible)
    torch.testing.assert_close(LayerDistance()(still, unknown, known), first)
    with pytest.raises(ValueError, match="true layers of the separated joints are unknown"):
        LayerDistance(moved=1.0)(still, unknown, known)


def test_several_motions_of_a_batch_count_as_one() -> None:
    still, moved = still_and_moved(draw(B, 3, H, W, seed=9), draw(B, 3, H, W, seed=8))
    fields = ("layers", "masks", "visible", "truth")
    twice = Separation(*(torch.cat([getattr(moved, name), getattr(still, name)]) for name in fields))
    known, loss = torch.tensor([0.0, 1.0, 1.0]), LayerFidelity()
    expected = (loss(still, moved, known) + loss(still, still, known)) / 2.0
    torch.testing.assert_close(loss(still, twice, known), expected)


@pytest.mark.parametrize("loss", [LayerFidelity(), LayerDistance(gradient=1.0), LayerDistance(kind="l1", moved=1.0)])
def test_right_layers_without_overlap_have_no_loss_and_a_finite_gradient(loss: LayerFidelity | LayerDistance) -> None:
    L = draw(B, 3, H, W, seed=9).requires_grad_()
    joints = separation(L, L.detach().clone(), bones=torch.zeros_like(masks()))
    value = loss(joints, joints, torch.ones(B))
    value.backward()
    assert value.item() == 0.0
    assert L.grad is not None and bool(L.grad.isfinite().all())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LayerFidelity(region="frame"), "visible or bones, got frame"),
        (lambda: LayerDistance(kind="l2"), "rmse or l1, got l2"),
    ],
)
def test_an_unknown_kind_of_layer_loss_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_losses_agree_on_the_gpu() -> None:
    R, J, m, v = draw(B, 1, H, W, seed=5), draw(B, 1, H, W, seed=4), masks(), visible()
    z = logits(3)
    on_gpu = Reconstruction()(R.cuda(), J.cuda(), m.cuda(), v.cuda()) + Supervision()(z.cuda(), m.cuda(), v.cuda())
    torch.testing.assert_close(on_gpu.cpu(), Reconstruction()(R, J, m, v) + Supervision()(z, m, v))


def test_an_extra_loss_lies_in_any_module_that_python_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "class Mean:\n    def __call__(self, layers, batch):\n        return layers.mean()\n"
    (tmp_path / "own_module_of_losses.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    term = {"_target_": "bundle.separation.WeightedLoss", "loss": {"_target_": "own_module_of_losses.Mean"}}
    made = ConfigParser({"extra_losses": {"mean": {**term, "weight": 0.5}}}).get_parsed_content("extra_losses")["mean"]
    assert made.weight == 0.5
    assert made(torch.full((2, 3, 4, 4), 0.25), {}) == 0.25


@pytest.mark.parametrize("returned", [torch.zeros(2), 0.0])
def test_an_extra_loss_that_is_no_scalar_is_refused_by_its_name(returned: Any) -> None:
    def per_sample(layers: Tensor, batch: Any) -> Any:
        return returned

    message = r"extra_losses: per_sample returns .*, not a scalar\. Return the mean over the batch"
    with pytest.raises(InputError, match=message):
        WeightedLoss(per_sample)(torch.zeros(2, 3, 4, 4), {})


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_an_extra_loss_has_a_finite_weight(weight: float) -> None:
    with pytest.raises(ValueError, match="weight of an extra loss"):
        WeightedLoss(lambda layers, batch: layers.mean(), weight)
