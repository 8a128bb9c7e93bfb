"""Limits that hold for the images of unseen joints."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def conformal_quantile(values: ArrayLike, joints: ArrayLike, level: float) -> float:
    """Return the value that a fraction ``level`` of the images of an unseen joint does not exceed.

    This is the quantile ``level (1 + 1 / J)`` of J joints of equal weight (hierarchical conformal prediction).

    Args:
        values: value of each image, (N,).
        joints: joint of each image, (N,).
        level: fraction in (0, 1).
    """
    found = np.asarray(values, dtype=np.float64)
    names, weights = joint_weights(joints)
    order = np.argsort(found)
    part = np.cumsum(weights[order])
    place = np.searchsorted(part / part[-1], min(level * (1.0 + 1.0 / names), 1.0))
    return float(found[order][min(int(place), len(found) - 1)])


def joint_weights(joints: ArrayLike) -> tuple[int, NDArray[np.float64]]:
    """Return the number of joints and the weight of each image, (N,), by which every joint counts the same."""
    _, place, count = np.unique(np.asarray(joints), return_inverse=True, return_counts=True)
    return len(count), 1.0 / count[place]
