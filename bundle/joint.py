"""What the whole house talks about: a joint and its type, its bones, its finger and its side. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

LOWER, UPPER = 0, 1
"""Channels of masks, motions and edges: the lower bone is the proximal one (metacarpal head of an MCP joint), the upper
one the distal one (base of the proximal phalanx), at the top of the frame."""

BONES = ("lower", "upper")
"""Names of the bones, by their channel."""

LAYER_NAMES = ("soft", *BONES)
"""Names of the layers, by their channel."""

FINGERS = ("small", "ring", "middle", "index", "thumb")
SIDES = ("left", "right")


class Keys:
    """Keys of the dictionaries that MONAI transforms, engines and lists of joints work on."""

    IMAGE = "image"
    """Radiograph and bone masks, (3, H, W); in lists, the file of the radiograph."""
    LABEL = "label"
    """Layers (3, H, W) that a separation is compared with: the true ones of phantoms, else those without weights."""
    PRED = "pred"
    """Layers (3, H, W) that a generator has found."""
    SEEN = "seen"
    """What the generator is given in place of ``image``, where that is another."""
    TRUTH = "truth"
    """(1,): 1 where ``label`` is true, 0 where it is an estimate."""
    SOURCE = "source"
    """``image`` before its bones were closed to a pseudo-overlap."""
    SPACING = "spacing"
    """Mm per pixel."""
    MASKS = "masks"
    """Lower and upper bone, (2, H, W)."""
    LAYERS = "layers"
    """Soft tissue, lower and upper bone, (3, H, W)."""
    MOTION = "motion"
    """How the bones were moved."""
    LOSS = "loss"
    """The generator's, of a step."""
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
    """In lists, the file that marks the joints of a hand."""
    FRAME = "frame"
    """How a joint is cut out of a larger radiograph, in JSON; empty where it is one of its own."""
    DIGEST = "digest"
    """Checksum of the files of a joint."""
    SEED = "seed"
    """Of a phantom."""


@dataclass(frozen=True)
class JointType:
    """A kind of finger joint: the frame in which it is shown, and what is plausible of it; lengths in mm.

    Attributes:
        name: its abbreviation.
        frame_mm: height and width of its frame.
        pixels: height and width of its frame in pixels.
        extent_mm: lowest and highest width of a radiograph that shows one such joint.
        joint_space_mm: lowest and highest joint space width of its phantoms; negative is overlap.
        normal_joint_space_mm: joint space width of healthy adults.
        lower_bone: name of the lower, proximal bone.
        upper_bone: name of the upper, distal bone.
        fingers: that have such a joint.
        codes: fingers by the number with which the public data names the joint.
    """

    name: str
    frame_mm: float
    pixels: int
    extent_mm: tuple[float, float]
    joint_space_mm: tuple[float, float]
    normal_joint_space_mm: float
    lower_bone: str
    upper_bone: str
    fingers: tuple[str, ...]
    codes: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def spacing_mm(self) -> float:
        """Width of a pixel of its frame."""
        return self.frame_mm / self.pixels

    def spacing_at(self, pixels: int | None) -> float:
        """Width of a pixel of its frame in so many pixels; by default in :attr:`pixels`."""
        return self.frame_mm / (pixels or self.pixels)


MCP = JointType(
    name="MCP",
    frame_mm=21.0,
    pixels=256,
    extent_mm=(16.0, 26.0),
    joint_space_mm=(-1.0, 2.5),
    normal_joint_space_mm=1.75,
    lower_bone="metacarpal head",
    upper_bone="base of the proximal phalanx",
    fingers=FINGERS,
    codes={"2": "small", "5": "ring", "8": "middle", "11": "index", "13": "thumb"},
)
"""Metacarpophalangeal joints, as the public data shows them: frames of 140 pixels of 0.15 mm resampled to 256."""

PIP = JointType(
    name="PIP",
    frame_mm=17.0,
    pixels=256,
    extent_mm=(13.0, 21.0),
    joint_space_mm=(-0.8, 1.8),
    normal_joint_space_mm=1.2,
    lower_bone="head of the proximal phalanx",
    upper_bone="base of the middle phalanx",
    fingers=("small", "ring", "middle", "index"),
)
"""Proximal interphalangeal joints. Its numbers are typical of adult hands; none of them was measured here, and no
weights were trained on such joints. The thumb has no such joint."""

JOINT_TYPES = {kind.name: kind for kind in (MCP, PIP)}
"""By their names."""


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
        joint_type: what kind of joint it is.
    """

    radiograph: Tensor
    masks: Tensor
    spacing_mm: float
    name: str = "joint"
    finger: str = "unknown"
    side: str = "unknown"
    frame: str = ""
    file: str = ""
    joint_type: JointType = MCP
