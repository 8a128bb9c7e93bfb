"""Fixed fit settings with which measures E4 and E5 train a fresh network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

Loss = Callable[[nn.Module, Tensor, torch.Generator], Tensor]
"""Function of the network, the indices (B,) of a step's joints and the generator of the augmentation; a scalar."""


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """AdamW with a one-cycle learning rate schedule (torch's ``OneCycleLR``).

    Attributes:
        epochs: passes over the training joints.
        batch_size: joints per step.
        learning_rate: peak learning rate.
        weight_decay: weight decay of AdamW.
    """

    epochs: int = 16
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2

    def train(self, make: Callable[[], nn.Module], loss: Loss, count: int, seed: int) -> nn.Module:
        """Create a network with weights from the seed and train it; the global random state does not change.

        Args:
            make: function that creates the network on the training device.
            loss: loss of a step.
            count: number of training joints.
            seed: random seed of the weights, the order of the joints and the augmentation.

        Returns:
            The network, in evaluation mode.
        """
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = make().train()
        random = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(network.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        steps = self.epochs * math.ceil(count / self.batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=steps)
        for _ in range(self.epochs):
            for joints in torch.randperm(count, generator=random).split(self.batch_size):
                optimizer.zero_grad()
                loss(network, joints, random).backward()
                optimizer.step()
                schedule.step()
        return network.eval()


def fit_seeds(seed: int, fits: int) -> list[int]:
    """Return the seeds of repeated fits; the first seeds do not depend on the number of fits."""
    return [np.random.RandomState([seed, fit]).randint(2**31) for fit in range(fits)]


@torch.no_grad()
def predict(network: nn.Module, inputs: Tensor, batch_size: int = 32) -> Tensor:
    """Compute the logits of inputs (N, C, H, W), returned on the CPU."""
    device = next(network.parameters()).device
    return torch.cat([network(batch.to(device)).cpu() for batch in inputs.split(batch_size)])


def flip_some(batch: Tensor, random: torch.Generator) -> Tensor:
    """Mirror each sample of (B, C, H, W) left to right with probability 0.5."""
    mirrored = torch.rand(len(batch), generator=random) < 0.5
    return torch.where(mirrored[:, None, None, None].to(batch.device), batch.flip(-1), batch)
