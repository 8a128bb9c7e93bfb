"""Head that divides the attenuation of each pixel exactly between the layers."""

from __future__ import annotations

import math

import torch
from bundle.joint import MCP
from bundle.physics import GROWTH_MM, OWNERSHIP_RANGE_MM, grown, partition, shares_by_distance, signed_distance, support
from bundle.separation.heads.base import Head
from torch import Tensor

SPAN = 80.0
"""Largest difference of the logits of a pixel that counts; its exponential is still a normal number in float32."""

BARRIER = 1e30
"""Twice the upper limit of an allowed layer's logit, beyond any logit; a forbidden layer has the opposite limit."""


class PartitionHead(Head):
    """Head with exact reconstruction: the logits redistribute a pixel's attenuation between the layers allowed there.

    Soft tissue is allowed everywhere, a bone inside its grown support. The shares ``p`` of the weight-free separator
    are mixed with the uniform share ``u`` of the allowed layers, ``s = (1 - e) p + e u``, so that every allowed layer
    is reachable. ``q = softmax(log s + logits)`` contains ``w s`` with ``w = min_i q_i / s_i <= 1``, and ``w p``
    replaces it::

        shares = q + w (p - s)

    The shares are non-negative and sum to 1. Zero logits give exactly ``p``; a large logit gives its layer everything.
    The layers compose to the radiograph (:func:`bundle.physics.partition`) for any logits. Computed in the precision
    of the image, even under automatic mixed precision.

    Args:
        mixture: ``e`` in (0, 1]. A layer without a share in the weight-free solution responds to its logit in
            proportion to ``e``.
        reach_mm: range in mm of the signed distances to the bone outlines that the backbone receives as two further
            features; 0 omits them.
        spacing_mm: pixel size in mm of the images that the network is made for.

    Raises:
        ValueError: if ``mixture`` or the spacing is out of range, or ``reach_mm`` is negative.
    """

    zero_start = True

    def __init__(self, mixture: float = 0.3, reach_mm: float = 0.0, spacing_mm: float = MCP.spacing_mm) -> None:
        super().__init__()
        if not 0.0 < mixture <= 1.0 or reach_mm < 0 or not spacing_mm > 0:
            msg = (
                f"mixture must be in (0, 1], reach_mm at least 0 and spacing_mm above 0, got {mixture}, {reach_mm} and "
                f"{spacing_mm}"
            )
            raise ValueError(msg)
        self.mixture = mixture
        self.spacing_mm = spacing_mm
        self.reach = reach_mm / spacing_mm
        self.growth = GROWTH_MM / spacing_mm
        self.known = math.ceil(max(self.reach, OWNERSHIP_RANGE_MM / spacing_mm))
        self.in_channels = 8 if reach_mm else 6

    def prepare(self, image: Tensor) -> Tensor:
        """Compute the features: image, shares of the weight-free separator, signed distances divided by the reach."""
        with torch.no_grad():
            distance = signed_distance(image[:, 1:3], self.known)
            features = [image, shares_by_distance(image[:, :1], distance, self.spacing_mm)]
            if self.reach > 0:
                features.append((distance / self.reach).clamp(-1.0, 1.0))
        return torch.cat(features, dim=1)

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Compute layers in [0, 1] that compose to the radiograph exactly; a bone is zero outside its support."""
        return partition(features[:, :1], self.shares(logits, features))

    def shares(self, logits: Tensor, features: Tensor) -> Tensor:
        """Shares of the attenuation, (B, 3, H, W): non-negative, summing to 1."""
        return mixed_shares(logits, features[:, 3:6], self.allowed(features), self.mixture)

    def allowed(self, features: Tensor) -> Tensor:
        """Allowed pixels of each layer, (B, 3, H, W) of 0 and 1: tissue everywhere, a bone in its support."""
        known = self.reach > self.growth
        if known:
            bones = grown(features[:, 6:8] * self.reach, self.growth)
        else:
            bones = support(features[:, 1:3], self.spacing_mm)
        return torch.cat([torch.ones_like(features[:, :1]), bones], dim=1)


def mixed_shares(
    logits: Tensor, prior: Tensor, allowed: Tensor, mixture: float, span: float = SPAN, barrier: float = BARRIER
) -> Tensor:
    """Compute the shares of :class:`PartitionHead`; all tensors are (B, 3, H, W).

    Forbidden layers are excluded by arithmetic, because masked filling and exponentials of infinity are several times
    slower on a CPU.
    """
    smooth = (1.0 - mixture) * prior + mixture * allowed / allowed.sum(dim=1, keepdim=True)
    logits = torch.minimum(logits.to(prior.dtype), (allowed - 0.5) * barrier)
    factor = (logits - logits.detach().amax(dim=1, keepdim=True)).clamp(min=-span).exp() * allowed
    scores = smooth * factor
    lowest = (factor + (1.0 - allowed)).amin(dim=1, keepdim=True)
    return ((scores + lowest * (prior - smooth)) / scores.sum(dim=1, keepdim=True)).clamp(min=0.0)
