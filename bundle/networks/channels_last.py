"""Networks whose feature maps have the channels of a pixel side by side, in which convolutions are fastest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def channels_last(network: nn.Module) -> nn.Module:
    """Convert a network in place to the memory format ``torch.channels_last``, with the same output up to rounding.

    Its parameters stay the same objects, so that optimizers may be built before. Instance norms are replaced, because
    those of torch convert to the usual format and back.

    Returns:
        The network.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.InstanceNorm2d and child.affine and not child.track_running_stats:
                setattr(module, name, ChannelsLastNorm.like(child))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fast_to_train(network: nn.Module) -> nn.Module:
    """Convert a network on a CPU by :func:`channels_last`, which takes up to half of the time of a training step.

    Networks on a GPU (see :func:`bundle.networks.placed`) and of several processes stay as they are.
    """
    parameter = next(network.parameters(), None)
    if isinstance(network, DistributedDataParallel) or parameter is None or parameter.device.type != "cpu":
        return network
    return channels_last(network)


class ChannelsLastNorm(nn.InstanceNorm2d):
    """Instance norm with weight and bias that keeps the memory format of float32 images on a CPU."""

    @classmethod
    def like(cls, other: nn.InstanceNorm2d) -> ChannelsLastNorm:
        """Return a norm with the parameters and the mode of another."""
        found = cls(0, eps=other.eps, affine=True)
        found.num_features, found.weight, found.bias = other.num_features, other.weight, other.bias
        return found.train(other.training)

    def forward(self, image: Tensor) -> Tensor:
        """Normalize each channel of images (B, C, H, W)."""
        if image.device.type != "cpu" or image.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return super().forward(image)
        return self.normalize(image, self.weight, self.bias, self.eps)

    @staticmethod
    def normalize(image: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Normalize images (B, C, H, W) of any floating type."""
        found: Tensor = _InstanceNorm.apply(image, weight, bias, eps)
        return found


class _InstanceNorm(torch.autograd.Function):
    """Instance norm of pixels (B, H W, C), whose sums are matrix products."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        pixels = _pixels(image)
        deviation = pixels - _mean(pixels)
        scale = _mean(deviation.square()).add_(eps).rsqrt_()
        ctx.save_for_backward(deviation, scale, weight)
        found = torch.empty(image.shape, dtype=image.dtype, memory_format=torch.channels_last)
        torch.addcmul(bias, deviation, weight * scale, out=_pixels(found))
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        deviation, scale, weight = ctx.saved_tensors
        outer = _pixels(gradients[0])
        mean, along = _mean(outer), _mean(outer * deviation) * scale
        gain = weight * scale
        inner = torch.addcmul(-mean * gain, outer, gain).addcmul_(deviation, along * scale * gain, value=-1.0)
        of_image = inner.unflatten(1, gradients[0].shape[-2:]).permute(0, 3, 1, 2)
        count = outer.shape[1]
        return of_image, along.sum(dim=(0, 1)) * count, mean.sum(dim=(0, 1)) * count, None


def _pixels(image: Tensor) -> Tensor:
    """Return images (B, C, H, W) as (B, H W, C), without a copy in the format channels last."""
    return image.permute(0, 2, 3, 1).flatten(1, 2)


def _mean(pixels: Tensor) -> Tensor:
    """Return the mean over the pixels, (B, 1, C); a product is many times as fast as a sum of strided values."""
    batch, count = pixels.shape[:2]
    return torch.bmm(pixels.new_full((1, 1, count), 1.0 / count).expand(batch, 1, count), pixels)
