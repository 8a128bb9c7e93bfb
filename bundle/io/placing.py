"""Frames of joints marked in hands, placed so that they do not depend on the exact mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from bundle.errors import InputError
from bundle.io.frames import JointFrame
from bundle.io.loading import Item, OpenFiles, joint_digest
from bundle.joint import BONES, Keys
from torch import Tensor

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
        InputError: no frame can be placed.
    """
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
