"""Joints of one finger of a placed hand: positions, directions and reasons for refusal."""

from __future__ import annotations

import numpy as np
from bundle.hands.found import FoundJoint, unit
from bundle.hands.landmarks import LANDMARKS, MEAN_HAND, Array, apply, chain, inverse
from bundle.hands.placing import Placement
from numpy.typing import NDArray

LEAST_MASS = 0.5
"""Smallest probability of a landmark that is reported without refusal."""

SHOWN_MASS = 0.15
"""Probability of a landmark below which it is not found."""

LENGTHS = (0.6, 1.6)
"""Smallest and largest length of a bone relative to that of the mean hand of the same size."""

BEYOND = 1.2
"""Length of a bone relative to that of the mean hand of the same size within which a cut finger leaves the
radiograph."""

BEND = 45.0
"""Largest angle in degrees between two bones of a finger."""

MARGIN = 0.01
"""Distance from the border in heights of the upright crop within which a landmark counts as outside."""

CUT_OFF = "the finger is cut off at the edge of the radiograph"


def is_inside(points: Array, placement: Placement, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether points (..., 2) lie in a radiograph of a height and width, away from its border."""
    edge = MARGIN * placement.size
    return np.asarray(((points >= edge) & (points <= np.array(shape)[::-1] - 1 - edge)).all(axis=-1))


class Finger:
    """A finger of a placed hand.

    Args:
        placement: placed hand.
        shape: height and width of the radiograph.
        name: name of the finger.
    """

    def __init__(self, placement: Placement, shape: tuple[int, int], name: str) -> None:
        self.placement, self.shape, self.name, self.row = placement, shape, name, chain(name)
        self.mass, self.points = placement.mass[self.row], placement.points[self.row]
        self.sure = self.mass >= LEAST_MASS
        self.bones = _bones(apply(inverse(placement.matrix), self.points))
        self.mean_bones = _bones(MEAN_HAND[self.row])

    def joints(self) -> list[FoundJoint]:
        """Joints from the MCP joint to the tip, with the reason for each refusal."""
        return [self._joint(step) for step in range(1, len(self.row))]

    def _joint(self, step: int) -> FoundJoint:
        (x, y), score = self.points[step].tolist(), min(float(self.mass[step]), 1.0)
        direction = unit(*self._along(step).tolist())
        return FoundJoint(self.name, self._kind(step), x, y, direction, score, self._reason(step))

    def _kind(self, step: int) -> str:
        return LANDMARKS[self.row[step]].joint

    def _along(self, step: int) -> Array:
        """Bone (x, y) that gives the direction of a joint: the distal one, estimated if its end was not found.

        The estimate continues the bone before it, at the angle and with the length of the mean hand.
        """
        if step == len(self.bones) or self.sure[step + 1]:
            bone = min(step, len(self.bones) - 1)
            return np.asarray(self.points[bone + 1] - self.points[bone])
        before, mean = self.bones[step - 1], self.mean_bones
        after = mean[step] * before / mean[step - 1] / abs(before / mean[step - 1])
        return self.placement.matrix[:, :2] @ np.array([after.real, after.imag])

    def _reason(self, step: int) -> str:
        """Reason for refusing a joint, given by its number in the finger; empty if it is not refused."""
        if not self.sure[step]:
            return self._missing(step)
        other = step + 1 if step < len(self.bones) else step - 1
        if not (self.sure[other] or self._is_cut_beyond(step)):
            return f"direction unknown, {self._kind(other)} not found"
        if not all(self._is_plausible(bone) for bone in range(step - 1, min(step + 1, len(self.bones)))):
            return "implausible length of a bone"
        return "implausible angle between bones" if self._bend(min(step, len(self.bones) - 1)) > BEND else ""

    def _missing(self, step: int) -> str:
        """Reason for a joint without a certain landmark."""
        if self.mass[step] >= SHOWN_MASS:
            return "uncertain"
        return "not found" if is_inside(self.points[step], self.placement, self.shape) else CUT_OFF

    def _is_cut_beyond(self, step: int) -> bool:
        """Whether a finger leaves the radiograph beyond a joint, and the bone before the joint gives its direction."""
        if step == len(self.bones) or not self.sure[step - 1]:
            return False
        end = self.points[step] + BEYOND * self._along(step)
        return not is_inside(end, self.placement, self.shape)

    def _is_plausible(self, bone: int) -> bool:
        """Whether a bone has a plausible length; true if one of its ends is uncertain."""
        length = abs(self.bones[bone] / self.mean_bones[bone])
        return bool(not self.sure[bone : bone + 2].all() or LENGTHS[0] <= length <= LENGTHS[1])

    def _bend(self, step: int) -> float:
        """Angle in degrees between the bones on either side of a joint; 0 if one of their ends is uncertain."""
        if not self.sure[step - 1 : step + 2].all():
            return 0.0
        return abs(float(np.angle(self.bones[step] / self.bones[step - 1], deg=True)))


def _bones(points: Array) -> NDArray[np.complex128]:
    """Bones between the landmarks (N, 2) of a finger, complex."""
    steps = np.diff(points, axis=0)
    return np.asarray(steps[:, 0] + 1j * steps[:, 1])
