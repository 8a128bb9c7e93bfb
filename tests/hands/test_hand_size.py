from __future__ import annotations

import math

import pytest
from bundle.hands.found import FoundHand, FoundJoint
from bundle.hands.hand_size import PHALANX_MM, estimated_pixel_mm


def hand(pixel_mm: float, refused: str = "") -> FoundHand:
    joints = []
    for at, (finger, length) in enumerate(PHALANX_MM.items()):
        x, reason = 100.0 * at, refused if finger == "index" else ""
        joints.append(FoundJoint(finger, "MCP", x, 500.0, (0.6, -0.8), 0.9))
        pip = (x + 0.6 * length / pixel_mm, 500.0 - 0.8 * length / pixel_mm)
        joints.append(FoundJoint(finger, "PIP", *pip, (0.6, -0.8), 0.9, reason))
    return FoundHand("left", 0.0, False, 0.9, 900.0, tuple(joints))


def test_a_mean_hand_has_its_pixel_size() -> None:
    assert estimated_pixel_mm(hand(0.14)) == pytest.approx(0.14)


def test_one_finger_of_another_length_changes_nothing() -> None:
    whole = hand(0.2)
    bent = [joint for joint in whole.joints if (joint.finger, joint.joint) != ("middle", "PIP")]
    bent.append(FoundJoint("middle", "PIP", 100.0, 450.0, (0.0, -1.0), 0.9))
    assert estimated_pixel_mm(FoundHand("left", 0.0, False, 0.9, 900.0, tuple(bent))) == pytest.approx(0.2)


def test_refused_joints_are_not_used_and_nothing_is_estimated_from_none() -> None:
    assert estimated_pixel_mm(hand(0.2, refused="uncertain")) == pytest.approx(0.2)
    assert math.isnan(estimated_pixel_mm(FoundHand("left", 0.0, False, 0.9, 900.0, ())))
