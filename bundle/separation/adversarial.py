"""Adversarial losses on the soft-tissue layer (Eq. 9 and the third line of Eq. 7), with two alternative forms."""

from __future__ import annotations

import torch
from bundle.physics import union
from bundle.separation.regional import masked_bce, region_mean
from torch import Tensor, nn
from torch.nn import functional as F


class Discrimination(nn.Module):
    """``L2 = 1 - min(BCE(N_D(L_0), M_cup), bound)``, the third line of Eq. 7: penalizes bone shadow in soft tissue.

    The paper's ``1 - BCE`` has no lower bound and comes to dominate the loss. Here a sample on which the error of N_D
    reaches ``bound`` has no gradient.

    Args:
        bound: cross entropy of N_D in nats above which the loss is constant (chance level: 0.69).
    """

    def __init__(self, *, bound: float = 1.0) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, in [1 - bound, 1], for the logits N_D(L_0) (B, 1, H, W)."""
        return 1.0 - masked_bce(found, union(M), visible).clamp(max=self.bound).mean()


class NonSaturatingDiscrimination(nn.Module):
    """``L2 = -log(1 - N_D(L_0))`` on the bone pixels: N_D should predict "no bone" there.

    The paper's L2 rewards any error of N_D. This loss rewards only false negatives on bone, and its gradient is largest
    where N_D is most confident of a shadow. It is non-negative, and log 2 where N_D is at chance.
    """

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, for the logits N_D(L_0) (B, 1, H, W); samples without bone add 0."""
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        return region_mean(F.softplus(found), union(M) * visible).mean()


class HingeDiscrimination(nn.Module):
    """``L2 = max(0, z + margin)`` on the bone pixels, z the logit of N_D: no gradient where N_D misses the bone.

    Args:
        margin: logit margin. With 0 a pixel stops contributing once N_D is at chance there; 1 is the hinge loss of
            GANs.
    """

    def __init__(self, *, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, for the logits N_D(L_0) (B, 1, H, W); samples without bone add 0."""
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        return region_mean(F.relu(found + self.margin), union(M) * visible).mean()


class DiscriminatorLoss(nn.Module):
    """``BCE(N_D(L_0), M_cup)`` (Eq. 9). Detach L_0 before N_D, so that the generator receives no gradient."""

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, for the logits N_D(L_0) (B, 1, H, W), M (B, 2, H, W), visible region (B, 1, H, W)."""
        return masked_bce(found, union(M), visible).mean()


class HingeDiscriminatorLoss(nn.Module):
    """``max(0, 1 - z)`` on bone, ``max(0, 1 + z)`` elsewhere, in place of Eq. 9: no gradient where N_D is confident."""

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """As :meth:`DiscriminatorLoss.forward`."""
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        bone = union(M)
        return region_mean(bone * F.relu(1.0 - found) + (1.0 - bone) * F.relu(1.0 + found), visible).mean()
