"""The partition head in loops that numba compiles."""

from __future__ import annotations

import numpy as np
import torch
from bundle.base import cached_loop
from bundle.physics import attenuation, growth_limit
from bundle.physics.fused_prior import shares_by_distance, signed_distance
from bundle.separation.heads.base import Head
from bundle.separation.heads.partition import SPAN, PartitionHead
from torch import Tensor

ZERO, ONE, LOWEST = np.float32(0.0), np.float32(1.0), np.float32(-SPAN)


class FusedHead(Head):
    """A partition head in fewer, longer steps, with the same layers up to rounding.

    With gradients, on other devices and in other precisions the head itself computes.

    Args:
        head: partition head.
    """

    def __init__(self, head: PartitionHead) -> None:
        super().__init__()
        self.head = head
        self.in_channels, self.out_channels, self.zero_start = head.in_channels, head.out_channels, head.zero_start
        self.mixes = type(head) is PartitionHead and head.reach > head.growth

    def prepare(self, image: Tensor) -> Tensor:
        """See :meth:`PartitionHead.prepare`."""
        if not _suits(image):
            return self.head.prepare(image)
        distance = signed_distance(image[:, 1:3], self.head.known)
        features = [image, shares_by_distance(image[:, :1], distance, self.head.spacing_mm)]
        if self.head.reach > 0:
            features.append((distance / self.head.reach).clamp_(-1.0, 1.0))
        return torch.cat(features, dim=1)

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """See :meth:`PartitionHead.forward`."""
        if not self.mixes or not _suits(logits) or not _suits(features):
            found: Tensor = self.head(logits, features)
            return found
        limit, layers = growth_limit(self.head.growth) / self.head.reach, torch.empty_like(logits)
        given = [part.contiguous().numpy() for part in (logits, features, attenuation(features[:, 0]))]
        for scores, known, total, parts in zip(*given, layers.numpy(), strict=True):
            _below_highest(scores, known, limit, parts)
            torch.exp(torch.from_numpy(parts), out=torch.from_numpy(parts))
            _divide(known, total, limit, self.head.mixture, parts)
        return layers.expm1_().neg_()


def _suits(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype == torch.float32 and not torch.is_grad_enabled()


@cached_loop("void(f4[:, :, ::1], f4[:, :, ::1], f4, f4[:, :, ::1])")
def _below_highest(logits, features, limit, found):
    """Logits of the allowed layers minus the highest of them; 0 for a forbidden layer."""
    soft, one, other = logits[0].reshape(-1), logits[1].reshape(-1), logits[2].reshape(-1)
    near_one, near_other = features[6].reshape(-1), features[7].reshape(-1)
    of_soft, of_one, of_other = found[0].reshape(-1), found[1].reshape(-1), found[2].reshape(-1)
    for i in range(len(soft)):
        highest = soft[i]
        if near_one[i] > limit:
            highest = max(highest, one[i])
        if near_other[i] > limit:
            highest = max(highest, other[i])
        of_soft[i] = max(soft[i] - highest, LOWEST)
        of_one[i] = max(one[i] - highest, LOWEST) if near_one[i] > limit else ZERO
        of_other[i] = max(other[i] - highest, LOWEST) if near_other[i] > limit else ZERO


@cached_loop("void(f4[:, :, ::1], f4[:, ::1], f4, f4, f4[:, :, ::1])")
def _divide(features, total, limit, mixture, found):
    """Turn exponentials into the negative attenuation of the layers, in place (:func:`mixed_shares`)."""
    total, first, second, third = (
        total.reshape(-1),
        features[3].reshape(-1),
        features[4].reshape(-1),
        features[5].reshape(-1),
    )
    near_one, near_other = features[6].reshape(-1), features[7].reshape(-1)
    soft, one, other = found[0].reshape(-1), found[1].reshape(-1), found[2].reshape(-1)
    for i in range(len(total)):
        a, b = ONE if near_one[i] > limit else ZERO, ONE if near_other[i] > limit else ZERO
        kept, even = ONE - mixture, mixture / (ONE + a + b)
        p, q, r = kept * first[i] + even, kept * second[i] + even * a, kept * third[i] + even * b
        lowest = min(soft[i], min(one[i] * a + (ONE - a), other[i] * b + (ONE - b)))
        x, y, z = p * soft[i], q * one[i] * a, r * other[i] * b
        scale = -total[i] / (x + y + z)
        soft[i] = max(x + lowest * (first[i] - p), ZERO) * scale
        one[i] = max(y + lowest * (second[i] - q), ZERO) * scale
        other[i] = max(z + lowest * (third[i] - r), ZERO) * scale
