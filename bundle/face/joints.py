"""Joints and hands in radiographs, as users read and write them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import bundle.joint
import torch
from bundle.errors import InputError, instance_argument, number_argument, path_argument, seed_argument
from bundle.face.shipped import parts
from bundle.hands import JointFinder
from bundle.io import (
    LATERALITY,
    SPACING_ARGUMENT,
    SPACING_OPTION,
    Item,
    JointFrame,
    OpenFiles,
    agreed_plates,
    bundle_version,
    contradicted_spacing,
    in_hand,
    open_joints,
    read_joint,
    recentred,
    spacing_argument,
    usable,
    write_radiograph,
)
from bundle.joint import ESTIMATED, LARGEST_SPACING, MCP, OPEN_PLATE, JointType, Keys
from bundle.measurement import OutlineGap, outline_gap_along_axis
from bundle.phantoms import render, sample_parameters, with_joint_space
from torch import Tensor

_log = logging.getLogger("bundle")

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
            spacing_mm: pixel size in mm for a file without pixel spacing, ignored with a warning if the file states
                another; default: the frame of the joint type, 256 pixels for 21 mm.
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
        write_as(path, self.radiograph, self, "the radiograph", synthetic=False)


@dataclass(frozen=True, eq=False)
class Hand:
    """A radiograph of a hand with its joints.

    Attributes:
        radiograph: radiograph, (1, H, W) in [0, 1].
        spacing_mm: height and width of a pixel in mm.
        joints: the marked or found joints.
        file: file of the radiograph.
    """

    radiograph: Tensor = field(repr=False)
    spacing_mm: tuple[float, float]
    joints: tuple[Joint, ...]
    file: str = ""

    @classmethod
    def read(
        cls,
        path: str | Path,
        points: str | Path = "",
        *,
        spacing_mm: float = 0.0,
        joint_type: JointType = MCP,
        open_growth_plates: bool = False,
    ) -> Hand:
        """Read a radiograph of a hand and crop its joints, centred on the joint spaces and upright whatever the marks.

        Found joints that cannot be used are left out with a warning. An unknown growth plate counts as open where more
        of the hand's other plates are open than closed.

        Args:
            path: file of the radiograph.
            points: file with the centre of each joint and the direction of its finger, as CSV, JSON or 3D Slicer
                markups (:func:`bundle.io.read_places`); default: the joints are found by the shipped network.
            spacing_mm: pixel size in mm for a file without pixel spacing, ignored with a warning if the file states
                another.
            joint_type: type of the joints.
            open_growth_plates: whether found joints with an open growth plate, of growing hands, are used.

        Raises:
            InputError: if a file cannot be used, no usable joint is found, or the frame of a marked joint extends
                beyond the radiograph.
        """
        marks = "" if points == "" else str(path_argument("points", points))
        item = _item(path, spacing_mm, joint_type, points=marks)
        files, joints = _read(item, joint_type) if marks else _find(item, joint_type, open_growth_plates)
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
        write_as(path, self.radiograph, self.joints[0], "a hand with changed joints", True, self.spacing_mm)


def _item(path: str | Path, spacing_mm: float, joint_type: JointType, **more: str) -> dict[str, Any]:
    instance_argument("joint_type", joint_type, JointType, JOINT_TYPE)
    name = path_argument("path", path).name.split(".")[0]
    known = {Keys.NAME: name, Keys.JOINT: name, Keys.FINGER: "unknown", Keys.SIDE: "unknown"}
    known |= {Keys.LOWER: "", Keys.UPPER: "", Keys.IMAGE: str(path), **more}
    spacing = number_argument("spacing_mm", spacing_mm, 0.0, LARGEST_SPACING)
    return {**known, Keys.SPACING: 0.0, SPACING_OPTION: spacing, SPACING_ARGUMENT: "spacing_mm=MM"}


def _read(item: dict[str, Any], joint_type: JointType) -> tuple[OpenFiles, list[Joint]]:
    """Open the files of an item and read its joints."""
    files, joints = _open(item, joint_type)
    return files, [_read_placed(_placed(one, files), files, joint_type) for one in joints]


def _open(item: Item, joint_type: JointType, find: JointFinder | None = None) -> tuple[OpenFiles, list[Item]]:
    """Open the files of an item, with a warning if the file takes precedence over the given pixel spacing."""
    files, joints = open_joints(item, joint_type.pixels, joint_type, find)
    stated, given = files.radiograph.spacing, contradicted_spacing(item, files.radiograph)
    if stated and given and not item[Keys.SPACING]:
        _log.warning(f"{item[Keys.IMAGE]}: used the pixel spacing of the file, {stated[1]:.4g} mm, not {given:.4g} mm.")
    return files, joints


def joints_in(item: Item, joint_type: JointType = MCP) -> list[Joint]:
    """Read the joint of a list entry, or the joints that are marked or found in its hand, with any growth plate.

    Args:
        item: item of :func:`bundle.io.read_datalist`.
        joint_type: type of the joints.

    Raises:
        InputError: a file cannot be used, or it shows no usable joint.
    """
    files, found = _open(item, joint_type, JointFinder(parts("finder")["finder"], joint_type.name))
    return _usable(found, files, joint_type)


def _find(item: dict[str, Any], joint_type: JointType, open_growth_plates: bool) -> tuple[OpenFiles, list[Joint]]:
    """Open the files of an item, find its joints and read those that can be used."""
    files, found = _open(item, joint_type, JointFinder(parts("finder")["finder"], joint_type.name))
    if not in_hand(found[0]):
        msg = f"{item[Keys.IMAGE]}: no hand was found, only a single joint. Use Joint.read, or pass points."
        raise InputError(msg)
    if found[0][Keys.SPACING_SOURCE] == ESTIMATED:
        msg = f"{item[Keys.IMAGE]} has no pixel spacing. Pass {spacing_argument(item)}, the width of a pixel."
        raise InputError(msg)
    return files, _usable(found, files, joint_type, not open_growth_plates)


def _usable(found: Sequence[Item], files: OpenFiles, joint_type: JointType, closed_only: bool = False) -> list[Joint]:
    """Read the joints that can be used, at least one; refuse open growth plates if requested."""
    placed, unplaced = usable(found, partial(_placed, files=files))
    closed, growing = usable(agreed_plates(placed), partial(_closed, required=closed_only))
    read, unread = usable(closed, partial(_read_placed, files=files, joint_type=joint_type))
    refused = {**unplaced, **growing, **unread}
    reasons = [refused[name] for name in (str(one[Keys.NAME]) for one in found) if name in refused]
    if not read:
        raise InputError("\n".join(reasons))
    for reason in reasons:
        _log.warning(f"Left out: {reason}")
    return read


def _placed(item: Item, files: OpenFiles) -> Item:
    """Place the frame of a joint of open files on its joint space."""
    return recentred(item, files, parts("segmenter", "recentring")["recentring"])


def _closed(item: Item, required: bool) -> Item:
    """Refuse a joint with an open growth plate, if it is required to be closed."""
    if required and item[Keys.GROWTH_PLATE] == OPEN_PLATE:
        msg = f"{item[Keys.IMAGE]}: joint {item[Keys.NAME]}: open growth plate. Pass open_growth_plates=True to use it."
        raise InputError(msg)
    return item


def _read_placed(item: Item, files: OpenFiles, joint_type: JointType) -> Joint:
    """Read a joint of open files whose frame is placed."""
    image = read_joint(item, joint_type.pixels, parts("segmenter", "recentring")["segmenter"], files)
    name, finger, side, frame, file = (
        str(item[key]) for key in (Keys.NAME, Keys.FINGER, Keys.SIDE, Keys.FRAME, Keys.IMAGE)
    )
    return Joint(image[:1], image[1:], float(item[Keys.SPACING]), name, finger, side, frame, file, joint_type)


def write_as(
    path: str | Path,
    radiograph: Tensor,
    joint: bundle.joint.Joint,
    described: str,
    synthetic: bool,
    spacing_mm: tuple[float, float] | None = None,
) -> None:
    """Write a radiograph as a 16-bit PNG or a DICOM file without patient data.

    Args:
        path: file; its extension chooses the format.
        radiograph: radiograph, (1, H, W) in [0, 1].
        joint: joint that it shows.
        described: derivation of the radiograph.
        synthetic: whether it is a synthetic one.
        spacing_mm: height and width of a pixel; default: those of the joint.

    Raises:
        InputError: the file cannot be written.
    """
    path = path_argument("path", path)
    spacing = spacing_mm or (joint.spacing_mm,) * 2
    study = (bundle_version(), joint.name, LATERALITY.get(joint.side, ""))
    write_radiograph(path, radiograph, spacing, study, f"{joint.name}: {described}", synthetic)
