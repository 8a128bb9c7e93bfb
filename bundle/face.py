"""The public interface of the bundle: read a radiograph of a joint, separate it, synthesize another joint space.

>>> from bundle import Joint, separate, synthesize
>>> layers = separate(Joint.phantom(seed=0), weights=None)
>>> wider = synthesize(layers, change_mm=0.5)
>>> round(float(wider.joint_space.mean - layers.joint_space.mean), 1)
0.5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bundle.joint
import torch
from bundle.errors import InputError, instance_argument, number_argument, path_argument, seed_argument
from bundle.io import (
    JointFrame,
    OpenFiles,
    checked_spacing,
    open_joints,
    read_joint,
    recentred,
    storing,
    write_layer_images,
    write_layers,
    write_masks,
)
from bundle.joint import FINGERS, MCP, JointType, Keys
from bundle.measurement import DetectableChange, JointSpace, OutlineGap, measure_joint_space, outline_gap_along_axis
from bundle.phantoms import render, sample_parameters, with_joint_space
from bundle.physics import RigidMotion
from bundle.physics import synthesize as compose
from bundle.registration import PairReading, Registration, make_registration, read_pair
from bundle.shipped import bundle_root, parts_of_inference, write_of_joint
from torch import Tensor

SHIPPED = "shipped"
"""Selects the weights that come with the bundle."""

JOINT, JOINT_TYPE = "a joint, such as Joint.read(FILE)", "a joint type, bundle.joint.MCP or PIP"
"""Accepted values of arguments, for messages."""


class Joint(bundle.joint.Joint):
    """A radiograph of one joint with the masks of its bones; see :class:`bundle.joint.Joint` for its attributes.

    >>> joint = Joint.phantom(seed=3, joint_space_mm=1.2)
    >>> joint.radiograph.shape, joint.masks.shape
    (torch.Size([1, 256, 256]), torch.Size([2, 256, 256]))
    """

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        lower: str | Path = "",
        upper: str | Path = "",
        spacing_mm: float = 0.0,
        joint_type: JointType = MCP,
    ) -> Joint:
        """Read a radiograph of one joint from a DICOM, PNG, JPEG, TIFF or NIfTI file.

        Args:
            path: file of the radiograph, 16 to 26 mm high and wide for an MCP joint; for a whole hand use
                :class:`Hand`.
            lower: file of the lower bone's mask; default: predicted by the shipped network.
            upper: file of the upper bone's mask; default: predicted by the shipped network.
            spacing_mm: pixel size in mm for files without pixel spacing; default: the frame of the joint type, 256
                pixels for 21 mm.
            joint_type: type of the joint. The shipped networks were trained on MCP joints.

        Raises:
            InputError: if a file cannot be used; the message states the fault and the remedy.
        """
        masks = {key: str(path_argument(key, file)) for key, file in (("lower", lower), ("upper", upper)) if file != ""}
        return _read(_item(path, spacing_mm, joint_type, **masks), joint_type)[1][0]

    @classmethod
    def phantom(cls, seed: int = 0, joint_space_mm: float | None = None, joint_type: JointType = MCP) -> Joint:
        """Make a procedural radiograph with known bones and joint space.

        Args:
            seed: random seed.
            joint_space_mm: joint space width in mm; default: sampled.
            joint_type: type of the joint.

        Raises:
            InputError: an argument is invalid, or such a phantom would have an implausible joint space.
        """
        instance_argument("joint_type", joint_type, JointType, JOINT_TYPE)
        sampled = sample_parameters(seed_argument("seed", seed), joint_type=joint_type)
        if joint_space_mm is not None:
            sampled = with_joint_space(sampled, number_argument("joint_space_mm", joint_space_mm))
        made = render(sampled)
        masks, name = (made.masks > 0.5).float(), f"phantom_{seed}"
        return cls(made.image, masks, sampled.spacing, name, sampled.finger, sampled.side, joint_type=joint_type)

    @property
    def outline_gap(self) -> OutlineGap:
        """Gap between the outlines of the bones, a batch of one, in mm; 1 to 1.5 mm less than the joint space."""
        return outline_gap_along_axis(self.masks[None], self.spacing_mm)

    def write(self, path: str | Path) -> None:
        """Write the radiograph as a 16-bit PNG or a DICOM file, depending on the file extension."""
        write_of_joint(path, self.radiograph, self, "the radiograph", synthetic=False)


@dataclass(frozen=True, eq=False)
class Hand:
    """A radiograph of a hand with its marked joints.

    Attributes:
        radiograph: radiograph, (1, H, W) in [0, 1].
        spacing_mm: height and width of a pixel in mm.
        joints: the marked joints.
        file: file of the radiograph.
    """

    radiograph: Tensor
    spacing_mm: tuple[float, float]
    joints: tuple[Joint, ...]
    file: str = ""

    @classmethod
    def read(
        cls, path: str | Path, points: str | Path, *, spacing_mm: float = 0.0, joint_type: JointType = MCP
    ) -> Hand:
        """Read a radiograph of a hand and crop its joints, centred on the joint spaces and upright whatever the marks.

        Args:
            path: file of the radiograph.
            points: file with the centre of each joint and the direction of its finger, as CSV, JSON or 3D Slicer
                markups (:func:`bundle.io.read_places`).
            spacing_mm: pixel size in mm for files without pixel spacing.
            joint_type: type of the marked joints.

        Raises:
            InputError: if a file cannot be used, or a frame extends beyond the radiograph.
        """
        marks = str(path_argument("points", points))
        files, joints = _read(_item(path, spacing_mm, joint_type, points=marks), joint_type)
        radiograph = torch.from_numpy(files.radiograph.intensity)[None]
        return cls(radiograph, JointFrame.from_json(joints[0].frame).spacing, tuple(joints), str(path))

    def with_joint(self, joint: Joint) -> Hand:
        """Paste a changed joint into the hand; pixels outside its frame stay unchanged.

        Args:
            joint: one of :attr:`joints`, or a joint synthesized from one of them.

        Raises:
            InputError: if the joint does not belong to this hand.
        """
        instance_argument("joint", joint, Joint, JOINT)
        before = next((one for one in self.joints if one.frame == joint.frame), None)
        if before is None:
            msg = f"{joint.name} is not a joint of this hand. Synthesize one of its joints."
            raise InputError(msg)
        changed = JointFrame.from_json(joint.frame).paste(self.radiograph, before.radiograph, joint.radiograph)
        return replace(self, radiograph=changed)

    def write(self, path: str | Path) -> None:
        """Write the radiograph as a 16-bit PNG or a DICOM file, depending on the file extension."""
        write_of_joint(path, self.radiograph, self.joints[0], "a hand with changed joints", True, self.spacing_mm)


@dataclass(frozen=True, eq=False)
class Layers:
    """A separated joint.

    Attributes:
        joint: the joint before separation.
        layers: soft tissue, lower bone and upper bone, (3, H, W) in [0, 1], which compose to the radiograph.
        separator: name of the separator, with the checksum of its weights.
    """

    joint: Joint
    layers: Tensor
    separator: str

    @property
    def joint_space(self) -> JointSpace:
        """Joint space between the joint surfaces (:func:`joint_space`)."""
        return joint_space(self)

    def write(self, folder: str | Path) -> None:
        """Write ``<name>_layers.nii.gz``, a PNG of each layer and the masks into a folder.

        Raises:
            InputError: the folder cannot be created or written to.
        """
        folder = path_argument("folder", folder)
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_layers(folder / f"{self.joint.name}_layers.nii.gz", self.layers, self.joint.spacing_mm)
        write_layer_images(folder, self.joint.name, self.layers)
        write_masks(folder, self.joint.name, self.joint.masks)


@dataclass(frozen=True, eq=False, kw_only=True)
class SyntheticJoint(Joint):
    """A synthetic joint with another joint space: a :class:`Joint` with known layers and motion.

    Attributes:
        layers: true layers, (3, H, W).
        motion: motion of the bones.
        seed: random seed of the noise texture.
    """

    layers: Tensor
    motion: RigidMotion
    seed: int

    @property
    def joint_space(self) -> JointSpace:
        """Joint space between the joint surfaces of the true layers (:func:`joint_space`)."""
        return joint_space(Layers(self, self.layers, "true"))

    def write(self, path: str | Path) -> None:
        """Write the radiograph as a 16-bit PNG or a DICOM file, depending on the file extension."""
        described = f"bones moved: {self.motion.to_json()}, noise seed {self.seed}"
        write_of_joint(path, self.radiograph, self, described, synthetic=True)


@torch.no_grad()
def separate(joint: Joint, weights: str | Path | None = SHIPPED) -> Layers:
    """Separate a radiograph into soft tissue, lower bone and upper bone.

    Args:
        joint: joint to separate.
        weights: file of the generator's weights; default: the shipped weights. None selects the weight-free separator.

    Raises:
        InputError: if the weights are missing, damaged or those of another network.
    """
    instance_argument("joint", joint, Joint, JOINT)
    chosen = "" if weights == SHIPPED else "none" if weights is None else str(weights)
    pixel, names = joint.spacing_mm if weights is None else MCP.spacing_mm, ("inferer", "postprocessing")
    parts = parts_of_inference("network", "used_weights", *names, weights=chosen, pixel_mm=pixel)
    image = torch.cat([joint.radiograph, joint.masks])
    pred = parts["inferer"](image[None], parts["network"])[0]
    given = {Keys.IMAGE: image, Keys.PRED: pred, Keys.SPACING: joint.spacing_mm}
    layers = parts["postprocessing"](given)[Keys.PRED]
    return Layers(joint, layers, parts["used_weights"].source)


def synthesize(
    layers: Layers, change_mm: float = 0.0, *, sideways_mm: float = 0.0, rotation_deg: float = 0.0, seed: int = 0
) -> SyntheticJoint:
    """Synthesize a radiograph of the joint with another joint space (Eq. 13).

    Args:
        layers: separated joint.
        change_mm: change of the joint space width in mm; positive widens. Each bone moves by half of it.
        sideways_mm: shift of the upper bone to the right in mm.
        rotation_deg: clockwise rotation of the upper bone about the frame's centre, in degrees.
        seed: random seed of the noise texture in uncovered tissue.

    Raises:
        InputError: an argument is no number, or a motion exceeds the frame.
    """
    instance_argument("layers", layers, Layers, "separated layers, separate(joint)")
    joint, farthest = layers.joint, layers.joint.joint_type.frame_mm
    motion = RigidMotion.widening(torch.tensor([number_argument("change_mm", change_mm, -farthest, farthest)]))
    motion.translation[:, 1, 0] += number_argument("sideways_mm", sideways_mm, -farthest, farthest)
    motion.rotation[:, 1] += number_argument("rotation_deg", rotation_deg, -180.0, 180.0)
    seed = seed_argument("seed", seed)
    made = compose(layers.layers[None], joint.masks[None], motion, joint.spacing_mm, [seed])
    known = {**vars(joint), "radiograph": made.image[0], "masks": made.masks[0]}
    return SyntheticJoint(**{**known, "layers": made.layers[0], "motion": motion, "seed": seed})


def joint_space(joint: Joint | Layers) -> JointSpace:
    """Measure the distance between the joint surfaces along the joint's axis, a batch of one, in mm.

    Its ``mean`` is NaN where the measurement is refused; ``refused`` states why, ``sd`` how uncertain it is.

    >>> space = joint_space(separate(Joint.phantom(seed=0, joint_space_mm=1.6), weights=None))
    >>> round(float(space.mean), 1), space.refused
    (1.6, ('',))

    Args:
        joint: separated joint, or one that is separated by the shipped weights first.
    """
    instance_argument("joint", joint, (Joint, Layers), f"{JOINT}, or its layers")
    layers = separate(joint) if isinstance(joint, Joint) else joint
    return measure_joint_space(layers.layers[None], layers.joint.masks[None], layers.joint.spacing_mm)


def narrowing(before: Joint, after: Joint, method: str | Registration = "gauss_newton") -> PairReading:
    """Register two radiographs of a joint and measure the narrowing of its joint space.

    The reading states the smallest detectable change of the finger, and whether the narrowing ``exceeds`` it. For an
    unknown finger it is the largest of the fingers.

    Args:
        before: the earlier radiograph.
        after: the later radiograph, with the same pixel spacing.
        method: ``gauss_newton``, ``phase_correlation``, or another registration method.

    Raises:
        InputError: if pixel spacings or sizes differ, or the method is unknown.
    """
    for name, joint in (("before", before), ("after", after)):
        instance_argument(name, joint, Joint, JOINT)
    if not callable(method):
        instance_argument("method", method, str, "the name of a registration method")
    if before.spacing_mm != after.spacing_mm or before.radiograph.shape != after.radiograph.shape:
        msg = f"{after.name} and {before.name} differ in pixel spacing or size. Read both with the same spacing_mm."
        raise InputError(msg)
    fixed, moving = (torch.cat([joint.radiograph, joint.masks]) for joint in (before, after))
    registration = make_registration(method) if isinstance(method, str) else method
    reading = read_pair(registration, fixed, moving, before.spacing_mm)
    finger = before.finger if before.finger in FINGERS else after.finger
    detectable = DetectableChange.read(bundle_root() / "models" / "detectable_change.json")
    return replace(reading, smallest_detectable_change_mm=detectable.of(finger))


def _item(path: str | Path, spacing_mm: float, joint_type: JointType, **more: str) -> dict[str, Any]:
    instance_argument("joint_type", joint_type, JointType, JOINT_TYPE)
    name = path_argument("path", path).name.split(".")[0]
    known = {Keys.NAME: name, Keys.JOINT: name, Keys.FINGER: "unknown", Keys.SIDE: "unknown"}
    known |= {Keys.LOWER: "", Keys.UPPER: "", Keys.IMAGE: str(path), **more}
    return {**known, Keys.SPACING: checked_spacing(spacing_mm, "spacing_mm")}


def _read(item: Mapping[str, Any], joint_type: JointType) -> tuple[OpenFiles, list[Joint]]:
    """Open the files of an item and read its joints."""
    read = []
    files, joints = open_joints(dict(item), joint_type.pixels, joint_type)
    parts = parts_of_inference("segmenter", "recentring")
    for marked in joints:
        one = recentred(marked, files, parts["recentring"])
        image = read_joint(one, joint_type.pixels, parts["segmenter"], files)
        name, finger, side, frame, file = (
            str(one[key]) for key in (Keys.NAME, Keys.FINGER, Keys.SIDE, Keys.FRAME, Keys.IMAGE)
        )
        read.append(Joint(image[:1], image[1:], float(one[Keys.SPACING]), name, finger, side, frame, file, joint_type))
    return files, read
