"""Data types shared by all packages: joints, joint types, bones, fingers and sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from bundle.errors import InputError, instance_argument, number_argument
from torch import Tensor

LOWER, UPPER = 0, 1
"""Channels of masks, motions and edges. The lower bone is proximal (metacarpal head of an MCP joint). The upper bone,
at the top of the frame, is distal (base of the proximal phalanx)."""

BONES = ("lower", "upper")
"""Names of the bones, by channel."""

LAYER_NAMES = ("soft", *BONES)
"""Names of the layers, by channel."""

FINGERS = ("small", "ring", "middle", "index", "thumb")
SIDES = ("left", "right")

OPEN_PLATE, CLOSED_PLATE, UNKNOWN_PLATE = "open", "closed", "unknown"
"""States of the growth plate of the upper bone."""

ESTIMATED = "estimated"
"""Origin of a pixel size that follows from the size of the hand."""


SMALLEST_SPACING, LARGEST_SPACING = 1e-3, 100.0
"""Smallest and largest pixel size in mm."""

ROUNDING = 1e-4
"""Largest excess of a value over the range from 0 to 1."""


COARSE_SPACING = 0.25
"""Pixel size of a file in mm above which it is coarse: linear interpolation shows the pixels as a grid."""


class Keys:
    """Keys of the dictionaries of MONAI transforms, engines and data lists."""

    IMAGE = "image"
    """Radiograph and bone masks, (3, H, W); in lists, the file of the radiograph."""
    LABEL = "label"
    """Reference layers of a separation, (3, H, W): true for phantoms, otherwise weight-free."""
    PRED = "pred"
    """Layers predicted by the generator, (3, H, W)."""
    SEEN = "seen"
    """Input of the generator where it differs from ``image``."""
    TRUTH = "truth"
    """(1,): 1 if ``label`` is true, 0 if it is an estimate."""
    SOURCE = "source"
    """Source joint of a pseudo-overlap image: ``image`` before closing."""
    SPACING = "spacing"
    """Pixel size in mm."""
    REFUSED = "refused"
    """Why a joint that was found in a hand, or its frame, cannot be used; empty if it can."""
    SPACING_SOURCE = "spacing_source"
    """Origin of the pixel size: "given", "file", "assumed" or "estimated"."""
    MASKS = "masks"
    """Lower and upper bone, (2, H, W)."""
    LAYERS = "layers"
    """Soft tissue, lower and upper bone, (3, H, W)."""
    MOTION = "motion"
    """Motion of the bones."""
    LOSS = "loss"
    """Loss of the generator in a step."""
    NAME = "name"
    """Pseudonym of the radiograph."""
    JOINT = "joint"
    """Pseudonym of the joint, the same for all its radiographs."""
    FINGER = "finger"
    """One of :data:`FINGERS`, or "unknown"."""
    SIDE = "side"
    """One of :data:`SIDES`, or "unknown"."""
    LOWER, UPPER = BONES
    """In lists, the files of the masks."""
    POINTS = "points"
    """In lists, the file with the joint positions of a hand."""
    SCORE = "score"
    """Probability of a joint that was found in a hand, in [0, 1]."""
    FRAME = "frame"
    """Frame of a joint in a larger radiograph, in JSON; empty for a radiograph of one joint."""
    GROWTH_PLATE = "growth_plate"
    """State of the growth plate of the upper bone: "open", "closed" or "unknown"."""
    DIGEST = "digest"
    """Checksum of the files of a joint."""
    SEED = "seed"
    """Random seed of a phantom."""


@dataclass(frozen=True)
class JointType:
    """A type of finger joint: its frame, plausible sizes and names; lengths in mm.

    Attributes:
        name: abbreviation.
        frame_mm: height and width of the frame.
        pixels: height and width of the frame in pixels.
        extent_mm: minimum and maximum width of a radiograph of one such joint.
        outline_gap_mm: minimum and maximum gap between the outlines of phantoms; negative values overlap.
        normal_joint_space_mm: joint space width of healthy adults.
        lower_bone: name of the lower, proximal bone.
        upper_bone: name of the upper, distal bone.
        fingers: fingers with such a joint.
        codes: fingers by the joint number of the public data.
    """

    name: str
    frame_mm: float
    pixels: int
    extent_mm: tuple[float, float]
    outline_gap_mm: tuple[float, float]
    normal_joint_space_mm: float
    lower_bone: str
    upper_bone: str
    fingers: tuple[str, ...]
    codes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        return f"<joint type {self.name}>"

    @property
    def spacing_mm(self) -> float:
        """Pixel size of the frame in mm."""
        return self.frame_mm / self.pixels

    def spacing_at(self, pixels: int | None) -> float:
        """Pixel size in mm of a frame of ``pixels`` pixels; default: :attr:`pixels`."""
        return self.frame_mm / (pixels or self.pixels)


MCP = JointType(
    name="MCP",
    frame_mm=21.0,
    pixels=256,
    extent_mm=(16.0, 26.0),
    outline_gap_mm=(-1.0, 2.5),
    normal_joint_space_mm=1.75,
    lower_bone="metacarpal head",
    upper_bone="base of the proximal phalanx",
    fingers=FINGERS,
    codes={"2": "small", "5": "ring", "8": "middle", "11": "index", "13": "thumb"},
)
"""Metacarpophalangeal joints as in the public data: frames of 140 pixels of 0.15 mm, resampled to 256 pixels."""

PIP = JointType(
    name="PIP",
    frame_mm=17.0,
    pixels=256,
    extent_mm=(13.0, 21.0),
    outline_gap_mm=(-0.8, 1.8),
    normal_joint_space_mm=1.2,
    lower_bone="head of the proximal phalanx",
    upper_bone="base of the middle phalanx",
    fingers=("small", "ring", "middle", "index"),
)
"""Proximal interphalangeal joints. The sizes are typical of adult hands, not measured in this project, and no weights
were trained on such joints. The thumb has no PIP joint."""

JOINT_TYPES = {kind.name: kind for kind in (MCP, PIP)}
"""Joint types by name."""


@dataclass(frozen=True, eq=False)
class Joint:
    """A radiograph of one joint with the masks of its bones.

    Attributes:
        radiograph: radiograph, (1, H, W) in [0, 1], bone bright, upper bone at the top.
        masks: binary masks of lower and upper bone, (2, H, W).
        spacing_mm: pixel size in mm.
        name: pseudonym of the joint.
        finger: one of :data:`FINGERS`, or "unknown".
        side: one of :data:`SIDES`, or "unknown".
        frame: frame of the joint in a larger radiograph, in JSON; empty for a radiograph of one joint.
        file: file of the radiograph; empty for a phantom.
        joint_type: type of the joint.

    Raises:
        InputError: an attribute is not as described.
    """

    radiograph: Tensor = field(repr=False)
    masks: Tensor = field(repr=False)
    spacing_mm: float
    name: str = "joint"
    finger: str = "unknown"
    side: str = "unknown"
    frame: str = ""
    file: str = ""
    joint_type: JointType = MCP

    def __post_init__(self) -> None:
        for attribute, channels in (("radiograph", 1), ("masks", len(BONES))):
            _check_image(attribute, getattr(self, attribute), channels)
        if self.masks.shape[1:] != self.radiograph.shape[1:]:
            msg = (
                f"masks: {tuple(self.masks.shape)} is not of the size of the radiograph {tuple(self.radiograph.shape)}."
            )
            raise InputError(f"{msg} Pass masks (2, H, W) of a radiograph (1, H, W).")
        instance_argument("joint_type", self.joint_type, JointType, "a joint type, bundle.joint.MCP or PIP")
        number_argument("spacing_mm", self.spacing_mm, SMALLEST_SPACING, LARGEST_SPACING)
        if not isinstance(self.name, str) or not self.name or "/" in self.name or "\0" in self.name:
            msg = f"name: {self.name!r} is invalid. Pass a name that a file can have."
            raise InputError(msg)


def _check_image(name: str, image: Any, channels: int) -> None:
    """Reject anything but an image (C, H, W) of float32 in [0, 1]."""
    is_image = isinstance(image, Tensor) and image.dtype == torch.float32
    is_image = is_image and image.ndim == 3 and len(image) == channels and image.numel() > 0
    if not (is_image and bool(((image >= -ROUNDING) & (image <= 1.0 + ROUNDING)).all())):
        msg = f"{name}: pass a float32 tensor ({channels}, H, W) with values from 0 to 1."
        raise InputError(msg)
