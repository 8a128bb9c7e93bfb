"""The generator: any size, the weight-free separator at its start, exact in mixed precision, scriptable, trainable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.networks.backbones import make_backbone
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.masks import overlap
from bundle.physics.radiograph import reconstruct
from bundle.separation.generator import Generator
from bundle.separation.heads import Head, PartitionHead, SigmoidHead
from torch import Tensor, nn

SIZE = 64
SMALL: dict[str, dict[str, Any]] = {
    "AttentionUnet": {"channels": (4, 8, 16), "strides": (2, 2)},
    "BasicUNet": {"features": (8, 8, 8, 16, 16, 8)},
    "DynUNet": {"filters": (4, 4, 8, 8, 16)},
    "FlexibleUNet": {"decoder_channels": (32, 16, 8, 8, 8)},
    "SegResNet": {"init_filters": 8},
    "TransUNet": {
        "img_size": 64,
        "encoder_channels": (8, 8, 16, 32),
        "hidden_size": 32,
        "mlp_dim": 16,
        "num_blocks": 2,
        "bridge_channels": 16,
        "decoder_channels": (16, 8, 8, 8),
    },
    "UNet": {"channels": (4, 8, 16), "strides": (2, 2)},
}


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return render(sample_parameters(3, outline_gap_mm=-1.0, size=SIZE, spacing=21 / SIZE))


@pytest.fixture(scope="module")
def image(phantom: Phantom) -> Tensor:
    """Two images (2, 3, H, W), the second mirrored."""
    joint = torch.cat([phantom.image, phantom.masks])
    return torch.stack([joint, joint.flip(-1)])


def make(name: str = "BasicUNet", head: Head | None = None, reduction: int = 1, scale: float = 0.0) -> Generator:
    """A small generator; its zero-initialised convolution is drawn with ``scale``."""
    torch.manual_seed(0)
    head = head or PartitionHead()
    generator = Generator(make_backbone(name, head.in_channels, head.out_channels, SMALL[name]), head, reduction)
    if head.zero_start:
        nn.init.normal_(generator.start.weight, std=scale)
    return generator


@pytest.mark.slow
@pytest.mark.parametrize("head", [SigmoidHead(), PartitionHead()])
@pytest.mark.parametrize("reduction", [1, 2, 3])
@pytest.mark.parametrize("size", [(64, 64), (45, 64), (33, 51), (7, 5)])
def test_layers_have_the_size_of_the_image(image: Tensor, head: Head, reduction: int, size: tuple[int, int]) -> None:
    layers = make(head=head, reduction=reduction, scale=1.0).eval()(image[..., : size[0], : size[1]])
    assert layers.shape == (2, 3, *size)
    assert torch.isfinite(layers).all()


@pytest.mark.parametrize("reduction", [1, 2])
@pytest.mark.parametrize("size", [(64, 64), (50, 61)])
def test_untrained_generator_is_the_weight_free_separator(image: Tensor, reduction: int, size: tuple[int, int]) -> None:
    crop = image[..., : size[0], : size[1]]
    layers = make(reduction=reduction).eval()(crop)
    torch.testing.assert_close(layers, separate(crop[:, :1], crop[:, 1:]), rtol=0.0, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(SMALL))
def test_scripted_generator_gives_the_same_layers(image: Tensor, name: str) -> None:
    generator = make(name, scale=1.0).eval()
    scripted = torch.jit.script(generator)
    crop = image[..., :50, :]
    torch.testing.assert_close(scripted(crop), generator(crop), rtol=0.0, atol=1e-6)


@pytest.mark.slow
def test_scripted_generator_of_the_paper_gives_the_same_layers(image: Tensor) -> None:
    generator = make("TransUNet", SigmoidHead(), reduction=2).eval()
    torch.testing.assert_close(torch.jit.script(generator)(image), generator(image), rtol=0.0, atol=1e-6)


@pytest.mark.slow
def test_scripted_generator_refuses_another_shape(image: Tensor) -> None:
    with pytest.raises(torch.jit.Error, match=r"the image must be \(B, 3, H, W\)"):
        torch.jit.script(make().eval())(image[:, :1])


@pytest.mark.parametrize("reduction", [1, 2])
def test_reconstruction_is_exact_under_bfloat16_autocast(image: Tensor, reduction: int) -> None:
    generator = make(reduction=reduction, scale=3.0).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layers = generator(image)
        moved = (layers - separate(image[:, :1], image[:, 1:])).abs().max()
    assert layers.dtype == torch.float32
    assert moved > 0.01
    torch.testing.assert_close(reconstruct(layers), image[:, :1], rtol=0.0, atol=1e-6)


def test_untrained_generator_is_weight_free_under_bfloat16_autocast(image: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layers = make().eval()(image)
    torch.testing.assert_close(layers, separate(image[:, :1], image[:, 1:]), rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("head", [SigmoidHead(), PartitionHead()])
def test_gradients_reach_every_parameter(image: Tensor, head: Head) -> None:
    generator = make("TransUNet", head, scale=0.5)
    generator(image).square().sum().backward()
    silent = [
        name
        for name, parameter in generator.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert silent == []


def test_first_gradient_reaches_the_zero_convolution(image: Tensor) -> None:
    generator = make()
    generator(image)[:, 1].sum().backward()
    assert generator.start.weight.grad is not None
    assert generator.start.weight.grad.abs().max() > 0


@pytest.mark.long
def test_training_from_the_weight_free_start_finds_the_layers_in_the_overlap(phantom: Phantom, image: Tensor) -> None:
    truth = torch.stack([phantom.layers, phantom.layers.flip(-1)])
    both = overlap(image[:, 1:])
    generator = make()
    optimizer = torch.optim.AdamW(generator.parameters(), lr=3e-3)

    def bone_error() -> Tensor:
        return (((generator(image) - truth)[:, 1:] * both).square().sum() / (2.0 * both.sum())).sqrt()

    before = bone_error().item()
    for _ in range(50):
        optimizer.zero_grad()
        bone_error().backward()
        optimizer.step()
    assert bone_error().item() < 0.5 * before
    torch.testing.assert_close(reconstruct(generator(image)), image[:, :1], rtol=0.0, atol=1e-6)


@pytest.mark.slow
def test_weights_are_a_flat_state_that_loads_into_another_generator(image: Tensor) -> None:
    source, other = make(scale=1.0).eval(), make().eval()
    other.load_state_dict(source.state_dict())
    assert torch.equal(other(image), source(image))
    assert set(source.state_dict()) >= {"start.weight", "start.bias", "backbone.network.final_conv.weight"}


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 4, 64, 64)])
def test_an_image_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"the image must be \(B, 3, H, W\) = \[radiograph, lower mask"):
        make()(torch.rand(shape))


def test_a_reduction_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="reduction must be 1 or more, got 0"):
        make(reduction=0)
