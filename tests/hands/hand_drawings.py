"""Drawings of hands whose landmarks are discs of known grey values, and networks that recognize these values."""

from __future__ import annotations

import numpy as np
import torch
from bundle.hands.landmarks import CHAINS, MEAN_HAND, Array, chain
from bundle.hands.networks import BLOCK
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

CODES = 0.15 + 0.03 * np.arange(24)
"""Grey value of the disc of each landmark."""

RADIUS = 0.042
"""Radius of a disc in heights of the upright crop; the discs of two CMC joints overlap."""


def placed(size: float, middle: tuple[float, float], degrees: float = 0.0, mirrored: bool = False) -> Array:
    """Landmarks of a mean hand, with its upright crop ``size`` pixels high, rotated clockwise about its middle."""
    turn = np.deg2rad(degrees)
    points = MEAN_HAND * [-size if mirrored else size, size]
    return points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + middle


def drawing(shape: tuple[int, int], hands: list[Array], size: float, radius: float = RADIUS) -> Tensor:
    """Draw hands: white phalanges and metacarpals, a disc at each landmark, on black; (1, H, W)."""
    picture = Image.new("L", (shape[1], shape[0]))
    draw = ImageDraw.Draw(picture)
    for points in hands:
        for finger in CHAINS:
            draw.line([tuple(point) for point in points[chain(finger)]], fill=255, width=max(int(0.02 * size), 1))
        for (x, y), code in zip(points, CODES, strict=True):
            reach = radius * size
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=round(255 * code))
    return torch.as_tensor(np.array(picture), dtype=torch.float32)[None] / 255


class Recognizer(nn.Module):
    """Stand-in of a network: logits that are high inside the disc of each landmark, of dark or bright drawings.

    Args:
        absent: landmarks that it never recognizes.
    """

    def __init__(self, absent: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.absent = absent

    def forward(self, view: Tensor) -> Tensor:
        """Map views (B, 1, H, W) to logits (B, 24, H / 2, W / 2)."""
        view = torch.where(view.flatten(1).median(dim=1).values[:, None, None, None] > 0.5, 1.0 - view, view)
        near = ((view - torch.as_tensor(CODES, dtype=view.dtype)[:, None, None]).abs() < 0.012).float()
        inside = -F.max_pool2d(-near, 3, 1, 1)
        inside[:, list(self.absent)] = 0.0
        soft = F.avg_pool2d(inside, 5, 1, 2)
        return 60.0 * F.avg_pool2d(soft, BLOCK) - 20.0


class Drawn(nn.Module):
    """Both networks of a finder of drawings.

    Args:
        absent: landmarks that neither recognizes.
    """

    def __init__(self, absent: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.film, self.crop = Recognizer(absent), Recognizer(absent)


def dots(shape: tuple[int, int], points: Array) -> NDArray[np.float32]:
    """A black picture with a small Gaussian at each point."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    spots = [np.exp(-0.5 * ((x - px) ** 2 + (y - py) ** 2) / 2.0**2) for px, py in points]
    return np.max(spots, axis=0).astype(np.float32)
