"""Joints of all hands in a radiograph, as places for frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bundle.errors import InputError
from bundle.hands.found import FoundHand, FoundJoint, place_of
from bundle.hands.hand_size import estimated_pixel_mm
from bundle.hands.landmarks import CHAINS
from bundle.io import FoundPlace, JointPlace, MarkName
from torch import Tensor

KINDS = sorted({joint for joints in CHAINS.values() for joint in joints} - {"tip"})
"""Kinds of joints that are found."""


class JointFinder:
    """Finder of the joints of one kind in radiographs of hands (``find`` of :func:`bundle.io.joint_items`).

    A joint is named by side, kind and finger, such as ``left_mcp_index``. The side is that of the hand as displayed.

    Args:
        hands: finder of the hands in a radiograph (:class:`bundle.hands.HandFinder`).
        joint: kind of the joints, MCP, PIP, IP, DIP or CMC.

    Raises:
        InputError: an argument is invalid.
    """

    def __init__(self, hands: Callable[[Tensor], Sequence[FoundHand]], joint: str = "MCP") -> None:
        if not callable(hands) or joint not in KINDS:
            msg = f"find: the kind {joint!r} or the finder is invalid. Pass one of {', '.join(KINDS)} as --find#joint."
            raise InputError(msg)
        self.hands, self.joint = hands, joint

    def __call__(self, radiograph: Tensor) -> list[FoundPlace]:
        """Find the joints in a radiograph (1, H, W) in [0, 1]; refused joints state the reason.

        Raises:
            InputError: a hand is inverted.
        """
        hands = self.hands(radiograph)
        if any(hand.inverted for hand in hands):
            msg = "the bones are darker than the soft tissue. Invert the radiograph."
            raise InputError(msg)
        return [
            FoundPlace(_named(joint, hand), joint.score, estimated_pixel_mm(hand), joint.refused)
            for hand in hands
            for joint in hand.joints
            if joint.joint == self.joint
        ]


def _named(joint: FoundJoint, hand: FoundHand) -> JointPlace:
    stated = MarkName(joint.finger, hand.side, joint.joint)
    return replace(place_of(joint), name=f"{hand.side}_{joint.name}", stated=stated)
