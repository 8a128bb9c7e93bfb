"""The generator N_G: a backbone and a head that converts its logits to layers."""

from __future__ import annotations

from copy import copy

from bundle.base import has_numba
from bundle.networks import ReducedResolution
from bundle.separation.heads import Head, PartitionHead
from torch import Tensor, nn


class Generator(nn.Module):
    """``L = N_G(J, M)`` (Eq. 1): three layers from radiograph and bone masks, at any height and width.

    If the head requests it (``zero_start``), a zero-initialized convolution follows the backbone, so that the untrained
    generator equals the weight-free separator.

    Args:
        backbone: network from (B, head.in_channels, H, W) to (B, head.out_channels, H, W).
        head: a module of :mod:`bundle.separation.heads`.
        reduction: downsampling factor of the backbone's input, 1 or more; its logits are interpolated.

    Raises:
        InputError: if ``reduction`` is below 1.
    """

    def __init__(self, backbone: nn.Module, head: Head, reduction: int = 1) -> None:
        super().__init__()
        self.backbone = ReducedResolution(backbone, reduction)
        self.head = head
        self.start = _zero_convolution(head.out_channels) if head.zero_start else nn.Identity()

    def with_logits(self, logits: nn.Module) -> Generator:
        """Return a generator with the same head in which another module computes the logits of the features."""
        return self._with(backbone=logits, start=nn.Identity())

    def with_fused_head(self) -> Generator:
        """Return a generator whose partition head numba computes; this one without numba or with another head."""
        if not has_numba() or not isinstance(self.head, PartitionHead):
            return self
        from bundle.separation.heads.fused import FusedHead

        return self._with(head=FusedHead(self.head))

    def _with(self, **modules: nn.Module) -> Generator:
        other = copy(self)
        other._modules = {**self._modules, **modules}
        return other

    def forward(self, image: Tensor) -> Tensor:
        """Separate images (B, 3, H, W) = [J, M_lower, M_upper] into layers.

        Args:
            image: float, values in [0, 1], bright = more absorbing.

        Returns:
            Layers soft tissue, lower bone, upper bone in [0, 1], (B, 3, H, W).

        Raises:
            ValueError: if the image has another shape.
        """
        if image.dim() != 4 or image.shape[1] != 3:
            msg = f"the image must be (B, 3, H, W) = [radiograph, lower mask, upper mask], got {image.shape}"
            raise ValueError(msg)
        features = self.head.prepare(image)
        return self.head(self.start(self.backbone(features)), features)


def _zero_convolution(channels: int) -> nn.Module:
    convolution = nn.Conv2d(channels, channels, 1)
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution
