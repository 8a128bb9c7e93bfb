"""Landmarks of the hand: names, mean positions and similarity transforms between hands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Landmark(NamedTuple):
    """A landmark of the hand.

    Attributes:
        finger: finger, one of :data:`bundle.joint.FINGERS`.
        joint: ``CMC``, ``MCP``, ``PIP`` (thumb: ``IP``), ``DIP`` or ``tip``.
    """

    finger: str
    joint: str


CHAINS = {
    "thumb": ("CMC", "MCP", "IP", "tip"),
    "index": ("CMC", "MCP", "PIP", "DIP", "tip"),
    "middle": ("CMC", "MCP", "PIP", "DIP", "tip"),
    "ring": ("CMC", "MCP", "PIP", "DIP", "tip"),
    "small": ("CMC", "MCP", "PIP", "DIP", "tip"),
}
"""Landmarks of each finger, from the carpus to the fingertip."""

LANDMARKS = tuple(Landmark(finger, joint) for finger, joints in CHAINS.items() for joint in joints)
"""Channels of the heatmaps. A landmark of a joint lies in the base of the distal bone, 1 to 3 mm beyond the joint
space."""

INDEX = {landmark: channel for channel, landmark in enumerate(LANDMARKS)}

ATLAS_POINTS = (17, 18, 19, 20, 16, 21, 22, 23, 24, 15, 25, 26, 27, 28, 14, 29, 30, 31, 32, 13, 33, 34, 35, 36)
"""Numbers of these landmarks among the 37 of the Digital Hand Atlas."""

MEAN_HAND: Array = np.array(
    [
        *([0.088, 0.400], [0.217, 0.226], [0.280, 0.096], [0.330, 0.002]),
        *([0.024, 0.370], [0.073, 0.046], [0.104, -0.138], [0.121, -0.249], [0.128, -0.332]),
        *([-0.040, 0.362], [-0.039, 0.043], [-0.032, -0.170], [-0.032, -0.309], [-0.040, -0.400]),
        *([-0.092, 0.362], [-0.134, 0.083], [-0.156, -0.114], [-0.171, -0.245], [-0.179, -0.337]),
        *([-0.128, 0.376], [-0.223, 0.136], [-0.279, -0.006], [-0.310, -0.092], [-0.330, -0.169]),
    ]
)
"""Mean landmarks (x, y), (24, 2), of a left hand as displayed: upright, y down, thumb on the right. Unit: height of the
upright crop, 1.25 times the distance in y from the carpus to the tip of the middle finger; origin: centre of the crop.
Procrustes mean of the 84 training hands."""


def chain(finger: str) -> list[int]:
    """Channels of a finger, from the carpus to the fingertip."""
    return [INDEX[Landmark(finger, joint)] for joint in CHAINS[finger]]


def similarity(source: Array, target: Array, weights: Array | None = None, mirrored: bool = False) -> Array:
    """Fit the similarity transform that maps points to points with the least weighted squared distance.

    With complex positions z of the source (conjugated if ``mirrored``) and w of the target, the transform is
    ``w = a z + b``, and ``a = cov(z, w) / var(z)``.

    Args:
        source: points, (N, 2), at least two of them different.
        target: points, (N, 2).
        weights: weights, (N,); default: equal.
        mirrored: whether the transform mirrors x before it rotates.

    Returns:
        Matrix (2, 3) from (x, y, 1) of the source to (x, y) of the target.
    """
    share = np.ones(len(source)) if weights is None else weights
    share = share / share.sum()
    sign = -1.0 if mirrored else 1.0
    z, w = sign * source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    z_mean, w_mean = share @ z, share @ w
    a = (share * (z - z_mean).conj()) @ (w - w_mean) / (share @ np.abs(z - z_mean) ** 2)
    b = w_mean - a * z_mean
    return np.array([[sign * a.real, -a.imag, b.real], [sign * a.imag, a.real, b.imag]])


def apply(matrix: Array, points: Array) -> Array:
    """Map points (..., 2) by a matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def inverse(matrix: Array) -> Array:
    """Invert a matrix (2, 3)."""
    return np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))[:2]


def compose(outer: Array, inner: Array) -> Array:
    """Matrix (2, 3) that maps by ``inner``, then by ``outer``."""
    return np.hstack([outer[:, :2] @ inner[:, :2], (outer[:, :2] @ inner[:, 2:] + outer[:, 2:])])


def is_mirrored(points: Array) -> bool:
    """Whether all landmarks (24, 2) fit a mirrored mean hand better, a hand with its thumb on the left."""
    errors = [
        np.square(apply(similarity(MEAN_HAND, points, mirrored=flip), MEAN_HAND) - points).sum()
        for flip in (False, True)
    ]
    return bool(errors[1] < errors[0])
