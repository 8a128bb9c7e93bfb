"""The joints of a list entry: the radiograph itself, or the joints that are marked or found in a hand."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io.files import stored
from bundle.io.frames import JointFrame, JointPlace
from bundle.io.identity import private_name
from bundle.io.mark_names import UNKNOWN
from bundle.io.marks import agreed_side, marked_joints
from bundle.io.points import read_places
from bundle.io.reading import read_mask, read_stated, shape_of
from bundle.io.spacing import spacing_argument, with_given_spacing
from bundle.io.stated import StatedRadiograph, is_square
from bundle.joint import BONES, ESTIMATED, MCP, UNKNOWN_PLATE, JointType, Keys
from numpy.typing import NDArray
from torch import Tensor

Item = dict[str, Any]
"""One joint: ``name, joint, finger, side, spacing``, and the paths ``image, lower, upper`` or a phantom's ``seed``."""


@dataclass(frozen=True)
class FoundPlace:
    """A joint that is found in a radiograph of a hand.

    Attributes:
        place: position and direction.
        score: probability that the joint is there, in [0, 1].
        pixel_mm: pixel size in mm, estimated from the size of the hand as that of an adult; NaN if unknown.
        refused: why the joint cannot be used; empty if it can.
    """

    place: JointPlace
    score: float
    pixel_mm: float = math.nan
    refused: str = ""


HAND_SIZES = (0.3, 1.4)
"""Smallest and largest size of a hand relative to the mean of adults: a newborn's, and four standard deviations."""

FindPlaces = Callable[[Tensor], Sequence[FoundPlace]]
"""Finds the joints in a radiograph (1, H, W): :class:`bundle.hands.JointFinder`."""

MaskMaker = Callable[[Tensor], Tensor]
"""Predicts the masks (2, H, W) of a radiograph (1, H, W): :class:`bundle.segmentation.BoneSegmenter`."""

SIDES = {"L": "left", "R": "right"}

LATERALITY = {side: letter for letter, side in SIDES.items()}
"""DICOM letters of the sides."""

_log = logging.getLogger("bundle.io")


class OpenFiles:
    """The radiograph and masks of a list entry, each decoded on first use, once for all its joints.

    Args:
        item: item with the path ``image``, and ``lower`` and ``upper`` where masks are given.
    """

    def __init__(self, item: Mapping[str, Any]) -> None:
        self.item = item
        self._masks: dict[str, NDArray[np.bool_]] = {}

    @cached_property
    def radiograph(self) -> StatedRadiograph:
        """The whole radiograph."""
        return read_stated(self.item["image"])

    def mask(self, bone: str) -> NDArray[np.bool_]:
        """Read a whole mask (H, W), which has the radiograph's size."""
        if bone not in self._masks:
            self._masks[bone] = self._read(self.item[bone])
        return self._masks[bone]

    def _read(self, path: str) -> NDArray[np.bool_]:
        mask, image = read_mask(path), self.radiograph.intensity
        if mask.shape != image.shape:
            msg = (
                f"{path}: a mask of {shape_of(mask)} pixels for a radiograph of {shape_of(image)}. Draw it on "
                f"{self.item['image']}."
            )
            raise InputError(msg)
        return mask


def open_joints(
    item: Item, size: int | None = MCP.pixels, joint_type: JointType = MCP, find: FindPlaces | None = None
) -> tuple[OpenFiles, list[Item]]:
    """Read the radiograph of a list entry and find its joints: itself, or those that its points mark in a hand.

    Each joint gets ``spacing``, the width of a pixel in mm (its height follows from the aspect ratio in the file);
    ``spacing_source``, its origin; ``side``, from the list, else the DICOM header, else the mark; ``side_conflict``,
    where these disagree; ``finger`` of a mark from its name; ``digest``, the checksum of its files; ``pixels``, the
    checksum of the radiograph's pixels; ``growth_plate``, unknown before :func:`bundle.io.placing.recentred`; and
    ``series``, which is equal for all radiographs of one joint (:func:`bundle.io.marks.series_of`). Names that reveal
    the patient are replaced (:func:`bundle.io.private_name`). If the pixel spacing is known, a radiograph of one joint
    is resampled unless it already has the size of a frame and square pixels; without one it is a frame, as wide as
    those of the joint type.

    Args:
        item: item of :func:`bundle.io.lists.read_datalist`; its ``spacing`` takes precedence over the file's own.
        size: height and width of frames in pixels; None leaves radiographs of one joint as they are.
        joint_type: type of the joints.
        find: finds the joints in a radiograph that is too large for one joint and has no marks; None refuses it. It
            also estimates the pixel spacing of a hand that has none.

    Returns:
        The files, and the items; the ``frame`` of a joint that is cut out of a radiograph is
        :meth:`bundle.io.JointFrame.to_json`, otherwise it is empty.

    Raises:
        InputError: a file cannot be read, its pixel spacing is unknown, or it shows several joints and none is marked.
    """
    files = OpenFiles(item)
    found = files.radiograph
    item = with_given_spacing(item, found)
    side, conflict = agreed_side(_stated_sides(item, found))
    names = {key: private_name(item[key], item["image"]) for key in ("name", "joint")}
    stated = {
        "side_conflict": conflict,
        "pixels": found.digest,
        Keys.SPACING_SOURCE: _spacing_source(item["spacing"], found),
    }
    known = {**item, **names, "side": side, "series": names["joint"], **stated, Keys.GROWTH_PLATE: UNKNOWN_PLATE}
    joints = _joints(item, known, found, size, joint_type, find)
    if note := resampling(joints[0]) if joints else "":
        _log.warning("%s: %s", known["name"], note)
    for joint in joints:
        if joint["side_conflict"]:
            _log.warning("%s: %s. Used: %s.", joint["name"], joint["side_conflict"], joint["side"])
    return files, joints


def _stated_sides(item: Item, found: StatedRadiograph) -> dict[str, str]:
    """The side of a radiograph by each statement, in the order of precedence."""
    return {"the list or folder": item["side"], "the DICOM header": SIDES.get(found.laterality, UNKNOWN)}


def _spacing_source(spacing: float, found: StatedRadiograph) -> str:
    """Where the pixel spacing comes from: ``given`` by list or option, the ``file``, or ``assumed`` by joint type."""
    if found.pixel(spacing) is None:
        return "assumed"
    return "given" if spacing else "file"


def _joints(
    item: Item, known: Item, found: StatedRadiograph, size: int | None, joint_type: JointType, find: FindPlaces | None
) -> list[Item]:
    """The joints of an item with its names replaced in ``known``."""
    spacing = found.pixel(item["spacing"])
    if spacing is None and found.unstated:
        remedy = f"Pass {spacing_argument(item)}, the width of a pixel."
        msg = f"{item['image']} has no pixel spacing, and {found.unstated}. {remedy}"
        raise InputError(msg)
    if item.get("points"):
        frames, sums = _frames_in_hand(item, spacing, size, joint_type), _checksums(item)
        marked = marked_joints(known, [frame.place for frame in frames], _stated_sides(item, found), joint_type)
        return [_cut_out(joint, frame, sums) for joint, frame in zip(marked, frames, strict=True)]
    if find is not None and _may_be_hand(found, spacing, joint_type):
        places = _found_places(item, found, joint_type, find)
        if places or spacing is not None:
            return _found_joints(item, known, found, spacing, size, joint_type, places)
    if spacing is not None:
        _check_extent(found.intensity.shape, spacing, item["image"], joint_type)
    if spacing is None or _is_frame(found, spacing, size):
        pixel = spacing[0] if spacing else joint_type.spacing_at(found.intensity.shape[-1])
        return [{**known, "frame": "", "spacing": pixel, "digest": joint_digest(_checksums(item))}]
    frame = frame_in_middle(found.intensity.shape, spacing, item["image"], size or joint_type.pixels, joint_type)
    return [_cut_out(known, frame, _checksums(item))]


def resampling(item: Mapping[str, Any]) -> str:
    """Describe the resampling of pixels that are not square in one sentence; empty for square pixels.

    Args:
        item: item of a joint (:func:`open_joints`).
    """
    if not item.get("frame"):
        return ""
    frame = JointFrame.from_json(item["frame"])
    height, width = frame.spacing
    if is_square(height / width):
        return ""
    return f"pixels {height:.4g} mm high and {width:.4g} mm wide were resampled to square ones of {frame.pixel:.4g} mm"


def frame_in_middle(
    shape: tuple[int, ...], spacing: tuple[float, float], path: str | Path, size: int, joint_type: JointType = MCP
) -> JointFrame:
    """Place the frame of a radiograph of one joint: the largest square in its centre.

    Args:
        shape: height and width of the radiograph in pixels.
        spacing: height and width of its pixels in mm.
        path: path of its file, for the message.
        size: height and width of the frame in pixels.
        joint_type: type of the joint.

    Raises:
        InputError: the radiograph is too large or too small to show one joint.
    """
    side = _check_extent(shape, spacing, path, joint_type)
    middle = JointPlace("joint", ((shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0))
    return JointFrame(middle, spacing, size, side)


def _check_extent(
    shape: tuple[int, ...], spacing: tuple[float, float], path: str | Path, joint_type: JointType
) -> float:
    """Reject a radiograph that is too large or too small to show one joint; return its smaller side in mm."""
    height, width = (count * length for count, length in zip(shape, spacing, strict=True))
    low, high = joint_type.extent_mm
    if not low <= min(height, width) <= max(height, width) <= high:
        msg = (
            f"{path}: {width:.1f} x {height:.1f} mm at pixels of {spacing[1]:.4g} mm, but a radiograph of one joint is "
            f"{low:g} to {high:g} mm high and wide. Check its pixel spacing, crop it, or mark the joints of a hand "
            "with points."
        )
        raise InputError(msg)
    return min(height, width)


def _is_frame(found: StatedRadiograph, spacing: tuple[float, float], size: int | None) -> bool:
    """Whether a radiograph of one joint needs no resampling."""
    return is_square(spacing[0] / spacing[1]) and (size is None or found.intensity.shape == (size, size))


def _frames_in_hand(
    item: Item, spacing: tuple[float, float] | None, size: int | None, joint_type: JointType
) -> list[JointFrame]:
    """The frames of the joints that the points mark in a hand."""
    if spacing is None:
        msg = f"{item['image']} has no pixel spacing. Pass {spacing_argument(item)}."
        raise InputError(msg)
    places = read_places(item["points"], spacing)
    return [JointFrame(place, spacing, size or joint_type.pixels, joint_type.frame_mm) for place in places]


def _may_be_hand(found: StatedRadiograph, spacing: tuple[float, float] | None, joint_type: JointType) -> bool:
    """Whether a radiograph is too large for one joint, or may be one of a hand without pixel spacing."""
    if spacing is None:
        return max(found.intensity.shape) > joint_type.pixels
    return exceeds_joint(found.intensity.shape, spacing, joint_type)


def exceeds_joint(shape: tuple[int, ...], spacing: tuple[float, float], joint_type: JointType = MCP) -> bool:
    """Whether a radiograph of ``shape`` pixels (H, W), ``spacing`` mm high and wide, is too large for one joint."""
    return max(count * length for count, length in zip(shape, spacing, strict=True)) > joint_type.extent_mm[1]


def _found_places(item: Item, found: StatedRadiograph, joint_type: JointType, find: FindPlaces) -> Sequence[FoundPlace]:
    """The joints that are found in a radiograph."""
    try:
        return find(torch.from_numpy(found.intensity)[None])
    except InputError as error:
        msg = f"{item['image']}: {error}"
        raise InputError(msg) from error


def _found_joints(
    item: Item,
    known: Item,
    found: StatedRadiograph,
    spacing: tuple[float, float] | None,
    size: int | None,
    joint_type: JointType,
    places: Sequence[FoundPlace],
) -> list[Item]:
    """The items of found joints, with their ``score`` and why they are ``refused``, if they are.

    Without pixel spacing it is estimated.
    """
    if not places:
        msg = f"{item['image']}: no hand with its {joint_type.name} joints is found. Mark the joints with points."
        raise InputError(msg)
    if spacing is not None:
        _check_hand_size(places, spacing, item["image"])
    elif any(math.isnan(one.pixel_mm) for one in places):
        remedy = f"Pass {spacing_argument(item)}: no whole proximal phalanx is shown from which to estimate it."
        msg = f"{item['image']} has no pixel spacing. {remedy}"
        raise InputError(msg)
    frames = [
        JointFrame(one.place, spacing or (one.pixel_mm,) * 2, size or joint_type.pixels, joint_type.frame_mm)
        for one in places
    ]
    sides, source = _stated_sides(item, found), {} if spacing else {Keys.SPACING_SOURCE: ESTIMATED}
    marked = marked_joints(known, [one.place for one in places], sides, joint_type, "the picture")
    sums = _checksums(item)
    return [
        {**_cut_out(joint, frame, sums), **source, Keys.SCORE: round(one.score, 4), Keys.REFUSED: one.refused}
        for joint, frame, one in zip(marked, frames, places, strict=True)
    ]


def _check_hand_size(places: Sequence[FoundPlace], spacing: tuple[float, float], path: str | Path) -> None:
    """Reject a pixel spacing at which a hand is smaller than a newborn's or larger than any adult's."""
    for size in (math.sqrt(spacing[0] * spacing[1]) / one.pixel_mm for one in places if one.pixel_mm > 0.0):
        if not HAND_SIZES[0] <= size <= HAND_SIZES[1]:
            msg = (
                f"{path}: at a pixel spacing of {spacing[1]:.4g} mm the hand is {size:.2g} times as large as the mean "
                "hand of adults. Check the pixel spacing, or mark the joints with points."
            )
            raise InputError(msg)


def _cut_out(item: Item, frame: JointFrame, sums: Sequence[int]) -> Item:
    """An item whose radiograph is cut out by a frame."""
    described = frame.to_json()
    return {**item, "spacing": frame.pixel, "frame": described, "digest": joint_digest(sums, described)}


def joint_digest(sums: Sequence[int], frame: str = "") -> str:
    """Digest of the content of an item's files and its frame, 8 hexadecimal digits."""
    return f"{zlib.crc32(f'{frame} {list(sums)}'.encode()):08x}"


def _checksums(item: Item) -> list[int]:
    """Checksums of an item's files; reading rejects missing ones."""
    files = [stored(item[key]) for key in ("image", *BONES)]
    return [zlib.crc32(file.read_bytes()) for file in files if file.is_file()]
