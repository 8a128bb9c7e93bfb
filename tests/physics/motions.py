"""Motions of smooth layers of a joint."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from bundle.joint import MCP
from bundle.physics.motion import MotionRange, RigidMotion
from scipy.ndimage import gaussian_filter
from torch import Tensor

SPACING = MCP.spacing_mm
MODES = ["bilinear", "bicubic"]
LOWER, UPPER = 1, 2


def smooth(batch: int, height: int, width: int, sigma: float = 4.0, seed: int = 0) -> Tensor:
    """Smooth layers (B, 3, H, W) in [0.2, 0.8], float64."""
    noise = np.random.default_rng(seed).standard_normal((batch, 3, height, width))
    field = gaussian_filter(noise, (0, 0, sigma, sigma))
    low, high = field.min(axis=(-2, -1), keepdims=True), field.max(axis=(-2, -1), keepdims=True)
    return torch.from_numpy(0.2 + 0.6 * (field - low) / (high - low))


def joint_masks(batch: int, height: int, width: int) -> Tensor:
    """The upper bone fills the top of the frame, the lower one the bottom."""
    masks = torch.zeros(batch, 2, height, width, dtype=torch.float64)
    masks[:, 0, height // 2 + 2 :, width // 5 : -width // 5] = 1.0
    masks[:, 1, : height // 2 - 2, width // 4 : -width // 4] = 1.0
    return masks


def motion(*bones: tuple[float, float, float], center: tuple[float, float] = (0.0, 0.0)) -> RigidMotion:
    """One sample's motion from (x mm, y mm, degrees) of the lower and the upper bone."""
    drawn = torch.tensor([bones], dtype=torch.float64)
    return RigidMotion(drawn[..., :2], drawn[..., 2], torch.tensor([[center, center]], dtype=torch.float64))


def drawn(count: int, seed: int = 0, **largest: float) -> RigidMotion:
    return MotionRange(**largest).sample(count, np.random.RandomState(seed))


def same_motion(one: RigidMotion, other: RigidMotion) -> bool:
    return all(torch.equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(RigidMotion))
