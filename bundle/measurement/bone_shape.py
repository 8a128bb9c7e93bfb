"""Shape of the bones of a joint from their masks: roundness of the head, flare of the upper shaft, and displacement.

The head of a metacarpal is round and the shaft of its phalanx waisted; the condyles of phalanges are square, and the
bones of the wrist and the distal phalanges widen away from the joint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from bundle.joint import UPPER
from bundle.measurement.axis import turned
from bundle.measurement.facing import facing_rows
from bundle.measurement.pose import JointPose
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from torch import Tensor

_HEAD, _BASE = (1.0, 4.0), (6.0, 2.0)
"""Distances in mm from the joint at which the widths of the lower and of the upper bone are compared."""

_HEAD_HEIGHT = 7.0
"""Height in mm of the head, from the highest row of its mask."""

_SIDES_OF_HEAD, _SIDES_OF_BASE = (2.0, 6.0), (0.5, 3.0)
"""Distances in mm from the ends of the lower and of the upper bone between which their sides are compared."""

_SHAFT, _SHORTEST_SHAFT = (3.5, 11.0), 1.6
"""Distances in mm from the end of a bone between which its shaft shows its direction, and the shortest such shaft."""

LARGEST_OF_MCP = 1.68
"""Largest sum of both ratios at an MCP joint of an adult: 2.6 % of the public radiographs, but 85 % of PIP, 100 % of
DIP and 93 % of carpometacarpal joints exceed it."""


@dataclass(frozen=True)
class BoneShape:
    """Shape of the bones of B joints.

    Attributes:
        head: width of the lower bone 1 mm below its head's outline, relative to that 4 mm below it, (B,).
        shaft: width of the upper bone 6 mm above its base, relative to that 2 mm above it, (B,).
    """

    head: Tensor
    shaft: Tensor

    @property
    def fits_mcp(self) -> Tensor:
        """Whether the bones have the shape of an adult's MCP joint, (B,); false if the masks show no joint."""
        return self.head + self.shaft <= LARGEST_OF_MCP


def head_bays(mask: NDArray[np.bool_], pixel: float) -> float:
    """Measure the bays of a head: the fraction of its convex hull that its mask does not cover.

    The head of a metacarpal has hardly any. A mask that also covers a part of the phalanx has large ones.

    Args:
        mask: mask of the lower bone, (H, W).
        pixel: pixel size in mm.

    Returns:
        A fraction in [0, 1); NaN for an empty mask.
    """
    rows, columns = np.nonzero(mask)
    head = rows < rows.min(initial=len(mask)) + _HEAD_HEIGHT / pixel
    if not head.any():
        return math.nan
    corners = [[rows[head] + down, columns[head] + right] for down in (0, 1) for right in (0, 1)]
    hull = ConvexHull(np.concatenate(corners, axis=1).T)  # the volume of a plane hull is its area
    return 1.0 - float(head.sum() / hull.volume)


def displacement(lower: NDArray[np.bool_], upper: NDArray[np.bool_], pixel: float) -> float:
    """Measure how far the base of the upper bone is displaced sideways on the head of the lower one.

    It is the smaller one of the distances between their left sides and between their right sides, because one of them
    also differs where a bone is wider or the frame cuts it. The distances are measured across a direction halfway
    between the vertical of the frame and the mean direction of the shafts, because neither of them is certain.

    Args:
        lower: mask of the lower bone, (H, W).
        upper: mask of the upper bone.
        pixel: pixel size in mm.

    Returns:
        Displacement in mm, positive to the right; 0 if one bone extends beyond the other on both sides, NaN for an
        empty mask.
    """
    head, base = _Sides(lower, 1), _Sides(upper, -1)
    lean = (head.lean(pixel) + base.lean(pixel)) / 4.0
    lean = 0.0 if math.isnan(lean) else lean
    left, right = (base.at(_SIDES_OF_BASE, lean, pixel) - head.at(_SIDES_OF_HEAD, lean, pixel)) * pixel
    return math.nan if math.isnan(left) else max(min(left, right), 0.0) + min(max(left, right), 0.0)


class _Sides:
    """Left and right side of a bone in the rows of its mask, from its end at the joint.

    Args:
        mask: mask of the bone, (H, W).
        step: 1 if its end is at the top, -1 if it is at the bottom.
    """

    def __init__(self, mask: NDArray[np.bool_], step: int) -> None:
        self.rows = np.flatnonzero(mask.any(axis=1))[::step]
        own = mask[self.rows]
        self.columns = np.stack([own.argmax(axis=1), own.shape[1] - own[:, ::-1].argmax(axis=1)])
        self.whole = ~own[:, 0] & ~own[:, -1]

    def at(self, between: tuple[float, float], lean: float, pixel: float) -> NDArray[np.float64]:
        """Median columns (left, right) between two depths in mm, of a bone that is sheared upright; NaN for none."""
        chosen = self._between(between, pixel)
        sheared = self.columns[:, chosen] - lean * self.rows[chosen]
        return np.median(sheared, axis=1) if chosen.any() else np.full(2, math.nan)

    def lean(self, pixel: float) -> float:
        """Columns per row of the middle of the shaft where the frame does not cut it; NaN for too short a shaft."""
        chosen = self._between(_SHAFT, pixel) & self.whole
        if chosen.sum() * pixel < _SHORTEST_SHAFT:
            return math.nan
        return float(np.polyfit(self.rows[chosen], self.columns[:, chosen].mean(axis=0), 1)[0])

    def _between(self, between: tuple[float, float], pixel: float) -> NDArray[np.bool_]:
        depth = np.abs(self.rows - self.rows[:1]) * pixel
        return np.asarray((depth > between[0]) & (depth < between[1]))


def bone_shape(masks: Tensor, pose: JointPose) -> BoneShape:
    """Measure the shape of the bones.

    Args:
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
        pose: poses of the joints (:func:`joint_pose`).
    """
    upright = turned(masks, pose.axis)
    edges, common = facing_rows(upright)
    middle = upright.shape[-2] / 2
    base = (edges[:, UPPER] * common).sum(-1) / common.sum(-1) - middle
    head = pose.head / pose.pixel[:, 0]
    lower, upper = ((bone > 0.5).sum(-1).to(masks) for bone in upright.unbind(1))
    first, second = (_at(lower, head + middle + far / pose.pixel[:, 0]) for far in _HEAD)
    far, near = (_at(upper, base + middle - up / pose.pixel[:, 0]) for up in _BASE)
    unknown = 0.0 * pose.axis
    return BoneShape(first / second.clamp(min=1.0) + unknown, far / near.clamp(min=1.0) + unknown)


def _at(widths: Tensor, row: Tensor) -> Tensor:
    """Widths (B, H) at rows (B,), rounded and clipped to the image."""
    index = (row - 0.5).nan_to_num().round().long().clamp(0, widths.shape[-1] - 1)
    return widths.gather(1, index[:, None])[:, 0]
