"""Frames of joints that do not depend on the exact mark: centred on the joint space and upright.

A mark shows where a joint is, to about 3 mm and 20 degrees. The frame around it is segmented at half the resolution,
moved to the middle of the joint space and rotated along the joint's axis, and segmented again, until it converges. The
masks also show whether the frame holds a joint at all, and whether the growth plate of its upper bone is open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from bundle.base import one_thread
from bundle.errors import InputError, number_argument
from bundle.io import JointFrame
from bundle.joint import MCP, OPEN_PLATE, Keys
from bundle.measurement import BoneShape, JointPose, PlateSigns, bone_shape, joint_pose, plate_signs, rotated
from bundle.segmentation import BoneSegmenter
from torch import Tensor

TURNS = 3
"""Maximum number of times that a frame is segmented and moved."""

REST_MM, REST_DEG = 0.1, 0.5
"""Largest last motion of a frame that has converged."""

UNSTABLE_MM, UNSTABLE_DEG = 0.75, 6.0
"""Last motion above which a frame is refused after :data:`TURNS`; 0.7 mm and 5.6 degrees are the largest in hands of
adults."""

FARTHEST_MM = 5.0
"""Largest distance of the middle of the joint space from the mark."""

NEAR_MM = 9.0
"""Distance from the middle of the joint space up to which the masks determine the pose."""

Motion = tuple[float, float, float]
"""Shift to the right and down in mm, and rotation in degrees, positive clockwise."""

NO_JOINT = "the masks show no two bones facing each other"
UNSTABLE = "the frame does not converge on a joint"
FAR = "the joint found lies too far from the mark"
GROWING = "open growth plate: the masks leave the bones"
OTHER_JOINT = "the bones have the shape of another joint than an MCP joint"


@dataclass(frozen=True)
class Recentred:
    """A frame found from a mark.

    Attributes:
        frame: frame, centred on the joint space and upright.
        turns: number of times that the frame was segmented.
        motion: motion from the mark to the frame: right and down in mm, and degrees clockwise, in the marked frame.
        last: last motion of the frame; NaN if the masks show no joint.
        pose: pose of the joint in the last frame that was segmented.
        signs: signs of an open growth plate in that frame.
        shape: shape of the bones in that frame.
        refused: reason why the frame should not be used, or "".
    """

    frame: JointFrame
    turns: int
    motion: Motion
    last: Motion
    pose: JointPose
    signs: PlateSigns
    shape: BoneShape
    refused: str = ""

    @property
    def growth_plate(self) -> str:
        """State of the growth plate: open, closed or unknown."""
        return self.signs.states[0]


class Recentring:
    """Placement of frames on the joint space, from marks that are off by up to 3 mm and 20 degrees.

    Args:
        segmenter: network that predicts the masks.
        farthest_mm: largest distance of the joint space from the mark.

    Raises:
        InputError: the distance is not a length.
    """

    def __init__(self, segmenter: BoneSegmenter, farthest_mm: float = FARTHEST_MM) -> None:
        self.segmenter = segmenter
        self.farthest_mm = number_argument("farthest_mm", farthest_mm, 0.0, MCP.frame_mm)

    def __call__(self, radiograph: Tensor, mark: JointFrame) -> tuple[JointFrame, dict[str, Any]]:
        """Place a frame, and return it with what is known of the joint: ``growth_plate``.

        Args:
            radiograph: radiograph of a hand, (1, H, W) in [0, 1].
            mark: frame around a mark.

        Raises:
            InputError: the frame does not converge on a joint, its masks leave the bones, or it leaves the radiograph.
        """
        found = self.find(radiograph, mark)
        if found.refused:
            msg = f"joint {mark.place.name}: {found.refused}. Check the mark, or leave the joint out."
            raise InputError(msg)
        return found.frame, {Keys.GROWTH_PLATE: found.growth_plate}

    def find(self, radiograph: Tensor, mark: JointFrame) -> Recentred:
        """Find the frame of a joint; arguments as of a call.

        Raises:
            InputError: the frame leaves the radiograph.
        """
        with one_thread():
            return self._find(radiograph, mark)

    def _find(self, radiograph: Tensor, mark: JointFrame) -> Recentred:
        frame, motions = replace(mark, size=MCP.pixels), [(math.inf, math.inf, math.inf)]
        while len(motions) <= TURNS and not _rests(motions[-1]):
            image = frame.cut(radiograph).clamp(0.0, 1.0)
            masks = self.segmenter.coarse(image)[None]
            pose = _pose_near_joint(masks, frame.side / masks.shape[-1])
            motions.append(_centre(pose))
            frame = frame if math.isnan(motions[-1][-1]) else frame.moved(*motions[-1])
        frame, signs = replace(frame, size=mark.size), plate_signs(image[None], masks, pose, frame.side)
        found = Recentred(
            frame, len(motions) - 1, mark.motion_to(frame), motions[-1], pose, signs, bone_shape(masks, pose)
        )
        return replace(found, refused=self._refused(found))

    def _refused(self, found: Recentred) -> str:
        """Reason of refusal, or ""; the bones of a frame as wide as those of MCP joints must have their shape."""
        (right, down, _), (x, y, degrees) = found.motion, found.last
        if math.isnan(degrees):
            return NO_JOINT
        if not bool(found.signs.on_bones):
            return GROWING
        if math.hypot(x, y) > UNSTABLE_MM or abs(degrees) > UNSTABLE_DEG:
            return UNSTABLE
        if math.hypot(right, down) > self.farthest_mm:
            return FAR
        is_mcp = found.frame.side == MCP.frame_mm and found.growth_plate != OPEN_PLATE
        return OTHER_JOINT if is_mcp and not bool(found.shape.fits_mcp) else ""


def _pose_near_joint(masks: Tensor, pixel: float) -> JointPose:
    """Pose of a joint from the masks (1, 2, H, W) near the joint space, where they do not depend on the frame."""
    rows = (torch.arange(masks.shape[-2]) + 0.5 - masks.shape[-2] / 2) * pixel
    far = (rows - joint_pose(masks, pixel).space).abs() > NEAR_MM
    return joint_pose(masks.masked_fill(far[:, None], 0.0), pixel)


def _centre(pose: JointPose) -> Motion:
    """Middle of the joint space (x, y) in mm from the frame's centre, and the joint's axis in degrees."""
    x, y = rotated(pose.middle, pose.space, pose.axis)
    return float(x), float(y), float(pose.axis)


def _rests(motion: Motion) -> bool:
    """Whether a motion in mm and degrees is small enough to be the last; true if it is unknown."""
    x, y, degrees = motion
    return not (math.hypot(x, y) >= REST_MM or abs(degrees) >= REST_DEG)
