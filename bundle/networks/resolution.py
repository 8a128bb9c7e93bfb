"""Input of any size for any network: padding to the strides, and processing at reduced resolution."""

from __future__ import annotations

from bundle.errors import InputError
from monai.networks.nets.basic_unet import UpCat
from torch import Tensor, nn
from torch.nn import functional as F

MULTIPLE = 32
"""The network's input height and width are multiples of this."""


class ReducedResolution(nn.Module):
    """Wrapper that runs a network, from (B, C, H, W) to logits (B, C', H, W), at 1 / reduction of the resolution.

    Images are padded by replication and averaged over ``reduction`` x ``reduction`` pixels; the logits are interpolated
    and cropped.

    Args:
        network: network that preserves height and width if they are multiples of :data:`MULTIPLE`.
        reduction: downsampling factor, 1 or more.

    Raises:
        InputError: if ``reduction`` is below 1.
    """

    def __init__(self, network: nn.Module, reduction: int = 1) -> None:
        super().__init__()
        if reduction < 1:
            msg = f"reduction must be 1 or more, got {reduction}"
            raise InputError(msg)
        self.network = network
        for module in network.modules():
            if isinstance(module, UpCat):
                module.is_pad = False  # all sizes are even
        self.reduction = reduction
        self.step = MULTIPLE * reduction

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits at the resolution of the image."""
        height, width = image.shape[-2], image.shape[-1]
        inputs = continued(image, self.step)
        if self.reduction == 1:
            return self.network(inputs)[..., :height, :width]
        logits = self.network(F.avg_pool2d(inputs, self.reduction))
        logits = F.interpolate(logits, scale_factor=float(self.reduction), mode="bilinear", align_corners=False)
        return logits[..., :height, :width]


def continued(image: Tensor, step: int) -> Tensor:
    """Continue images (B, C, H, W) by replication to multiples of ``step`` pixels, to the right and below."""
    height, width = image.shape[-2], image.shape[-1]
    if height % step == 0 and width % step == 0:
        return image
    return F.pad(image, [0, -width % step, 0, -height % step], mode="replicate")
