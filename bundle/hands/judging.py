"""Which placements show a hand, and what is reported of it."""

from __future__ import annotations

import numpy as np
from bundle.hands.fingers import LEAST_MASS, Finger, is_inside
from bundle.hands.found import FoundHand
from bundle.hands.landmarks import CHAINS, MEAN_HAND, apply, chain, inverse
from bundle.hands.placing import Placement
from bundle.joint import FINGERS
from numpy.typing import NDArray

LEAST_LANDMARKS = 9
"""Smallest number of landmarks of a hand with a probability of :data:`LEAST_MASS`."""

LEAST_MCPS = 3
"""Smallest number of MCP joints, index to small finger, among these landmarks."""


def expected(placement: Placement, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether each landmark of the fitted mean hand lies in a radiograph of a height and width, (24,)."""
    return is_inside(apply(placement.matrix, MEAN_HAND), placement, shape)


def score_of(placement: Placement, shape: tuple[int, int]) -> float:
    """Mean probability of the landmarks that should lie in the radiograph."""
    counted = expected(placement, shape) | (placement.mass >= LEAST_MASS)
    return float(placement.mass[counted].mean()) if counted.any() else 0.0


def is_hand(placement: Placement, shape: tuple[int, int], least_score: float) -> bool:
    """Whether enough landmarks were found, in the arrangement of a hand, with a mean probability."""
    sure = placement.mass >= LEAST_MASS
    mcps = [chain(finger)[1] for finger in FINGERS if finger != "thumb"]
    enough = sure.sum() >= LEAST_LANDMARKS and sure[mcps].sum() >= LEAST_MCPS
    arranged = _in_order(placement, mcps) and _is_long(placement)
    return bool(enough and arranged and score_of(placement, shape) >= least_score)


def _in_order(placement: Placement, mcps: list[int]) -> bool:
    """Whether the MCP joints found lie beside each other as in the mean hand, from the small to the index finger."""
    upright = apply(inverse(placement.matrix), placement.points)[:, 0]
    row = [upright[index] for index in mcps if placement.mass[index] >= LEAST_MASS]
    return bool((np.diff(row) > 0.02).all())


def _is_long(placement: Placement) -> bool:
    """Whether the fingers are as long as those of a hand relative to the metacarpals; toes are shorter."""
    upright = apply(inverse(placement.matrix), placement.points)
    ratios = [
        np.linalg.norm(upright[row[2]] - upright[row[1]]) / np.linalg.norm(upright[row[1]] - upright[row[0]])
        for row in (chain(finger) for finger in FINGERS if finger != "thumb")
        if (placement.mass[row[:3]] >= LEAST_MASS).all()
    ]
    return len(ratios) == 0 or bool(np.median(ratios) > 0.38)


def found_hand(placement: Placement, shape: tuple[int, int]) -> FoundHand:
    """Report a placed hand.

    Args:
        placement: placed hand.
        shape: height and width of the radiograph.
    """
    up = -placement.matrix[:, 1]
    return FoundHand(
        side="right" if placement.mirrored else "left",
        rotation_deg=float(np.rad2deg(np.arctan2(up[0], -up[1]))),
        inverted=placement.inverted,
        score=score_of(placement, shape),
        size=placement.size,
        joints=tuple(joint for finger in CHAINS for joint in Finger(placement, shape, finger).joints()),
    )
