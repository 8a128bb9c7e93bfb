"""Joints that are marked in a hand: their sides and fingers, and the series that a joint forms over several hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bundle.io.frames import JointPlace
from bundle.io.mark_names import UNKNOWN
from bundle.joint import JointType


def agreed_side(stated: Mapping[str, str]) -> tuple[str, str]:
    """Return the first known side, and the contradiction of the known sides in words, empty if there is none.

    >>> agreed_side({"the list or folder": "unknown", "the DICOM header": "right", "the mark": "left"})
    ('right', 'the DICOM header states right, the mark states left')

    Args:
        stated: side by each source, one of :data:`bundle.joint.SIDES` or "unknown", in the order of precedence.
    """
    known = {source: side for source, side in stated.items() if side != UNKNOWN}
    conflict = ", ".join(f"{source} states {side}" for source, side in known.items())
    return next(iter(known.values()), UNKNOWN), conflict if len(set(known.values())) > 1 else ""


def marked_joints(
    hand: Mapping[str, Any],
    places: Sequence[JointPlace],
    sides: Mapping[str, str],
    joint_type: JointType,
    by: str = "the mark",
) -> list[dict[str, Any]]:
    """Return the items of the joints of a hand with ``name, joint, finger, side, side_conflict, series``.

    Args:
        hand: item of the hand.
        places: positions of its joints.
        sides: sides by the other sources (:func:`agreed_side`), which take precedence over the marks.
        joint_type: type of the joints that their marks do not state.
        by: what states the side of a place.
    """
    joints = [_marked(hand, place, sides, by, len(places) == 1) for place in places]
    rows = list(zip(joints, places, strict=True))
    series = [series_of(hand, joint, place, joint_type) for joint, place in rows]
    return [
        {**joint, "series": one if series.count(one) == 1 else _by_label(hand, joint, place)}
        for (joint, place), one in zip(rows, series, strict=True)
    ]


def _marked(
    hand: Mapping[str, Any], place: JointPlace, sides: Mapping[str, str], by: str, alone: bool
) -> dict[str, Any]:
    """The item of a joint; the finger of the list applies only if the hand has no other joint."""
    side, conflict = agreed_side({**sides, by: place.stated.side})
    finger = hand["finger"] if alone and hand["finger"] != UNKNOWN else place.stated.finger
    name = f"{hand['name']}_{place.name}"
    return {**hand, "name": name, "joint": name, "finger": finger, "side": side, "side_conflict": conflict}


def series_of(hand: Mapping[str, Any], joint: Mapping[str, Any], place: JointPlace, joint_type: JointType) -> str:
    """Name the series of a marked joint, shared by all radiographs of it.

    With a known patient, side and finger it consists of these and the joint, wherever the radiographs are. Otherwise it
    holds within the folder, or the ``joint`` of the list, and consists of the side and the finger, or the label of the
    mark. Joints of one hand that would share a series have that of their labels instead.
    """
    if joint["finger"] == UNKNOWN:
        return _by_label(hand, joint, place)
    patient = hand.get("patient") if joint["side"] != UNKNOWN else ""
    kind = place.stated.joint or joint_type.name
    return f"{patient or hand['joint']}_{joint['side']}_{joint['finger']}_{kind}".casefold()


def _by_label(hand: Mapping[str, Any], joint: Mapping[str, Any], place: JointPlace) -> str:
    return f"{hand['joint']}_{joint['side']}_{place.name}".casefold()
