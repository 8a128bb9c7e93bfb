"""Heads: Eq. 1 of the sigmoid head; what the partition head promises for any logits."""

from __future__ import annotations

import math

import pytest
import torch
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate, separation_shares, support
from bundle.physics.masks import visible_region
from bundle.physics.radiograph import attenuation, reconstruct
from bundle.separation.heads import EstimateHead, PartitionHead, SigmoidHead
from torch import Tensor

SIZE = 64


@pytest.fixture(scope="module")
def joints() -> Tensor:
    """Two phantoms whose bones overlap and one with a joint space: (3, 3, H, W)."""
    drawn = [
        sample_parameters(seed, outline_gap_mm=jsw, size=SIZE, spacing=21 / SIZE)
        for seed, jsw in enumerate((-1, -0.5, 2))
    ]
    return torch.stack([torch.cat([phantom.image, phantom.masks]) for phantom in map(render, drawn)])


@pytest.fixture(scope="module")
def features(joints: Tensor) -> Tensor:
    return PartitionHead().prepare(joints)


def draw_logits(scale: float, like: Tensor, seed: int = 0) -> Tensor:
    noise = torch.randn(like[:, :3].shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (scale * noise).to(like.dtype)


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """Of each sample of its own, in dB, for a range of 1."""
    return -10.0 * (image - reference).double().square().mean(dim=(1, 2, 3)).clamp(min=1e-30).log10()


def naive_shares(logits: Tensor, features: Tensor, mixture: float) -> Tensor:
    """The definition in the docstring of PartitionHead, pixel by pixel."""
    allowed = torch.cat([torch.ones_like(features[:, :1]), support(features[:, 1:3])], dim=1)
    result = torch.zeros_like(logits)
    for b in range(logits.shape[0]):
        for y in range(logits.shape[2]):
            for x in range(logits.shape[3]):
                layers = [i for i in range(3) if allowed[b, i, y, x] > 0.5]
                p = [features[b, 3 + i, y, x].item() for i in layers]
                s = [(1 - mixture) * share + mixture / len(layers) for share in p]
                weights = [s[k] * math.exp(logits[b, i, y, x].item()) for k, i in enumerate(layers)]
                q = [weight / sum(weights) for weight in weights]
                w = min(q[k] / s[k] for k in range(len(layers)))
                for k, i in enumerate(layers):
                    result[b, i, y, x] = q[k] + w * (p[k] - s[k])
    return result


def test_sigmoid_head_is_eq_1(joints: Tensor) -> None:
    head = SigmoidHead()
    features = head.prepare(joints)
    logits = draw_logits(3.0, joints)
    visible = visible_region(joints[:, :1], joints[:, 1:])
    expected = torch.stack([visible[:, 0], joints[:, 1], joints[:, 2]], dim=1) / (1.0 + (-logits).exp())
    torch.testing.assert_close(head(logits, features), expected)


def test_sigmoid_head_is_zero_outside_the_masks(joints: Tensor) -> None:
    layers = SigmoidHead()(torch.full_like(joints, 9.0), joints)
    assert (layers[:, 1:][joints[:, 1:] == 0] == 0).all()
    assert (layers[:, :1][visible_region(joints[:, :1], joints[:, 1:]) == 0] == 0).all()
    assert (layers[:, 1:][joints[:, 1:] == 1] > 0.99).all()


@pytest.mark.parametrize("mixture", [0.01, 0.3, 1.0])
def test_zero_logits_are_the_weight_free_solution(joints: Tensor, mixture: float) -> None:
    head = PartitionHead(mixture)
    features = head.prepare(joints)
    layers = head(torch.zeros_like(joints), features)
    torch.testing.assert_close(layers, separate(joints[:, :1], joints[:, 1:]), rtol=0.0, atol=2e-6)


def test_equal_logits_change_nothing(joints: Tensor, features: Tensor) -> None:
    shares = PartitionHead().shares(torch.full_like(joints, 7.0), features)
    torch.testing.assert_close(shares, separation_shares(joints[:, :1], joints[:, 1:]), rtol=0.0, atol=3e-6)


def test_shares_follow_their_definition(features: Tensor) -> None:
    crop = features.double()[:2, :, 20:44, 24:40]
    logits = draw_logits(2.0, crop)
    torch.testing.assert_close(PartitionHead(0.2).shares(logits, crop), naive_shares(logits, crop, 0.2))


@pytest.mark.parametrize("scale", [0.1, 3.0, 1e4])
def test_layers_compose_to_the_radiograph_for_any_logits(joints: Tensor, features: Tensor, scale: float) -> None:
    layers = PartitionHead()(draw_logits(scale, joints), features)
    assert layers.min() >= 0.0
    assert layers.max() <= 1.0
    assert (psnr(reconstruct(layers), joints[:, :1]) > 90.0).all()


@pytest.mark.parametrize("image", ["noise", "saturated", "black", "stripes"])
def test_layers_compose_to_any_radiograph(joints: Tensor, image: str) -> None:
    radiograph = {
        "noise": torch.rand(3, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)),
        "saturated": torch.ones(3, 1, SIZE, SIZE),
        "black": torch.zeros(3, 1, SIZE, SIZE),
        "stripes": (torch.arange(SIZE) % 2).float().expand(3, 1, SIZE, SIZE),
    }[image]
    head = PartitionHead()
    features = head.prepare(torch.cat([radiograph, joints[:, 1:]], dim=1))
    layers = head(draw_logits(3.0, joints), features)
    assert (psnr(reconstruct(layers), radiograph) > 90.0).all()


def test_bones_are_exactly_zero_outside_their_support(joints: Tensor, features: Tensor) -> None:
    outside = support(joints[:, 1:]) == 0
    assert outside.any()
    logits = torch.full_like(joints, 1e4)
    logits[:, 0] = -1e4
    assert (PartitionHead()(logits, features)[:, 1:][outside] == 0).all()


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_large_logit_gives_its_layer_everything_wherever_it_is_allowed(
    joints: Tensor, features: Tensor, layer: int
) -> None:
    logits = torch.zeros_like(joints)
    logits[:, layer] = 25.0
    share = PartitionHead().shares(logits, features)[:, layer]
    allowed = torch.ones_like(share) if layer == 0 else support(joints[:, 1:])[:, layer - 1]
    assert share[allowed > 0.5].min() > 0.9999


@pytest.mark.parametrize("layer", [1, 2])
def test_a_bone_without_a_share_in_the_prior_is_within_reach_of_a_logit_of_a_few(
    joints: Tensor, features: Tensor, layer: int
) -> None:
    absent = (features[:, 3 + layer] < 1e-6) & (support(joints[:, 1:])[:, layer - 1] > 0.5)
    assert absent.any()
    logits = torch.zeros_like(joints)
    logits[:, layer] = 3.0
    assert PartitionHead().shares(logits, features)[:, layer][absent].min() > 0.5


def test_shares_sum_to_one_and_grow_with_their_logit(joints: Tensor, features: Tensor) -> None:
    head = PartitionHead()
    logits = draw_logits(2.0, joints)
    shares = head.shares(logits, features)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(3, SIZE, SIZE))
    for layer in range(3):
        more = logits.clone()
        more[:, layer] += 0.5
        assert (head.shares(more, features)[:, layer] >= shares[:, layer] - 1e-6).all()


def test_gradients_of_the_shares_are_right(features: Tensor) -> None:
    crop = features.double()[:1, :, 30:35, 30:34]
    logits = draw_logits(1.0, crop).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: PartitionHead().shares(z, crop), (logits,))


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("image", ["joint", "saturated", "black"])
def test_gradients_are_finite_for_any_logits(joints: Tensor, scale: float, image: str) -> None:
    radiograph = {"joint": joints[:, :1], "saturated": torch.ones(3, 1, SIZE, SIZE), "black": joints[:, :1] * 0}[image]
    head = PartitionHead()
    features = head.prepare(torch.cat([radiograph, joints[:, 1:]], dim=1))
    logits = draw_logits(scale, joints).requires_grad_()
    head(logits, features).square().sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_gradients_at_the_start_reach_layers_without_a_share(joints: Tensor, features: Tensor) -> None:
    logits = torch.zeros_like(joints, requires_grad=True)
    layers = PartitionHead()(logits, features)
    both = support(joints[:, 1:]).prod(dim=1) > 0.5
    layers[:, 2][both].sum().backward()
    assert logits.grad is not None
    assert (logits.grad[:, 2][both] > 1e-3).float().mean() > 0.9


def test_prior_carries_no_gradient_to_the_image(joints: Tensor) -> None:
    image = joints.clone().requires_grad_()
    assert not PartitionHead().prepare(image)[:, 3:].detach().isnan().any()
    PartitionHead().prepare(image)[:, 3:].sum().backward()
    assert image.grad is not None
    assert (image.grad == 0).all()


def test_joints_without_bones_are_all_soft_tissue(joints: Tensor) -> None:
    image = joints.clone()
    image[:, 1:] = 0.0
    head = PartitionHead()
    layers = head(draw_logits(5.0, joints), head.prepare(image))
    torch.testing.assert_close(layers[:, :1], image[:, :1].clamp(max=1 - 2**-15))
    assert (layers[:, 1:] == 0).all()


@pytest.mark.parametrize("head", [SigmoidHead(), PartitionHead()])
def test_layers_keep_the_precision_of_the_image(head: SigmoidHead | PartitionHead, joints: Tensor) -> None:
    layers = head(draw_logits(1.0, joints).bfloat16(), head.prepare(joints))
    assert layers.dtype == torch.float32


@pytest.mark.parametrize("mixture", [0.0, -0.1, 1.5])
def test_a_mixture_out_of_range_is_refused(mixture: float) -> None:
    with pytest.raises(ValueError, match=r"mixture must be in \(0, 1\]"):
        PartitionHead(mixture)


@pytest.mark.parametrize("reach", [1, 8])
def test_distances_to_the_outlines_are_features_on_request(joints: Tensor, reach: int) -> None:
    head = PartitionHead(reach_mm=reach * MCP.spacing_mm)
    features = head.prepare(joints)
    assert features.shape[1] == head.in_channels == PartitionHead().in_channels + 2
    assert torch.equal(features[:, :6], PartitionHead().prepare(joints))
    inside = joints[:, 1:] > 0.5
    assert (features[:, 6:][inside] > 0).all() and (features[:, 6:][~inside] < 0).all()
    assert features[:, 6:].abs().max() == 1


def test_distances_change_no_layer_by_themselves(joints: Tensor) -> None:
    logits = draw_logits(1.0, joints)
    plain, told = PartitionHead(), PartitionHead(reach_mm=8 * MCP.spacing_mm)
    assert torch.equal(plain(logits, plain.prepare(joints)), told(logits, told.prepare(joints)))


def test_a_negative_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="reach_mm at least 0"):
        PartitionHead(reach_mm=-1.0)


def test_a_head_with_distances_compiles_to_torchscript(joints: Tensor) -> None:
    head = PartitionHead(reach_mm=8 * MCP.spacing_mm)
    features = head.prepare(joints)
    logits = draw_logits(1.0, joints)
    torch.testing.assert_close(torch.jit.script(head)(logits, features), head(logits, features))


# ---- estimates -----------------------------------------------------------------------------------------------------


def six(scale: float, like: Tensor) -> Tensor:
    """Logits and estimates."""
    return torch.cat([draw_logits(scale, like), draw_logits(scale, like, seed=1)], dim=1)


def naive_parts(outputs: Tensor, features: Tensor, mixture: float) -> Tensor:
    """The definition in the docstring of EstimateHead, pixel by pixel: attenuation of the layers."""
    shares = naive_shares(outputs[:, :3], features, mixture)
    allowed = torch.cat([torch.ones_like(features[:, :1]), support(features[:, 1:3])], dim=1)
    result = torch.zeros_like(shares)
    for b in range(shares.shape[0]):
        for y in range(shares.shape[2]):
            for x in range(shares.shape[3]):
                total = -math.log(1.0 - features[b, 0, y, x].item())
                m = [outputs[b, 3 + i, y, x].item() * allowed[b, i, y, x].item() for i in range(3)]
                parts = [max(0.0, m[i] + shares[b, i, y, x].item() * (total - sum(m))) for i in range(3)]
                for i in range(3):
                    result[b, i, y, x] = parts[i] / sum(parts) * total
    return result


def test_estimates_and_shares_of_the_rest_follow_their_definition(features: Tensor) -> None:
    crop = features.double()[:2, :, 20:44, 24:40]
    assert (attenuation(crop[:, :1]) > EstimateHead().least).all()
    outputs = six(0.7, crop)
    layers = EstimateHead(0.2)(outputs, crop)
    torch.testing.assert_close(attenuation(layers), naive_parts(outputs, crop, 0.2), rtol=0.0, atol=1e-9)


def test_without_estimates_it_is_the_partition_head(joints: Tensor, features: Tensor) -> None:
    logits = draw_logits(2.0, joints)
    outputs = torch.cat([logits, torch.zeros_like(logits)], dim=1)
    torch.testing.assert_close(EstimateHead()(outputs, features), PartitionHead()(logits, features))


def test_right_estimates_of_smooth_bones_divide_their_texture(joints: Tensor, features: Tensor) -> None:
    """Two bones with known means and independent textures of one strength: each gets half of what both have."""
    crop = features[:1, :, 24:40, 24:40].clone()
    crop[:, 1:3] = 1.0
    means = torch.tensor([0.3, 0.5, 0.4])[None, :, None, None].expand(1, 3, 16, 16)
    textures = 0.02 * torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    crop[:, :1] = 1.0 - (-(means.sum(dim=1, keepdim=True) + textures.sum(dim=1, keepdim=True))).exp()
    crop[:, 3:6] = torch.tensor([0.0, 0.5, 0.5])[None, :, None, None]
    outputs = torch.cat([torch.zeros_like(means), means], dim=1)
    parts = attenuation(EstimateHead()(outputs, crop))
    expected = means[:, 1:] + 0.5 * textures.sum(dim=1, keepdim=True)
    torch.testing.assert_close(parts[:, 1:], expected, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("scale", [0.1, 3.0, 1e4])
def test_layers_compose_to_the_radiograph_for_any_estimates(joints: Tensor, features: Tensor, scale: float) -> None:
    layers = EstimateHead()(six(scale, joints), features)
    assert layers.min() >= 0.0 and layers.max() <= 1.0
    assert (psnr(reconstruct(layers), joints[:, :1]) > 90.0).all()


def test_an_estimate_leaves_bones_inside_their_support(joints: Tensor, features: Tensor) -> None:
    outside = support(joints[:, 1:]) == 0
    outputs = torch.zeros(3, 6, SIZE, SIZE)
    outputs[:, 4:] = 5.0
    assert (EstimateHead()(outputs, features)[:, 1:][outside] == 0).all()


def test_gradients_of_estimates_are_right(features: Tensor) -> None:
    crop = features.double()[:1, :, 30:35, 30:34]
    outputs = (0.1 * six(1.0, crop)).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: EstimateHead().shares(z, crop), (outputs,))


@pytest.mark.parametrize("image", ["joint", "saturated", "black"])
def test_gradients_are_finite_for_any_estimates(joints: Tensor, image: str) -> None:
    radiograph = {"joint": joints[:, :1], "saturated": torch.ones(3, 1, SIZE, SIZE), "black": joints[:, :1] * 0}[image]
    head = EstimateHead()
    outputs = six(3.0, joints).requires_grad_()
    head(outputs, head.prepare(torch.cat([radiograph, joints[:, 1:]], dim=1))).square().sum().backward()
    assert outputs.grad is not None and torch.isfinite(outputs.grad).all()


def test_a_head_with_estimates_compiles_to_torchscript(joints: Tensor) -> None:
    head = EstimateHead(reach_mm=8 * MCP.spacing_mm)
    features = head.prepare(joints)
    outputs = six(1.0, joints)
    torch.testing.assert_close(torch.jit.script(head)(outputs, features), head(outputs, features))
