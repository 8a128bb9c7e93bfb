"""How the separator sees a joint in a radiograph of any size: as a frame of 256 x 256 pixels, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.data.loading import open_radiograph
from bundle.data.reading import StatedRadiograph
from bundle.errors import InputError
from bundle.frames import SIDE, JointFrame, JointPlace
from bundle.phantom import EXTENT_RANGE

SIZE = 256
"""Height and width of a frame in pixels."""

ROUGHLY = 0.1
"""Height and width of a radiograph of one joint may differ by this part."""

LARGEST = 1024
"""Pixels of a joint's height from which on a radiograph that does not say its spacing is taken for that of a hand."""

CLICKS = ("center", "tip", "spacing")
"""What a request says of where the joint is: points (x, y) in pixels, and mm per pixel."""

_REMEDY = 'mark the joint of a hand by "center" and "tip" in params, and "spacing" in mm where the file does not say it'


@dataclass(frozen=True)
class JointView:
    """A joint as the separator sees it.

    Attributes:
        image: intensity in [0, 1], (1, 256, 256).
        spacing: mm per pixel of it.
        shape: height and width of the radiograph that it comes from, in pixels.
        pixels: height and width of a pixel of the radiograph in mm; None where nothing says it.
        frame: where the joint is in a hand; None where the radiograph shows one joint.
    """

    image: Tensor
    spacing: float
    shape: tuple[int, int]
    pixels: tuple[float, float] | None = None
    frame: JointFrame | None = None

    def lay_back(self, masks: Tensor) -> Tensor:
        """Masks of the radiograph, (2, H, W) of 0 and 1, from those of the frame, (2, 256, 256)."""
        if self.frame is None:
            return F.interpolate(masks[None].float(), size=self.shape, mode="nearest-exact")[0]
        nothing = torch.zeros(2, *self.shape)
        laid = self.frame.paste(nothing, torch.zeros_like(masks), masks)
        return (laid > 0.5 * self.frame.covers(self.shape)).float()

    def cut(self, masks: Tensor) -> Tensor:
        """Masks of the frame, (2, 256, 256) of 0 and 1, from those of the radiograph, (2, H, W)."""
        seen = _resized(masks) if self.frame is None else self.frame.cut(masks)
        return (seen > 0.5).float()


def view_of(path: str | Path, clicks: Mapping[str, Any]) -> JointView:
    """See the joint of a radiograph.

    Args:
        path: a file in any format of :mod:`bundle.data.reading`.
        clicks: ``center`` and ``tip`` of a joint in a hand, and ``spacing`` where the file does not say it.

    Raises:
        InputError: the file cannot be read, shows more than a joint and none is marked, or a value is unusable.
    """
    found = open_radiograph(path)
    pixels = _length(clicks["spacing"]) if clicks.get("spacing") else found.spacing
    if clicks.get("center") or clicks.get("tip"):
        return _in_hand(found, pixels, clicks)
    return _alone(found, pixels, path)


def radiograph_shape(path: str | Path) -> tuple[int, int]:
    """Height and width of a radiograph in pixels; raises :class:`InputError` where it cannot be read."""
    return _shape(_tensor(open_radiograph(path)))


def _in_hand(found: StatedRadiograph, pixels: tuple[float, float] | None, clicks: Mapping[str, Any]) -> JointView:
    """A joint that is marked in a hand."""
    center, tip = _point(clicks, "center"), _point(clicks, "tip")
    if pixels is None:
        msg = f"expected a radiograph that says its spacing, got one that does not: {_REMEDY}"
        raise InputError(msg)
    place = JointPlace("marked", center, (tip[0] - center[0], tip[1] - center[1]))
    frame, hand = JointFrame(place, pixels, SIZE), _tensor(found)
    return JointView(frame.cut(hand).clamp(0.0, 1.0), frame.pixel, _shape(hand), pixels, frame)


def _alone(found: StatedRadiograph, pixels: tuple[float, float] | None, path: str | Path) -> JointView:
    """A radiograph that shows one joint; where nothing says how large it is, it has the public frame's 21 mm."""
    image = _tensor(found)
    height, width = _shape(image)
    down, across = (height * pixels[0], width * pixels[1]) if pixels else (SIDE, SIDE * width / height)
    low, high = EXTENT_RANGE
    too_large = pixels is None and height > LARGEST
    if abs(down / across - 1.0) > ROUGHLY or not low <= down <= high or too_large:
        size = f"{across:.1f} x {down:.1f} mm, " if pixels else ""
        msg = (
            f"expected a square radiograph of one joint, {low:g} to {high:g} mm high, got {size}{width} x {height} "
            f"pixels: {path}: {_REMEDY}"
        )
        raise InputError(msg)
    return JointView(_resized(image), down / SIZE, (height, width), pixels)


def _tensor(found: StatedRadiograph) -> Tensor:
    return torch.from_numpy(found.intensity)[None]


def _shape(image: Tensor) -> tuple[int, int]:
    return int(image.shape[-2]), int(image.shape[-1])


def _resized(image: Tensor) -> Tensor:
    """(C, 256, 256) of (C, H, W), bilinear and antialiased; the same where it has this size."""
    if _shape(image) == (SIZE, SIZE):
        return image
    return F.interpolate(image[None], size=(SIZE, SIZE), mode="bilinear", antialias=True)[0].clamp(0.0, 1.0)


def _point(clicks: Mapping[str, Any], name: str) -> tuple[float, float]:
    values = clicks.get(name)
    if not isinstance(values, (list, tuple)) or len(values) != 2 or not all(map(_is_number, values)):
        msg = f'expected "{name}" as [x, y] in pixels of the radiograph, got {values!r}: {_REMEDY}'
        raise InputError(msg)
    return float(values[0]), float(values[1])


def _length(value: Any) -> tuple[float, float]:
    if not _is_number(value) or float(value) <= 0.0:
        msg = f'expected "spacing" as mm per pixel, above 0, got {value!r}: {_REMEDY}'
        raise InputError(msg)
    return float(value), float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
