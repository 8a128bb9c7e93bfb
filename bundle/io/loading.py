"""One joint of a list as a tensor: its radiograph, from a file or out of a hand, and its masks, read or drawn."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io.files import stored
from bundle.io.frames import JointFrame, JointPlace
from bundle.io.identity import patient_of, private_name
from bundle.io.points import read_places
from bundle.io.reading import check_area, read_mask, read_stated, shape_of
from bundle.io.stated import StatedRadiograph, is_square
from bundle.joint import BONES, FINGERS, MCP, JointType
from numpy.typing import NDArray
from torch import Tensor

Item = dict[str, Any]
"""One joint: ``name, joint, finger, side, spacing``, and the paths ``image, lower, upper`` or a phantom's ``seed``."""

MaskMaker = Callable[[Tensor], Tensor]
"""Draws the masks (2, H, W) of a radiograph (1, H, W): :class:`bundle.segmentation.BoneSegmenter`."""

SIDES = {"L": "left", "R": "right"}

LATERALITY = {side: letter for letter, side in SIDES.items()}
"""Letters of the sides, as DICOM has them."""
UNKNOWN = "unknown"

LARGEST_SPACING = 100.0
"""Pixel spacings are below this length in mm."""

_log = logging.getLogger("bundle.io")


def checked_spacing(value: Any, option: str = "spacing") -> float:
    """A pixel spacing in mm as an option gives it, 0 where it is not given.

    Args:
        value: a number, or a number as text.
        option: its name, for the message.

    Raises:
        InputError: it is neither 0 nor a length below 100 mm.
    """
    try:
        length = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        length = math.nan
    if not 0.0 <= length < LARGEST_SPACING:
        msg = f"--{option} {value!r} is no pixel spacing. Pass mm per pixel, such as 0.08, or 0 for that of the files."
        raise InputError(msg)
    return length


class OpenFiles:
    """The radiograph of an entry of a list and its masks, each decoded once for all its joints, when it is needed.

    Args:
        item: holds the path ``image``, and ``lower`` and ``upper`` where there are masks.
    """

    def __init__(self, item: Mapping[str, Any]) -> None:
        self.item = item
        self._masks: dict[str, NDArray[np.bool_]] = {}

    @cached_property
    def radiograph(self) -> StatedRadiograph:
        """The radiograph, whole."""
        return read_stated(self.item["image"])

    def mask(self, bone: str) -> NDArray[np.bool_]:
        """A mask (H, W), whole, of the radiograph's size."""
        if bone not in self._masks:
            self._masks[bone] = self._read(self.item[bone])
        return self._masks[bone]

    def _read(self, path: str) -> NDArray[np.bool_]:
        mask, image = read_mask(path), self.radiograph.intensity
        if mask.shape != image.shape:
            msg = (
                f"expected a mask of {shape_of(image)} pixels like its radiograph {self.item['image']}, got "
                f"{shape_of(mask)}: {path}: draw it on this radiograph"
            )
            raise InputError(msg)
        return mask


def open_joints(item: Item, size: int | None = MCP.pixels, joint_type: JointType = MCP) -> tuple[OpenFiles, list[Item]]:
    """Read the radiograph of an entry of a list, and find its joints: itself, or those that its points mark in a hand.

    What only the files say is added: ``spacing`` of a frame in mm, ``side``, a ``digest`` of the files and one of the
    ``pixels`` of the radiograph; and the ``series``, which is the same for all radiographs of one joint: its ``joint``,
    or in hands their ``joint`` (the folder or what the list states) with the side and the label of the mark; and the
    ``patient``, a pseudonym, where a DICOM header states one. Names that tell whose radiograph it is are replaced
    (:func:`bundle.io.private_name`). A radiograph of one joint that has another size than a frame, or pixels that are
    not square, is resampled where its spacing is known. The spacing of an item is the width of a pixel; their height
    follows from the ratio that the file states.

    Args:
        item: as :func:`bundle.io.lists.read_datalist` gives it; a ``spacing`` of 0 is not known from the list.
        size: height and width of frames in pixels; None leaves radiographs of one joint as they are.
        joint_type: what kind of joints they are.

    Returns:
        The files, and the items; one that is cut out of it has a ``frame``
        (:meth:`bundle.io.JointFrame.to_json`), others an empty one.

    Raises:
        InputError: a file cannot be read, its spacing is not known, or it shows more than a joint and none is marked.
    """
    files = OpenFiles(item)
    found = files.radiograph
    side = SIDES.get(found.laterality, UNKNOWN) if item["side"] == UNKNOWN else item["side"]
    names = {key: private_name(item[key], item["image"]) for key in ("name", "joint")}
    told = {"patient": patient_of(str(item["image"])), "pixels": found.digest}
    known = {**item, **names, "side": side, "series": names["joint"], **told}
    joints = _joints(item, known, found, size, joint_type)
    if note := resampling(joints[0]) if joints else "":
        _log.warning("%s: %s", known["name"], note)
    return files, joints


def _joints(item: Item, known: Item, found: StatedRadiograph, size: int | None, joint_type: JointType) -> list[Item]:
    """The joints of an item whose identity is ``known``."""
    spacing = found.pixel(item["spacing"])
    if spacing is None and found.unstated:
        msg = f"{item['image']} has no pixel spacing, and {found.unstated}. Pass --spacing MM, the width of a pixel."
        raise InputError(msg)
    if item.get("points"):
        frames, sums = _frames_in_hand(item, spacing, size, joint_type), _checksums(item)
        return [_marked(known, frame, sums) for frame in frames]
    if spacing is None or _is_frame(found, spacing, size):
        digest = _digest(_checksums(item))
        return [{**known, "frame": "", "spacing": (spacing or (joint_type.spacing_mm,))[0], "digest": digest}]
    frame = frame_in_middle(found.intensity.shape, spacing, item["image"], size or joint_type.pixels, joint_type)
    return [_cut_out(known, frame, _checksums(item))]


def resampling(item: Mapping[str, Any]) -> str:
    """What was done to pixels that are not square, in a sentence; empty where they are.

    Args:
        item: of a joint (:func:`open_joints`).
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
    """The frame that a radiograph of one joint is: the largest square in its middle.

    Args:
        shape: height and width of the radiograph in pixels.
        spacing: height and width of its pixels in mm.
        path: of its file.
        size: height and width of the frame in pixels.
        joint_type: what kind of joint it shows.

    Raises:
        InputError: it is too large or too small to show one joint.
    """
    height, width = (count * length for count, length in zip(shape, spacing, strict=True))
    low, high = joint_type.extent_mm
    if not low <= min(height, width) <= max(height, width) <= high:
        msg = (
            f"expected a radiograph of one joint, {low:g} to {high:g} mm high and wide, got {width:.1f} x {height:.1f} "
            f"mm: {path}: check its spacing, crop it, or mark the joints of a hand by points"
        )
        raise InputError(msg)
    middle = JointPlace("joint", ((shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0))
    return JointFrame(middle, spacing, size, min(height, width))


def load_joint(item: Item, size: int | None = MCP.pixels, segment: MaskMaker | None = None) -> Tensor:
    """The joint of an audited item: as the audit has loaded it where it was kept, else read from its files.

    Arguments, result and errors as of :func:`read_joint`.
    """
    kept = item.get("loaded")
    if kept is not None and (size is None or kept.shape == (size, size)):
        return kept.tensor()
    return read_joint(item, size, segment)


def read_joint(
    item: Item, size: int | None = MCP.pixels, segment: MaskMaker | None = None, files: OpenFiles | None = None
) -> Tensor:
    """Read a joint: the radiograph and its two bone masks. A mask that the item names counts before a drawn one.

    Args:
        item: holds the path ``image``, and ``lower`` and ``upper`` where there are masks; ``frame`` is the part
            that is cut out, if it is one.
        size: expected height and width in pixels of a frame; None accepts any.
        segment: draws masks that the item does not name.
        files: of the entry that the joint is of; without them they are read here.

    Returns:
        float32 tensor (3, H, W): intensity in [0, 1], mask of the lower bone, mask of the upper bone (0 or 1).

    Raises:
        InputError: a file cannot be used (:func:`bundle.io.reading.read_radiograph`, ``read_mask``), the sizes differ
            from each other or from ``size``, a mask is missing and not drawn, or a bone is not found.
    """
    image, masks = read_given(item, size, files)
    if any(mask is None for mask in masks):
        drawn = _drawn(image, item, segment)
        masks = [given if given is not None else mask for given, mask in zip(masks, drawn, strict=True)]
    return torch.cat([image, torch.stack([mask for mask in masks if mask is not None])])


def read_given(
    item: Item, size: int | None = MCP.pixels, files: OpenFiles | None = None
) -> tuple[Tensor, list[Tensor | None]]:
    """Read the radiograph of a joint and those of its masks that have a file; arguments as in :func:`read_joint`.

    Returns:
        Intensity (1, H, W), and for the lower and the upper bone its mask (H, W) or None.

    Raises:
        InputError: a file cannot be used, or the sizes differ from each other or from ``size``.
    """
    files = files or OpenFiles(item)
    image = _frame(item, files.radiograph.intensity, size)
    return image, [_mask_of(bone, item, files) if item.get(bone) else None for bone in BONES]


def _frame(item: Item, whole: NDArray[np.float32], size: int | None) -> Tensor:
    """The radiograph (1, H, W) of a joint, float32."""
    image = torch.from_numpy(whole)[None]
    if item.get("frame"):
        return JointFrame.from_json(item["frame"]).cut(image).clamp(0.0, 1.0)
    if size is not None and image.shape[1:] != (size, size):
        msg = (
            f"expected a radiograph of {size} x {size} pixels, got {shape_of(whole)}: {item['image']}: "
            "say its spacing by --spacing and it is resampled, or mark the joints of a hand by points"
        )
        raise InputError(msg)
    return image


def _mask_of(bone: str, item: Item, files: OpenFiles) -> Tensor:
    """The mask (H, W) of a bone, of 0 and 1, cut out as the radiograph that it was drawn on."""
    whole = torch.from_numpy(files.mask(bone)).float()
    if not item.get("frame"):
        return whole
    cut = (JointFrame.from_json(item["frame"]).cut(whole[None])[0] > 0.5).float()
    check_area(cut.numpy() > 0.5, item[bone])
    return cut


def _drawn(image: Tensor, item: Item, segment: MaskMaker | None) -> Tensor:
    """Masks (2, H, W) that a network draws."""
    if segment is None:
        absent = " and ".join(bone for bone in BONES if not item.get(bone))
        msg = (
            f"expected masks of both bones, got none of the {absent} one for {item['image']}: name them in the list; "
            "inference draws and writes them"
        )
        raise InputError(msg)
    masks = segment(image)
    for bone, mask in zip(BONES, masks, strict=True):
        check_area(mask.numpy() > 0.5, f"of the {bone} bone, drawn by the network on {item['image']}")
    return masks


def _is_frame(found: StatedRadiograph, spacing: tuple[float, float], size: int | None) -> bool:
    """Whether a radiograph of one joint is a frame as it is."""
    return is_square(spacing[0] / spacing[1]) and (size is None or found.intensity.shape == (size, size))


def _frames_in_hand(
    item: Item, spacing: tuple[float, float] | None, size: int | None, joint_type: JointType
) -> list[JointFrame]:
    """The frames around the joints that the points of a hand mark."""
    if spacing is None:
        msg = f"{item['image']} has no pixel spacing. Pass --spacing MM."
        raise InputError(msg)
    places = read_places(item["points"], spacing)
    return [JointFrame(place, spacing, size or joint_type.pixels, joint_type.frame_mm) for place in places]


def _marked(hand: Item, frame: JointFrame, sums: Sequence[int]) -> Item:
    """The item of a joint that is marked in a hand."""
    marked = frame.place.name
    finger = next((name for name in FINGERS if name in marked.lower()), UNKNOWN)
    name = f"{hand['name']}_{marked}"
    series = f"{hand['joint']}_{hand['side']}_{marked}".casefold()
    return _cut_out({**hand, "name": name, "joint": name, "finger": finger, "series": series}, frame, sums)


def _cut_out(item: Item, frame: JointFrame, sums: Sequence[int]) -> Item:
    """An item whose radiograph is that of a frame."""
    described = frame.to_json()
    return {**item, "spacing": frame.pixel, "frame": described, "digest": _digest(sums, described)}


def _digest(sums: Sequence[int], frame: str = "") -> str:
    """What tells the content of an item's files from another, 8 digits."""
    return f"{zlib.crc32(f'{frame} {list(sums)}'.encode()):08x}"


def _checksums(item: Item) -> list[int]:
    """Checksums of an item's files; missing ones are refused on reading."""
    files = [stored(item[key]) for key in ("image", *BONES)]
    return [zlib.crc32(file.read_bytes()) for file in files if file.is_file()]
