"""Bent fingers: a smooth warp of a hand radiograph that moves its landmarks to other places."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from bundle.hands.landmarks import CHAINS, MEAN_HAND, Array, apply, chain, similarity
from bundle.hands.views import Size
from torch import Tensor
from torch.nn import functional as F

COARSE = 4
"""Step in pixels of a view at which the warp is evaluated; bilinear in between."""

_FAR = [(x, y) for x in (-1.2, 0.0, 1.2) for y in (-1.2, 0.0, 1.2) if (x, y) != (0.0, 0.0)]
"""Positions around the mean hand that the warp leaves in place."""


def bent(points: Array, rng: np.random.RandomState, degrees: float = 4.0) -> Array:
    """Bend the fingers at random: spread at the MCP joints, bent and shortened at the others, (24, 2).

    Args:
        points: landmarks, (24, 2).
        rng: random generator.
        degrees: standard deviation of the rotation of a finger about its MCP joint; of a phalanx, 0.7 times as much.
    """
    length = {finger: rng.uniform(0.75, 1.1) for finger in CHAINS}
    return _rearranged(points, length, rng, degrees)


def toes(points: Array, rng: np.random.RandomState) -> Array:
    """Shorten all phalanges to those of a foot, (24, 2), arguments as in :func:`bent`."""
    length = {finger: rng.uniform(0.3, 0.5) for finger in CHAINS}
    return _rearranged(points, length, rng, 4.0)


def _rearranged(points: Array, length: dict[str, float], rng: np.random.RandomState, degrees: float) -> Array:
    changed = points.copy()
    for finger, factor in length.items():
        row, turn = chain(finger), np.deg2rad(rng.normal(0.0, 2.0 * degrees if finger == "thumb" else degrees))
        for before, after in pairwise(row[1:]):
            cos, sin = factor * np.cos(turn), factor * np.sin(turn)
            changed[after] = changed[before] + np.array([[cos, -sin], [sin, cos]]) @ (points[after] - points[before])
            turn += np.deg2rad(rng.normal(0.0, 0.7 * degrees))
    return changed


class Warp:
    """Thin-plate spline from places in a bent hand to places in the radiograph.

    Args:
        points: landmarks in the radiograph, (24, 2).
        changed: landmarks of the bent hand, (24, 2).
    """

    def __init__(self, points: Array, changed: Array) -> None:
        fitted = similarity(MEAN_HAND, points)
        far = apply(fitted, np.array(_FAR))
        self.scale = float(np.hypot(*fitted[:, 0]))
        self.knots = np.vstack([changed, far])
        moves = np.vstack([points - changed, np.zeros_like(far)])
        count = len(self.knots)
        ones = np.hstack([np.ones((count, 1)), self.knots / self.scale])
        system = np.block([[self._kernel(self.knots) + 1e-6 * np.eye(count), ones], [ones.T, np.zeros((3, 3))]])
        self.weights = np.linalg.solve(system, np.vstack([moves, np.zeros((3, 2))]))

    def __call__(self, places: Array) -> Array:
        """Map places (N, 2) of the bent hand to the radiograph."""
        basis = np.hstack([self._kernel(places), np.ones((len(places), 1)), places / self.scale])
        return places + basis @ self.weights

    def _kernel(self, places: Array) -> Array:
        squared = np.square((places[:, None] - self.knots) / self.scale).sum(axis=-1)
        return 0.5 * squared * np.log(squared + 1e-12)

    def positions(self, matrix: Array, size: Size) -> Tensor:
        """Positions in the radiograph of the pixels of a view of the bent hand, (H, W, 2)."""
        y, x = (np.arange(length // COARSE + 2) * COARSE for length in size)
        knots = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(float)
        coarse = torch.as_tensor(self(apply(matrix, knots)), dtype=torch.float32).T.reshape(1, 2, len(y), len(x))
        fine = F.interpolate(
            coarse, size=(COARSE * (len(y) - 1) + 1, COARSE * (len(x) - 1) + 1), mode="bilinear", align_corners=True
        )
        return fine[0, :, : size[0], : size[1]].permute(1, 2, 0)
