"""TransUNet: size and cost as published, attention as defined, gradients and sizes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.networks.transunet import Bottleneck, Transformer, TransUNet, UpStep
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

TINY: dict[str, Any] = {
    "img_size": 64,
    "encoder_channels": (8, 8, 16, 32),
    "hidden_size": 32,
    "mlp_dim": 16,
    "num_blocks": 2,
    "bridge_channels": 16,
    "decoder_channels": (16, 8, 8, 8),
}


def tiny(**options: Any) -> TransUNet:
    torch.manual_seed(0)
    return TransUNet(3, 2, **{**TINY, **options})


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def naive_attention(tokens: Tensor, attention: nn.Module, heads: int) -> Tensor:
    """``softmax(Q K^T / sqrt(d)) V`` of each sample and head by itself, then the output projection."""
    size = tokens.shape[-1]
    width = size // heads
    query, key, value = (tokens @ attention.qkv.weight[i * size : (i + 1) * size].T for i in range(3))
    result = torch.zeros_like(tokens)
    for sample in range(tokens.shape[0]):
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            energy = query[sample, :, part] @ key[sample, :, part].T / math.sqrt(width)
            weight = energy.exp() / energy.exp().sum(dim=1, keepdim=True)
            result[sample, :, part] = weight @ value[sample, :, part]
    return result @ attention.out_proj.weight.T + attention.out_proj.bias


@pytest.mark.slow
def test_default_has_the_parameters_and_the_cost_that_were_published_for_lsn() -> None:
    with torch.device("meta"):
        network = TransUNet(3, 3).eval()
        with FlopCounterMode(display=False) as flops:
            logits = network(torch.empty(1, 3, 256, 256))
    assert logits.shape == (1, 3, 256, 256)
    assert parameters(network) == pytest.approx(67e6, rel=0.01)
    assert flops.get_total_flops() == pytest.approx(67e9, rel=0.01)


def test_widths_of_a_resnet50_give_the_size_of_chen_et_al() -> None:
    with torch.device("meta"):
        network = TransUNet(
            3,
            9,
            img_size=224,
            encoder_channels=(64, 256, 512, 1024),
            depths=(3, 4, 9),
            reduction=4,
            hidden_size=768,
            num_heads=12,
            mlp_dim=3072,
            num_blocks=12,
        )
    assert parameters(network) == pytest.approx(105.3e6, rel=0.005)


def test_attention_is_scaled_by_the_root_of_the_head_width() -> None:
    heads = 4
    attention = tiny(num_heads=heads).transformer.blocks[0].attn.double()
    nn.init.normal_(attention.qkv.weight, std=0.4)
    tokens = torch.randn(2, 6, 32, dtype=torch.float64)
    expected = naive_attention(tokens, attention.eval(), heads)
    torch.testing.assert_close(attention(tokens), expected)
    attention.scale = math.sqrt(32 / heads)
    assert (attention(tokens) - expected).abs().max() > 0.05


def test_gradients_reach_every_parameter() -> None:
    network = tiny()
    assert parameters(network) < 1_000_000
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    silent = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert silent == []


def test_every_position_reaches_every_other_through_one_block() -> None:
    torch.manual_seed(0)
    transformer = Transformer(4, 5, 16, 2, 8, 1, 0.0)
    features = torch.randn(1, 4, 5, 5, requires_grad=True)
    transformer(features)[0, 0, 0, 0].backward()
    assert features.grad is not None
    assert (features.grad[0].abs().amax(dim=0) > 0).all()


def test_equal_features_are_told_apart_by_their_positions() -> None:
    torch.manual_seed(0)
    tokens = Transformer(4, 5, 16, 2, 8, 1, 0.0)(torch.ones(1, 4, 5, 5)).flatten(2)[0]
    distances = torch.cdist(tokens.T, tokens.T) + torch.eye(25) * 1e3
    assert distances.min() > 1e-3


def test_learned_positions_keep_their_place_at_another_size() -> None:
    transformer = Transformer(1, 4, 1, 1, 1, 1, 0.0)
    nn.init.zeros_(transformer.embedding.weight)
    nn.init.zeros_(transformer.embedding.bias)
    transformer.blocks, transformer.norm = nn.Sequential(), nn.Identity()
    ramp = torch.linspace(0.0, 3.0, 4).expand(1, 1, 4, 4)
    transformer.positions = nn.Parameter(ramp.clone())
    assert torch.equal(transformer(torch.zeros(1, 1, 4, 4)), ramp)
    wider = transformer(torch.zeros(1, 1, 4, 8))[0, 0, 0]
    assert (wider.diff() > 0).all()
    torch.testing.assert_close(wider + wider.flip(0), torch.full((8,), 3.0))


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (16, 16)])
def test_logits_have_the_size_of_the_image(size: tuple[int, int]) -> None:
    assert tiny().eval()(torch.rand(1, 3, *size)).shape == (1, 2, *size)


def test_a_size_that_16_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16, got 64 x 40"):
        tiny()(torch.rand(1, 3, 64, 40))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"img_size": 100}, "img_size must be a multiple of 16, got 100"),
        ({"img_size": 0}, "img_size must be a multiple of 16, got 0"),
        ({"num_heads": 5}, "hidden_size must be a multiple of num_heads = 5, got 32"),
        ({"encoder_channels": (8, 8, 8)}, "encoder_channels must be 4 positive integers"),
        ({"decoder_channels": (8, 8, 8, 0)}, "decoder_channels must be 4 positive integers"),
        ({"depths": (1, 1)}, "depths must be 3 positive integers"),
    ],
)
def test_widths_that_cannot_be_used_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny(**options)


def test_bottleneck_of_equal_channels_keeps_the_identity_as_its_shortcut() -> None:
    block = Bottleneck(8, 8, 1, 2, "batch").eval()
    nn.init.zeros_(block.residual[2].conv.weight)
    features = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(features), features.relu())


def test_up_step_without_a_skip_doubles_the_resolution() -> None:
    assert UpStep(8, 0, 4, "batch")(torch.rand(2, 8, 5, 7), None).shape == (2, 4, 10, 14)


def test_dropout_acts_in_training_only() -> None:
    network = tiny(norm="instance")
    image = torch.rand(1, 3, 64, 64)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))
