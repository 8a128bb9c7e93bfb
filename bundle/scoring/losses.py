"""Loss of a regressor that states how uncertain it is."""

from __future__ import annotations

import math

import torch
from bundle.errors import InputError
from torch import Tensor, nn
from torch.nn import functional as F

SHARPEST, BROADEST = -5.0, 2.0
"""Range of the logarithm of the predicted mean absolute error in mm."""


def predicted_joint_space(output: Tensor) -> tuple[Tensor, Tensor]:
    """Return the joint space and its standard deviation in mm, (B,) each, from outputs (B, 2) of a regressor."""
    width, log_error = output.float().unbind(-1)
    return width, math.sqrt(2.0) * log_error.clamp(SHARPEST, BROADEST).exp()


class JointSpaceLoss(nn.Module):
    """Loss of a predicted joint space ``m`` and of the logarithm ``s`` of its mean absolute error.

    ``smooth_l1(m, y) + weight (s + |m - y| exp(-s))``; the second term is the negative log-likelihood of a Laplace
    distribution. It does not act on ``m``, so that joints that are hard to measure are learned as well as the others.

    Args:
        beta: error in mm below which the first term is quadratic.
        weight: weight of the likelihood.
    """

    def __init__(self, beta: float = 0.3, weight: float = 0.1) -> None:
        super().__init__()
        self.beta, self.weight = beta, weight

    def forward(self, output: Tensor, joint_space: Tensor) -> Tensor:
        """Compute the mean loss of outputs (B, 2) for joint spaces (B,) or (B, 1) in mm."""
        true = joint_space.reshape(-1).float()
        if output.shape != (len(true), 2):
            msg = f"outputs must be (B, 2) for {len(true)} joint spaces, got {tuple(output.shape)}. Pass --outputs 2."
            raise InputError(msg)
        width, log_error = output.float().unbind(-1)
        log_error = log_error.clamp(SHARPEST, BROADEST)
        likelihood = log_error + (width - true).detach().abs() * torch.exp(-log_error)
        return F.smooth_l1_loss(width, true, beta=self.beta) + self.weight * likelihood.mean()
