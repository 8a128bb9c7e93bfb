"""Losses of layers with a known truth against loops written straight from the equations of the paper."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from bundle.physics.masks import overlap
from bundle.separation.losses import LayerDistance, LayerFidelity, Separation
from tests.separation.naive_losses import B, H, W, draw, masks, naive_rmse, same_value_and_gradient, visible
from torch import Tensor


def naive_bones(layers: Tensor) -> Tensor:
    return torch.stack([1 - (1 - layers[:, 0]) * (1 - layers[:, i]) for i in (1, 2)], dim=1)


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
