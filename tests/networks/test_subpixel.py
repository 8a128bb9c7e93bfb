"""The sub-pixel U-Net: blocks of pixels as channels, without losing one."""

from __future__ import annotations

import pytest
import torch
from bundle.networks.subpixel import SubpixelUNet
from torch import nn

SMALL = (4, 4, 4, 4, 4, 4)


def network(block: int = 2) -> SubpixelUNet:
    torch.manual_seed(0)
    return SubpixelUNet(3, 2, SMALL, block=block, width=2).eval()


@pytest.mark.parametrize("block", [1, 2, 4])
def test_logits_have_the_size_of_the_image(block: int) -> None:
    with torch.no_grad():
        assert network(block)(torch.rand(2, 3, 64, 128)).shape == (2, 2, 64, 128)


@pytest.mark.parametrize("size", [(32, 32), (50, 71)])
def test_any_size_goes_with_large_blocks(size: tuple[int, int]) -> None:
    model = network(4).train()
    assert model(torch.rand(2, 3, *size)).shape == (2, 2, *size)


def test_the_unet_sees_each_pixel_of_a_block_as_a_channel_of_its_own() -> None:
    seen: list[torch.Tensor] = []
    model = network()
    model.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 64, 64)
    model(image)
    blocks = seen[0].unflatten(1, (3, 4))
    for row in range(2):
        for column in range(2):
            assert torch.equal(blocks[:, :, 2 * row + column], image[..., row::2, column::2])


@pytest.mark.parametrize("pixel", [(20, 20), (20, 21), (21, 20), (21, 21)])
def test_every_pixel_of_a_block_reaches_the_logits_through_the_unet(pixel: tuple[int, int]) -> None:
    model = network()
    model.refinement[0] = nn.Conv2d(5, 2, 3, padding=1)
    with torch.no_grad():
        model.refinement[0].weight[:, :3].zero_()
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    model(image).sum().backward()
    assert image.grad is not None
    assert image.grad[0, :, pixel[0], pixel[1]].abs().min() > 0


@pytest.mark.slow
def test_it_compiles_to_torchscript() -> None:
    model = network()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(model)(image), model(image))
