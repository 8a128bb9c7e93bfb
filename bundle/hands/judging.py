"""Which landmarks of a placed hand are reported as joints, and which are refused."""

from __future__ import annotations

import numpy as np
from bundle.hands.found import FoundHand, FoundJoint, unit
from bundle.hands.landmarks import CHAINS, LANDMARKS, MEAN_HAND, Array, apply, chain, inverse
from bundle.hands.placing import Placement
from bundle.joint import FINGERS
from numpy.typing import NDArray

LEAST_MASS = 0.5
"""Smallest probability of a landmark that is reported without refusal."""

SHOWN_MASS = 0.15
"""Smallest probability of a landmark that is reported at all."""

LEAST_SCORE = 0.5
"""Smallest score of a hand."""

LEAST_LANDMARKS = 9
"""Smallest number of landmarks of a hand with a probability of :data:`LEAST_MASS`."""

LEAST_MCPS = 3
"""Smallest number of MCP joints, index to small finger, among these landmarks."""

LENGTHS = (0.6, 1.6)
"""Smallest and largest length of a bone relative to that of the mean hand of the same size."""

BEND = 45.0
"""Largest angle in degrees between two bones of a finger."""

MARGIN = 0.01
"""Distance from the border in heights of the upright crop within which a landmark counts as outside."""


def expected(placement: Placement, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether each landmark of the fitted mean hand lies in a radiograph of a height and width, (24,)."""
    x, y = apply(placement.matrix, MEAN_HAND).T
    edge = MARGIN * placement.size
    inside: NDArray[np.bool_] = (x >= edge) & (y >= edge) & (x <= shape[1] - 1 - edge) & (y <= shape[0] - 1 - edge)
    return inside


def score_of(placement: Placement, shape: tuple[int, int]) -> float:
    """Mean probability of the landmarks that should lie in the radiograph."""
    counted = expected(placement, shape) | (placement.mass >= LEAST_MASS)
    return float(placement.mass[counted].mean()) if counted.any() else 0.0


def is_hand(placement: Placement, shape: tuple[int, int]) -> bool:
    """Whether enough landmarks were found, in the arrangement of a hand."""
    sure = placement.mass >= LEAST_MASS
    mcps = [chain(finger)[1] for finger in FINGERS if finger != "thumb"]
    enough = sure.sum() >= LEAST_LANDMARKS and sure[mcps].sum() >= LEAST_MCPS
    arranged = _in_order(placement, mcps) and _is_long(placement)
    return bool(enough and arranged and score_of(placement, shape) >= LEAST_SCORE)


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
        joints=tuple(joint for finger in CHAINS for joint in _joints(placement, finger)),
    )


def _joints(placement: Placement, finger: str) -> list[FoundJoint]:
    """Joints of a finger, with the reason for each refusal."""
    row, joints = chain(finger), []
    upright = apply(inverse(placement.matrix), placement.points)
    for step in range(1, len(row)):
        index = row[step]
        if placement.mass[index] < SHOWN_MASS:
            continue
        start, end = (row[step], row[step + 1]) if step + 1 < len(row) else (row[step - 1], row[step])
        along = placement.points[end] - placement.points[start]
        x, y = placement.points[index].tolist()
        score = min(float(placement.mass[index]), 1.0)
        reason = _reason(placement, upright, row, step)
        joints.append(FoundJoint(finger, LANDMARKS[index].joint, x, y, unit(*along.tolist()), score, reason))
    return joints


def _reason(placement: Placement, upright: Array, row: list[int], step: int) -> str:
    """Reason for refusing a joint; empty if it is not refused.

    Args:
        placement: placed hand.
        upright: its landmarks in the coordinates of the mean hand, (24, 2).
        row: landmarks of the finger, from the carpus.
        step: number of the joint in the row.
    """
    other = step + 1 if step + 1 < len(row) else step - 1
    if placement.mass[row[step]] < LEAST_MASS:
        return "uncertain"
    if placement.mass[row[other]] < LEAST_MASS:
        return f"direction unknown: {LANDMARKS[row[other]].joint} not found"
    for bone in {(max(step - 1, 0), step), (step, min(step + 1, len(row) - 1))}:
        pair = [row[bone[0]], row[bone[1]]]
        if bone[0] != bone[1] and (placement.mass[pair] >= LEAST_MASS).all() and not _plausible(upright, pair):
            return "implausible length of a bone"
    bent = min(step, len(row) - 2)  # the end of a finger has the angle of the joint before it
    if (placement.mass[row[bent - 1 : bent + 2]] >= LEAST_MASS).all() and _bend(upright, row, bent) > BEND:
        return "implausible angle between bones"
    return ""


def _plausible(upright: Array, pair: list[int]) -> bool:
    own, mean = (np.linalg.norm(points[pair[1]] - points[pair[0]]) for points in (upright, MEAN_HAND))
    return bool(LENGTHS[0] <= own / mean <= LENGTHS[1])


def _bend(upright: Array, row: list[int], step: int) -> float:
    """Angle in degrees between the bones on either side of a joint."""
    before, after = upright[row[step]] - upright[row[step - 1]], upright[row[step + 1]] - upright[row[step]]
    return abs(float(np.angle(complex(*after) / complex(*before), deg=True)))
