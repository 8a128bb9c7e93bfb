"""The losses between the discriminator and the soft tissue (Eq. 9), and two that train it otherwise."""

from __future__ import annotations

import torch
from bundle.physics import union
from bundle.separation.regional import masked_bce, region_mean
from torch import Tensor, nn
from torch.nn import functional as F


class Discrimination(nn.Module):
    """``L2 = 1 - min(BCE(N_D(L_0), M_cup), bound)``, the third line of Eq. 7: no bone shadow left in the soft tissue.

    The paper's ``1 - BCE`` has no lower bound and ends up as the only term that matters; here a sample on which N_D is
    wrong by ``bound`` or more is done with and has no gradient.

    Args:
        bound: cross entropy in nats up to which N_D is to be fooled (a coin has 0.69).
    """

    def __init__(self, *, bound: float = 1.0) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, in [1 - bound, 1], for the logits N_D(L_0) (B, 1, H, W)."""
        return 1.0 - masked_bce(found, union(M), visible).clamp(max=self.bound).mean()


class NonSaturatingDiscrimination(nn.Module):
    """``L2 = -log(1 - N_D(L_0))`` on the pixels of the bones: N_D is to say "no bone" there.

    Where the paper's L2 rewards any error of N_D, this asks for the one error that matters, with a gradient that is
    largest where N_D is surest of a shadow. It is never negative; where N_D is at chance it is log 2.
    """

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, for the logits N_D(L_0) (B, 1, H, W); samples without bone add 0."""
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        return region_mean(F.softplus(found), union(M) * visible).mean()


class HingeDiscrimination(nn.Module):
    """``L2 = max(0, z + margin)`` on the pixels of the bones, z the logit of N_D: where it errs, a pixel is done with.

    Args:
        margin: 0 leaves a pixel alone as soon as N_D is at chance there; 1, the hinge of GANs, wants N_D to be wrong
            by that much.
    """

    def __init__(self, *, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, for the logits N_D(L_0) (B, 1, H, W); samples without bone add 0."""
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        return region_mean(F.relu(found + self.margin), union(M) * visible).mean()


class DiscriminatorLoss(nn.Module):
    """``BCE(N_D(L_0), M_cup)`` (Eq. 9). L_0 must be detached before N_D sees it: the generator is not to learn here."""

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, for the logits N_D(L_0) (B, 1, H, W), M (B, 2, H, W), visible region (B, 1, H, W)."""
        return masked_bce(found, union(M), visible).mean()


class HingeDiscriminatorLoss(nn.Module):
    """``max(0, 1 - z)`` on bone and ``max(0, 1 + z)`` elsewhere in place of Eq. 9: N_D stops where it is sure."""

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """As :meth:`DiscriminatorLoss.forward`."""
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        bone = union(M)
        return region_mean(bone * F.relu(1.0 - found) + (1.0 - bone) * F.relu(1.0 + found), visible).mean()
