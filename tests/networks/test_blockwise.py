"""Networks on blocks of pixels: the same output, up to rounding."""

from __future__ import annotations

import pytest
import torch
from bundle.networks.blockwise import blockwise, merged, on_blocks
from bundle.networks.resolution import ReducedResolution
from bundle.networks.subpixel import SubpixelUNet
from torch import nn
from torch.nn import functional as F


def network(block: int = 2, reduction: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    inner = SubpixelUNet(3, 2, (4, 4, 4, 4, 4, 4), block=block, width=2)
    return nn.Sequential(ReducedResolution(inner, reduction), nn.Conv2d(2, 3, 1)).eval()


@pytest.mark.parametrize("block", [1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_of_blocks_equals_the_one_of_pixels(block: int, bias: bool) -> None:
    torch.manual_seed(0)
    convolution, image = nn.Conv2d(3, 5, 3, padding=1, bias=bias), torch.randn(2, 3, 12, 18)
    with torch.no_grad():
        found = F.pixel_shuffle(on_blocks(convolution, block)(F.pixel_unshuffle(image, block)), block)
        torch.testing.assert_close(found, convolution(image), rtol=0, atol=1e-6)


@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True), (False, False)])
def test_two_merged_convolutions_equal_both(biases: tuple[bool, bool]) -> None:
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, 4, 3, padding=1, bias=biases[0]), nn.Conv2d(4, 2, 1, bias=biases[1])
    image = torch.randn(2, 3, 9, 7)
    with torch.no_grad():
        torch.testing.assert_close(merged(first, last)(image), last(first(image)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("size", [(128, 128), (70, 101)])
def test_the_refinement_on_blocks_gives_the_same_logits(block: int, size: tuple[int, int]) -> None:
    model, image = network(block), torch.rand(2, 3, *size)
    changed = blockwise(model)
    assert changed is not model
    assert not changed.training
    with torch.no_grad():
        torch.testing.assert_close(changed(image), model(image), rtol=0, atol=1e-6)


def test_the_network_itself_does_not_change() -> None:
    model, image = network(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)
        blockwise(model)(image)
        assert torch.equal(model(image), before)
    assert all(values.requires_grad for values in model.parameters())


@pytest.mark.parametrize("other", [network(reduction=2), nn.Conv2d(3, 2, 3), nn.Sequential(nn.Conv2d(3, 2, 3))])
def test_other_networks_stay_as_they_are(other: nn.Module) -> None:
    assert blockwise(other) is other
