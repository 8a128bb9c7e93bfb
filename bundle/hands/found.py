"""Hands and joints that the finder reports."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bundle.io import JointPlace


@dataclass(frozen=True)
class FoundJoint:
    """A joint, or a fingertip, found in a radiograph.

    Attributes:
        finger: one of :data:`bundle.joint.FINGERS`.
        joint: ``MCP``, ``PIP`` (thumb: ``IP``), ``DIP`` or ``tip``.
        x: position in pixels of the radiograph, to the right, integers at pixel centres. It is the landmark: in the
            base of the distal bone of the joint, 1 to 3 mm beyond the joint space; for ``tip`` the end of the distal
            phalanx. If it was not found, it is that of the mean hand, perhaps outside the radiograph.
        y: position in pixels of the radiograph, downwards.
        direction: unit vector (x, y) towards the fingertip, along the distal bone of the joint; estimated from the
            bone before it if the radiograph cuts the finger off.
        score: probability that the landmark is there, in [0, 1].
        refused: reason why the joint should not be used; empty for none.
    """

    finger: str
    joint: str
    x: float
    y: float
    direction: tuple[float, float]
    score: float
    refused: str = ""

    @property
    def name(self) -> str:
        """Joint and finger, such as ``mcp_index``."""
        return f"{self.joint.lower()}_{self.finger}"


@dataclass(frozen=True)
class FoundHand:
    """A hand found in a radiograph.

    Attributes:
        side: ``left`` or ``right``, as displayed: with the fingers up, the thumb of a left hand is on the right. This
            is the side of the patient in a dorsopalmar (PA) radiograph that is not mirrored.
        rotation_deg: rotation of the hand from upright, clockwise as displayed, in (-180, 180].
        inverted: whether bone is dark, in a radiograph that should have been inverted.
        score: mean probability of the landmarks that lie in the radiograph, in [0, 1].
        size: height in pixels of the upright crop, 1.25 times the distance from the carpus to the tip of the middle
            finger.
        joints: all joints from the thumb to the small finger, from the MCP joint to the fingertip; those that were
            not found are refused.
    """

    side: str
    rotation_deg: float
    inverted: bool
    score: float
    size: float
    joints: tuple[FoundJoint, ...] = field(default_factory=tuple)

    @property
    def mirrored(self) -> bool:
        """Whether the hand is the mirror image of a left hand as displayed."""
        return self.side == "right"

    def joint(self, finger: str, joint: str = "MCP") -> FoundJoint | None:
        """Return the joint of a finger and kind; None if there is none."""
        return next((one for one in self.joints if (one.finger, one.joint) == (finger, joint)), None)


def found_places(hand: FoundHand, joint: str = "MCP") -> list[JointPlace]:
    """Convert the joints of one kind to places for frames, without refused joints, named like ``mcp_index``.

    Args:
        hand: hand.
        joint: kind of the joints.
    """
    return [place_of(one) for one in hand.joints if one.joint == joint and not one.refused]


def place_of(joint: FoundJoint) -> JointPlace:
    """Convert a joint to a place for a frame."""
    return JointPlace(joint.name, (joint.x, joint.y), joint.direction)


def unit(x: float, y: float) -> tuple[float, float]:
    """Scale a vector to length 1."""
    length = math.hypot(x, y)
    return x / length, y / length
