"""Frames of joints marked in hands, placed so that they do not depend on the exact mark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from bundle.errors import InputError
from bundle.io.frames import JointFrame
from bundle.io.loading import Item, OpenFiles, joint_digest
from bundle.joint import BONES, CLOSED_PLATE, OPEN_PLATE, UNKNOWN_PLATE, Keys
from torch import Tensor

T = TypeVar("T")

Recentre = Callable[[Tensor, JointFrame], tuple[JointFrame, dict[str, Any]]]
"""Places the frame of a joint in a radiograph (1, H, W) from a mark, and returns it with more keys of the joint's item:
:class:`bundle.hands.Recentring`."""


def in_hand(item: Mapping[str, Any]) -> bool:
    """Whether a joint is marked or found in a radiograph of a hand."""
    return bool(item.get(Keys.POINTS) or item.get(Keys.SCORE) is not None)


def recentred(item: Item, files: OpenFiles, recentre: Recentre | None) -> Item:
    """Place the frame of a joint that is marked in a hand, so that it does not depend on the exact mark.

    Joints with given masks, and radiographs of one joint, keep their frames.

    Args:
        item: item of :func:`open_joints`.
        files: its files.
        recentre: places the frame; None keeps it.

    Returns:
        The item with the new ``frame``, its ``digest`` and ``growth_plate``.

    Raises:
        InputError: no frame can be placed, or the joint is refused.
    """
    if item.get(Keys.REFUSED):
        msg = f"{item[Keys.IMAGE]}: joint {item[Keys.NAME]}: {item[Keys.REFUSED]}. Mark it if it can be used."
        raise InputError(msg)
    if recentre is None or not in_hand(item) or any(item[bone] for bone in BONES):
        return item
    mark = JointFrame.from_json(item["frame"])
    try:
        frame, known = recentre(torch.from_numpy(files.radiograph.intensity)[None], mark)
    except InputError as error:
        msg = f"{item['image']}: {error}"
        raise InputError(msg) from error
    described = frame.to_json()
    return {**item, **known, "frame": described, "digest": joint_digest([int(item["digest"], 16)], described)}


def usable(joints: Iterable[Item], use: Callable[[Item], T]) -> tuple[list[T], dict[str, str]]:
    """Use the joints of a hand one by one.

    Args:
        joints: items of the joints.
        use: use of a joint, such as :func:`recentred`; raises :class:`InputError` if the joint is unusable.

    Returns:
        What ``use`` returns for each usable joint, and why the others are unusable, by name.
    """
    used, reasons = [], {}
    for joint in joints:
        try:
            used.append(use(joint))
        except InputError as error:
            reasons[str(joint[Keys.NAME])] = str(error)
    return used, reasons


def agreed_plates(joints: Sequence[Item]) -> list[Item]:
    """Treat an unknown growth plate as open if more of the hand's other growth plates are open than closed.

    The growth plates of a hand's MCP joints close within about two years of each other.

    Args:
        joints: items of joints; those with the same ``image`` belong to one hand.
    """
    states = Counter((joint[Keys.IMAGE], joint.get(Keys.GROWTH_PLATE)) for joint in joints if Keys.IMAGE in joint)
    open_hands = {image for image, _ in states if states[image, OPEN_PLATE] > states[image, CLOSED_PLATE]}
    return [
        {**joint, Keys.GROWTH_PLATE: OPEN_PLATE} if _plate_is_unknown(joint, open_hands) else joint for joint in joints
    ]


def _plate_is_unknown(joint: Item, hands: Container[str]) -> bool:
    """Whether the growth plate of a joint is unknown, and its radiograph is one of ``hands``."""
    return joint.get(Keys.GROWTH_PLATE) == UNKNOWN_PLATE and joint[Keys.IMAGE] in hands
