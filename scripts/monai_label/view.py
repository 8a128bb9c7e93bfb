"""Views of the joints in a radiograph of any size: the separator's frames of 256 x 256 pixels, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io import JointFrame, JointPlace, exceeds_joint, frame_in_middle, read_stated
from bundle.joint import MCP
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

SIZE = MCP.pixels
"""Height and width of a frame in pixels."""

LARGEST = 1024
"""Height in pixels above which a radiograph without stated spacing counts as that of a hand."""

CLICKS = ("center", "tip", "spacing")
"""Marks of a joint in a request: points (x, y) in pixels, and mm per pixel."""

FINGER = "finger"
"""Finger of a joint in a request, which chooses one of those that are found in a hand."""

_REMEDY = 'Mark the joint of a hand by "center" and "tip" in params; add "spacing" in mm if the file does not state it.'


@dataclass(frozen=True)
class JointView:
    """A joint as the separator sees it.

    Attributes:
        image: intensity in [0, 1], (1, 256, 256).
        shape: height and width of the source radiograph in pixels.
        frame: position in the radiograph.
        pixels: height and width of a pixel of the radiograph in mm; None if unknown.
        in_hand: whether the joint is one of a hand.
        found: ``name``, ``finger``, ``side`` and ``score`` of a joint that was found in a hand; else empty.
    """

    image: Tensor
    shape: tuple[int, int]
    frame: JointFrame
    pixels: tuple[float, float] | None = None
    in_hand: bool = False
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def marks(self) -> dict[str, Any]:
        """Marks of a found joint, as a request gives them; empty for other joints."""
        if not self.found or self.pixels is None:
            return {}
        center, (x, y) = self.frame.place.center, self.frame.place.direction
        length = 0.5 * self.frame.side / math.hypot(x * self.pixels[1], y * self.pixels[0])
        tip = [center[0] + length * x, center[1] + length * y]
        return {"center": list(center), "tip": tip, "spacing": self.pixels[1]}

    @property
    def spacing(self) -> float:
        """Pixel size of the image in mm."""
        return self.frame.pixel

    def lay_back(self, masks: Tensor) -> Tensor:
        """Map masks of the frame, (2, 256, 256), to the radiograph, (2, H, W) of 0 and 1."""
        laid = self.frame.paste(torch.zeros(2, *self.shape), torch.zeros_like(masks), masks)
        return (laid > 0.5 * self.frame.covers(self.shape)).float()

    def cut(self, masks: Tensor) -> Tensor:
        """Map masks of the radiograph, (2, H, W), to the frame, (2, 256, 256) of 0 and 1.

        In a hand, parts of the bones beside the joint are removed.
        """
        cut = (self.frame.cut(masks) > 0.5).float()
        return own_bones(cut) if self.in_hand else cut


def own_bones(masks: Tensor) -> Tensor:
    """Remove components that touch the left or right border of a frame from masks (2, H, W), but the largest of each.

    Those are the bones of the joints beside it.
    """
    return torch.stack([torch.from_numpy(_own(mask.numpy() > 0.5)).float() for mask in masks])


def _own(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    beside = set(np.unique(parts[:, [0, -1]]).tolist()) - {0, int(sizes.argmax())}
    found: NDArray[np.bool_] = mask & ~np.isin(parts, list(beside))
    return found


class HandJoints(NamedTuple):
    """Joints that were found in a hand.

    Attributes:
        frames: frame of each joint, with its ``name``, ``finger``, ``side`` and ``score``.
        left_out: why other joints cannot be used, by their names.
    """

    frames: list[tuple[JointFrame, dict[str, Any]]]
    left_out: dict[str, str]


FindFrames = Callable[[Tensor, tuple[float, float]], HandJoints]
"""Finds the joints in a radiograph (1, H, W) with a pixel height and width in mm."""


class Views(NamedTuple):
    """Views of the joints of a radiograph.

    Attributes:
        joints: views of the joints.
        left_out: why joints that were found in a hand cannot be used, by their names.
    """

    joints: list[JointView]
    left_out: dict[str, str]

    def one(self) -> JointView:
        """Return the only view.

        Raises:
            InputError: there are several.
        """
        if len(self.joints) > 1:
            fingers = ", ".join(str(view.found[FINGER]) for view in self.joints)
            msg = f'The radiograph shows several joints. Choose one of the fingers {fingers} by "finger" in params.'
            raise InputError(msg)
        return self.joints[0]


def views_of(path: str | Path, clicks: Mapping[str, Any], find: FindFrames) -> Views:
    """Return the views of the joints of a radiograph: of the marked one, or of those found in a hand.

    Args:
        path: a file in any format of :mod:`bundle.io.reading`.
        clicks: ``center`` and ``tip`` of a joint in a hand, or its ``finger``; ``spacing`` if the file does not state
            it.
        find: finds the joints of a hand without marks.

    Raises:
        InputError: the file cannot be read, no joint is found in it, or a value is unusable.
    """
    found, pixels = _opened(path, clicks)
    hand = torch.from_numpy(found)[None]
    if pixels is None or clicks.get("center") or clicks.get("tip") or not exceeds_joint(found.shape, pixels):
        return Views([_single(hand, pixels, path, clicks)], {})
    joints, left_out = find(hand, pixels)
    wanted = [(frame, known) for frame, known in joints if clicks.get(FINGER) in (None, known[FINGER])]
    if not wanted:
        msg = f"{path}: {_missing(clicks.get(FINGER), left_out)}. {_REMEDY}"
        raise InputError(msg)
    shape = (hand.shape[1], hand.shape[2])
    views = [JointView(frame.cut(hand).clamp(0.0, 1.0), shape, frame, pixels, True, known) for frame, known in wanted]
    return Views(views, left_out)


def _missing(finger: str | None, left_out: Mapping[str, str]) -> str:
    """Describe a hand without a usable joint, of a finger if one is wanted."""
    wanted = f"MCP joint of the {finger} finger" if finger else "hand with its MCP joints"
    reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
    return f"no {wanted} is found" + (f" ({reasons})" if reasons else "")


def labelled_views(views: Views, masks: Tensor) -> list[JointView]:
    """Return the views of the joints that a label shows; of several, those whose centre lies between its two bones.

    Args:
        views: joints of the radiograph.
        masks: masks of the radiograph, (2, H, W).

    Raises:
        InputError: it shows none of them.
    """
    if len(views.joints) == 1:
        return views.joints
    shown = [view for view in views.joints if _is_shown(view.cut(masks))]
    if not shown:
        names = ", ".join(str(view.found["name"]) for view in views.joints)
        msg = f"The label shows none of the joints that are found in the hand ({names}). {_REMEDY}"
        raise InputError(msg)
    return shown


def _is_shown(cut: Tensor) -> bool:
    """Whether both bones reach the middle half of a frame, (2, 256, 256)."""
    quarter = SIZE // 4
    return bool(cut[:, quarter:-quarter, quarter:-quarter].flatten(1).any(dim=1).all())


def _opened(path: str | Path, clicks: Mapping[str, Any]) -> tuple[NDArray[np.float32], tuple[float, float] | None]:
    """Return the pixels of a radiograph (H, W), and their height and width in mm; None if unknown."""
    found = read_stated(path)
    given = _length(clicks["spacing"]) if clicks.get("spacing") else 0.0
    pixels = found.spacing or found.pixel(given)
    if pixels is None and found.unstated:
        msg = f"{path} has no pixel spacing, and {found.unstated}: {_REMEDY}"
        raise InputError(msg)
    return found.intensity, pixels


def _single(hand: Tensor, pixels: tuple[float, float] | None, path: str | Path, clicks: Mapping[str, Any]) -> JointView:
    """Return the view of the marked joint, or of the only one."""
    shape = (hand.shape[1], hand.shape[2])
    marked = bool(clicks.get("center") or clicks.get("tip"))
    frame = _marked(pixels, clicks) if marked else _alone(shape, pixels, path)
    return JointView(frame.cut(hand).clamp(0.0, 1.0), shape, frame, pixels, marked)


def radiograph_shape(path: str | Path) -> tuple[int, int]:
    """Return height and width of a radiograph in pixels; raises :class:`InputError` if it cannot be read."""
    height, width = read_stated(path).intensity.shape
    return height, width


def _marked(pixels: tuple[float, float] | None, clicks: Mapping[str, Any]) -> JointFrame:
    """Return the frame of a marked joint in a hand."""
    center, tip = _point(clicks, "center"), _point(clicks, "tip")
    if pixels is None:
        msg = f"The radiograph has no pixel spacing. {_REMEDY}"
        raise InputError(msg)
    return JointFrame(JointPlace("marked", center, (tip[0] - center[0], tip[1] - center[1])), pixels, SIZE)


def _alone(shape: tuple[int, int], pixels: tuple[float, float] | None, path: str | Path) -> JointFrame:
    """Return the frame of a radiograph of one joint; without stated size it has the public frame's 21 mm."""
    if pixels is None and max(shape) > LARGEST:
        msg = (
            f"{path}: {shape[1]} x {shape[0]} pixels without a pixel spacing are not taken for one joint, which has at "
            f"most {LARGEST}. {_REMEDY}"
        )
        raise InputError(msg)
    return frame_in_middle(shape, pixels or (MCP.spacing_at(min(shape)),) * 2, path, SIZE)


def _point(clicks: Mapping[str, Any], name: str) -> tuple[float, float]:
    values = clicks.get(name)
    if not isinstance(values, (list, tuple)) or len(values) != 2 or not all(map(_is_number, values)):
        msg = f'"{name}" is {values!r}, not [x, y] in pixels of the radiograph. {_REMEDY}'
        raise InputError(msg)
    return float(values[0]), float(values[1])


def _length(value: Any) -> float:
    if not _is_number(value) or float(value) <= 0.0:
        msg = f'"spacing" is {value!r}, not mm per pixel above 0. {_REMEDY}'
        raise InputError(msg)
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
