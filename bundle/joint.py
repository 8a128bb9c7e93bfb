"""What the whole house talks about: a joint, its bones, its finger and its side. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

LOWER, UPPER = 0, 1
"""Channels of masks, motions and edges: the lower bone (distal, a phalanx) and the upper one (proximal)."""

FINGERS = ("small", "ring", "middle", "index", "thumb")
SIDES = ("left", "right")


@dataclass(frozen=True, eq=False)
class Joint:
    """A radiograph of one joint with the masks of its bones.

    Attributes:
        radiograph: (1, H, W) in [0, 1], bone bright, the upper bone at the top.
        masks: lower and upper bone, (2, H, W) of 0 and 1.
        spacing_mm: height and width of a pixel.
        name: pseudonym of the joint.
        finger: one of :data:`FINGERS`, or "unknown".
        side: one of :data:`SIDES`, or "unknown".
        frame: how it is cut out of a larger radiograph, in JSON; empty where it is one of its own.
        file: of the radiograph; empty of a phantom.
    """

    radiograph: Tensor
    masks: Tensor
    spacing_mm: float
    name: str = "joint"
    finger: str = "unknown"
    side: str = "unknown"
    frame: str = ""
    file: str = ""
