"""Rectified flow (arXiv 2209.03003): straight paths from noise to textures, and their integration."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

FEWEST = 200
"""Number of pixels below which an overlap counts less in the loss."""


def flow_step(noise: Tensor, texture: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Return the point of a path at ``time`` in [0, 1], ``(1 - t) noise + t texture``, and its velocity."""
    return (1.0 - time) * noise + time * texture, texture - noise


class FlowLoss(nn.Module):
    """Mean squared error of the velocity over the overlap of each image, averaged over the images.

    An overlap of fewer than :data:`FEWEST` pixels counts in proportion to its size.
    """

    def forward(self, velocity: Tensor, label: Tensor) -> Tensor:
        """Compute the loss, a scalar.

        Args:
            velocity: predicted velocity, (B, 1, H, W).
            label: true velocity and overlap (0 or 1), (B, 2, H, W).
        """
        true, both = label.split(1, dim=1)
        error = ((velocity - true).square() * both).sum(dim=(1, 2, 3))
        return (error / both.sum(dim=(1, 2, 3)).clamp(min=FEWEST)).mean()


def integrate(velocity: Callable[[Tensor, float], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Follow the flow from noise at time 0 to a texture at time 1 by Heun's method; the last step is Euler's.

    Args:
        velocity: function of a state and its time.
        noise: the state at time 0.
        steps: number of steps.
    """
    state, size = noise, 1.0 / steps
    for step in range(steps):
        now = velocity(state, step * size)
        if step + 1 < steps:
            now = (now + velocity(state + size * now, (step + 1) * size)) / 2.0
        state = state + size * now
    return torch.as_tensor(state)
