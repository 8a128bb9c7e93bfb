"""Image formation against loops over the layers, in values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from bundle.physics.radiograph import (
    OPAQUE,
    attenuation,
    attenuation_shares,
    bone_radiographs,
    intensity,
    partition,
    reconstruct,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14}


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def draw_shares(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random partitions with many zeros and ones, the values at which mistakes show."""
    logits = 40.0 * draw(*shape, seed=seed) - 20.0
    shares = torch.where(draw(*shape, seed=seed + 1) > 0.3, logits.exp(), 0.0)
    shares[..., 0, :, :] += 1e-9
    return (shares / shares.sum(dim=-3, keepdim=True)).to(dtype)


def psnr(one: Tensor, other: Tensor) -> float:
    return float(-10.0 * (one - other).double().square().mean().clamp(min=1e-20).log10())


def naive_reconstruct(layers: Tensor) -> Tensor:
    transmitted = torch.ones_like(layers[:, :1])
    for layer in layers.unbind(dim=1):
        transmitted = transmitted * (1.0 - layer[:, None])
    return 1.0 - transmitted


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from(DTYPES),
)
def test_composition_is_the_loop_over_any_number_of_layers(
    shape: tuple[int, int, int, int], seed: int, dtype: torch.dtype
) -> None:
    layers = draw(*shape, seed=seed, dtype=dtype)
    composed = reconstruct(layers)
    torch.testing.assert_close(composed, naive_reconstruct(layers), atol=TOLERANCE[dtype], rtol=0)
    assert composed.dtype == dtype
    torch.testing.assert_close(torch.stack([reconstruct(one) for one in layers]), composed, atol=0, rtol=0)


def test_composition_of_one_layer_is_that_layer_and_of_air_is_air() -> None:
    layer = draw(2, 1, 4, 5)
    torch.testing.assert_close(reconstruct(layer), layer, atol=1e-15, rtol=0)
    assert torch.equal(reconstruct(torch.zeros(2, 3, 4, 5)), torch.zeros(2, 1, 4, 5))


def test_an_opaque_layer_makes_the_radiograph_opaque() -> None:
    layers = draw(1, 3, 4, 4)
    layers[:, 1] = 1.0
    assert torch.equal(reconstruct(layers), torch.ones(1, 1, 4, 4, dtype=layers.dtype))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_composition_has_the_gradient_of_the_loop(channels: int) -> None:
    layers = draw(2, channels, 3, 4)
    weight = draw(2, 1, 3, 4, seed=1)
    gradients = []
    for compose in (reconstruct, naive_reconstruct):
        leaf = layers.clone().requires_grad_()
        gradients.append(torch.autograd.grad((weight * compose(leaf)).sum(), leaf)[0])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-14, rtol=0)
    assert torch.autograd.gradcheck(reconstruct, layers.requires_grad_())


def test_composition_has_a_gradient_where_layers_are_opaque() -> None:
    layers = draw(1, 3, 2, 2)
    layers[0, 0, 0, 0] = 1.0
    layers[0, :2, 1, 1] = 1.0
    layers.requires_grad_()
    (gradient,) = torch.autograd.grad(reconstruct(layers).sum(), layers)
    others = (1.0 - layers.detach()[0, 1:, 0, 0]).prod()
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(gradient[0, 0, 0, 0], others, atol=1e-14, rtol=0)
    assert float(gradient[0, :, 1, 1].abs().sum()) == 0.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_intensity_inverts_attenuation_up_to_the_clip(dtype: torch.dtype) -> None:
    j = torch.linspace(0.0, 1.0, 4097, dtype=dtype)
    a = attenuation(j)
    torch.testing.assert_close(intensity(a), j.clamp(max=1.0 - OPAQUE), atol=TOLERANCE[dtype], rtol=0)
    torch.testing.assert_close(a[:-1], -torch.log(1.0 - j[:-1].double()).to(dtype), atol=1e-5, rtol=1e-6)
    assert bool((a.diff() >= 0).all())
    assert float(a[-1]) == pytest.approx(10.397, abs=1e-3)


def test_values_outside_the_range_are_clipped_without_a_gradient() -> None:
    j = torch.tensor([-0.5, 0.5, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    a = attenuation(j)
    a.sum().backward()
    assert torch.isfinite(a).all()
    assert j.grad is not None
    torch.testing.assert_close(j.grad, torch.tensor([0.0, 2.0, 0.0, 0.0], dtype=torch.float64))
    assert torch.equal(a[2], a[3])


@pytest.mark.parametrize("function", [attenuation, intensity])
def test_conversions_have_true_gradients(function: Callable[[Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(function, (0.98 * draw(3, 4) + 0.01).requires_grad_())


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from(DTYPES),
)
def test_any_partition_recomposes_to_the_image(shape: tuple[int, int, int, int], seed: int, dtype: torch.dtype) -> None:
    image = draw(shape[0], 1, *shape[2:], seed=seed, dtype=dtype) * 0.999
    shares = draw_shares(*shape, seed=seed, dtype=dtype)
    layers = partition(image, shares)
    torch.testing.assert_close(reconstruct(layers), image, atol=TOLERANCE[dtype], rtol=0)
    assert layers.dtype == dtype
    assert float(layers.min()) >= 0.0
    assert bool((layers <= image + TOLERANCE[dtype]).all())
    torch.testing.assert_close(layers, torch.stack([partition(j, p) for j, p in zip(image, shares, strict=True)]))


def test_a_partition_is_the_power_of_the_transmission() -> None:
    image, shares = 0.99 * draw(2, 1, 5, 6), draw_shares(2, 3, 5, 6)
    torch.testing.assert_close(partition(image, shares), 1.0 - (1.0 - image) ** shares, atol=1e-14, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_saturated_frame_recomposes_above_90_db(dtype: torch.dtype, channels: int) -> None:
    image = torch.ones(1, 1, 32, 32, dtype=dtype)
    layers = partition(image, draw_shares(1, channels, 32, 32, dtype=dtype))
    assert torch.isfinite(layers).all()
    assert float(layers.max()) <= 1.0
    assert psnr(reconstruct(layers), image) > 90.0


def test_a_partition_has_true_gradients_and_finite_ones_where_it_saturates() -> None:
    image, shares = 0.9 * draw(2, 1, 3, 4) + 0.05, draw_shares(2, 3, 3, 4)
    assert torch.autograd.gradcheck(partition, (image.requires_grad_(), shares.requires_grad_()))
    edge = torch.tensor([0.0, 1.0], dtype=torch.float64).reshape(1, 1, 1, 2).requires_grad_()
    even = torch.full((1, 3, 1, 2), 1 / 3, dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(partition(edge, even).sum(), (edge, even))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@given(seed=st.integers(0, 1000), channels=st.integers(1, 4), dtype=st.sampled_from(DTYPES))
def test_shares_are_the_inverse_of_a_partition(seed: int, channels: int, dtype: torch.dtype) -> None:
    image = 0.05 + 0.9 * draw(2, 1, 6, 7, seed=seed, dtype=dtype)
    shares = draw_shares(2, channels, 6, 7, seed=seed, dtype=dtype)
    layers = partition(image, shares)
    found = attenuation_shares(layers)
    torch.testing.assert_close(found, shares, atol=100 * TOLERANCE[dtype], rtol=0)
    torch.testing.assert_close(partition(reconstruct(layers), found), layers, atol=4 * TOLERANCE[dtype], rtol=0)
    torch.testing.assert_close(torch.stack([attenuation_shares(one) for one in layers]), found, atol=0, rtol=0)


def test_shares_of_air_belong_to_the_soft_tissue() -> None:
    layers = draw(2, 3, 4, 4)
    layers[..., 1:3, 1:3] = 0.0
    shares = attenuation_shares(layers)
    expected = torch.tensor([1.0, 0.0, 0.0], dtype=shares.dtype).reshape(1, 3, 1, 1).expand(2, 3, 2, 2)
    assert torch.equal(shares[..., 1:3, 1:3], expected)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, 4, 4, dtype=shares.dtype))


def test_shares_have_finite_gradients_where_nothing_absorbs_or_everything_does() -> None:
    layers = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.3, 1.0]], dtype=torch.float64).T.reshape(3, 2, 1, 1)
    assert torch.isfinite(torch.autograd.functional.jacobian(attenuation_shares, layers)).all()
    inside = (0.1 + 0.8 * draw(1, 3, 2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(attenuation_shares, inside)


def test_a_bone_radiograph_is_the_bone_with_its_tissue_alone() -> None:
    layers = draw(2, 3, 5, 4)
    expected = torch.cat([naive_reconstruct(layers[:, [0, bone]]) for bone in (1, 2)], dim=1)
    torch.testing.assert_close(bone_radiographs(layers), expected, atol=1e-15, rtol=0)
    torch.testing.assert_close(bone_radiographs(layers[1]), expected[1], atol=1e-15, rtol=0)
    assert torch.autograd.gradcheck(bone_radiographs, layers.requires_grad_())


def test_composition_does_not_depend_on_the_order_of_the_layers() -> None:
    layers = draw(1, 4, 6, 6)
    torch.testing.assert_close(reconstruct(layers[:, [2, 0, 3, 1]]), reconstruct(layers), atol=1e-15, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
@pytest.mark.parametrize("dtype", DTYPES)
def test_gpu_and_cpu_agree(dtype: torch.dtype) -> None:
    image, shares = draw(2, 1, 32, 32, dtype=dtype), draw_shares(2, 3, 32, 32, dtype=dtype)
    layers = partition(image, shares)
    on_gpu = partition(image.cuda(), shares.cuda())
    torch.testing.assert_close(on_gpu.cpu(), layers, atol=TOLERANCE[dtype], rtol=0)
    torch.testing.assert_close(reconstruct(on_gpu).cpu(), reconstruct(layers), atol=TOLERANCE[dtype], rtol=0)
    torch.testing.assert_close(
        attenuation_shares(on_gpu).cpu(), attenuation_shares(layers), atol=100 * TOLERANCE[dtype], rtol=0
    )
