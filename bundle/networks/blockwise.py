"""Networks whose last convolutions run on blocks of pixels: the same output in less time on a CPU.

A convolution of few channels leaves most lanes of a processor idle. On blocks of 2 x 2 pixels it has four times as many
channels on a quarter of the positions.
"""

from __future__ import annotations

from typing import Any

import torch
from bundle.networks.resolution import ReducedResolution, continued
from bundle.networks.subpixel import SubpixelUNet
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init


class BlockwiseRefinement(nn.Module):
    """A :class:`SubpixelUNet` followed by a 1 x 1 convolution, with its refinement on blocks of pixels.

    Args:
        network: network in evaluation mode, with two 3 x 3 convolutions as refinement.
        last: 1 x 1 convolution of its logits; it is merged into the refinement.
    """

    def __init__(self, network: SubpixelUNet, last: nn.Conv2d) -> None:
        super().__init__()
        layers: Any = network.refinement
        first, self.activation, second = layers
        self.unet, self.block, self.step = network.unet, network.block, network.step
        self.first = on_blocks(first, self.block)
        self.second = on_blocks(merged(second, last), self.block)

    def forward(self, image: Tensor) -> Tensor:
        """See :meth:`SubpixelUNet.forward`."""
        height, width = image.shape[-2], image.shape[-1]
        image = continued(image, self.step)
        blocks = F.pixel_unshuffle(image, self.block)
        hidden = self.activation(self.first(torch.cat([blocks, self.unet(blocks)], dim=1)))
        return F.pixel_shuffle(self.second(hidden), self.block)[..., :height, :width]


def blockwise(network: nn.Module) -> nn.Module:
    """Return a network with the same output up to rounding, whose refinement runs on blocks if it has one.

    Args:
        network: any network; changed are those of the form
            ``Sequential(ReducedResolution(SubpixelUNet), Conv2d(1 x 1))`` at full resolution.
    """
    whole, last = network if isinstance(network, nn.Sequential) and len(network) == 2 else (None, None)
    if not isinstance(whole, ReducedResolution) or not isinstance(whole.network, SubpixelUNet) or whole.reduction != 1:
        return network
    if not isinstance(last, nn.Conv2d) or last.kernel_size != (1, 1):
        return network
    return BlockwiseRefinement(whole.network, last).train(network.training)


def on_blocks(convolution: nn.Conv2d, block: int) -> nn.Conv2d:
    """Return the convolution of blocks whose pixels are channels that equals a 3 x 3 convolution of the pixels.

    The pixels of a block follow each other as in :func:`torch.nn.functional.pixel_unshuffle`.
    """
    weight = convolution.weight.detach()
    into, out = convolution.in_channels, convolution.out_channels
    found = weight.new_zeros(out, block, block, into, block, block, 3, 3)
    for row, column, down, right in torch.cartesian_prod(*2 * [torch.arange(block)], *2 * [torch.arange(3)]).tolist():
        y, x = row + down - 1, column + right - 1
        found[:, row, column, :, y % block, x % block, y // block + 1, x // block + 1] = weight[..., down, right]
    bias = None if convolution.bias is None else convolution.bias.detach().repeat_interleave(block**2)
    return _convolution(found.flatten(3, 5).flatten(0, 2), bias)


def merged(first: nn.Conv2d, last: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution that equals ``first`` followed by the 1 x 1 convolution ``last``."""
    mixed = last.weight.detach()[..., 0, 0]
    bias = torch.zeros(len(mixed)).to(mixed) if last.bias is None else last.bias.detach()
    if first.bias is not None:
        bias = bias + mixed @ first.bias.detach()
    return _convolution(torch.einsum("oi,icyx->ocyx", mixed, first.weight.detach()), bias)


def _convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Return the 3 x 3 convolution with these values, without taking random numbers."""
    sizes = {"in_channels": weight.shape[1], "out_channels": weight.shape[0], "kernel_size": 3, "padding": 1}
    found: nn.Conv2d = skip_init(nn.Conv2d, **sizes, bias=bias is not None, device=weight.device)
    found.weight = nn.Parameter(weight, requires_grad=False)
    found.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return found
