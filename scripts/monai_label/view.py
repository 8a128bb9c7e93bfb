"""View of a joint in a radiograph of any size: the separator's frame of 256 x 256 pixels, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bundle.errors import InputError
from bundle.io import JointFrame, JointPlace, frame_in_middle, read_stated
from bundle.joint import MCP
from torch import Tensor

SIZE = MCP.pixels
"""Height and width of a frame in pixels."""

LARGEST = 1024
"""Height in pixels above which a radiograph without stated spacing counts as that of a hand."""

CLICKS = ("center", "tip", "spacing")
"""Marks of a joint in a request: points (x, y) in pixels, and mm per pixel."""

_REMEDY = 'Mark the joint of a hand by "center" and "tip" in params; add "spacing" in mm if the file does not state it.'


@dataclass(frozen=True)
class JointView:
    """A joint as the separator sees it.

    Attributes:
        image: intensity in [0, 1], (1, 256, 256).
        shape: height and width of the source radiograph in pixels.
        frame: position in the radiograph.
        pixels: height and width of a pixel of the radiograph in mm; None if unknown.
    """

    image: Tensor
    shape: tuple[int, int]
    frame: JointFrame
    pixels: tuple[float, float] | None = None

    @property
    def spacing(self) -> float:
        """Pixel size of the image in mm."""
        return self.frame.pixel

    def lay_back(self, masks: Tensor) -> Tensor:
        """Map masks of the frame, (2, 256, 256), to the radiograph, (2, H, W) of 0 and 1."""
        laid = self.frame.paste(torch.zeros(2, *self.shape), torch.zeros_like(masks), masks)
        return (laid > 0.5 * self.frame.covers(self.shape)).float()

    def cut(self, masks: Tensor) -> Tensor:
        """Map masks of the radiograph, (2, H, W), to the frame, (2, 256, 256) of 0 and 1."""
        return (self.frame.cut(masks) > 0.5).float()


def view_of(path: str | Path, clicks: Mapping[str, Any]) -> JointView:
    """Return the view of the joint of a radiograph.

    Args:
        path: a file in any format of :mod:`bundle.io.reading`.
        clicks: ``center`` and ``tip`` of a joint in a hand, and ``spacing`` if the file does not state it.

    Raises:
        InputError: the file cannot be read, shows several joints and none is marked, or a value is unusable.
    """
    found = read_stated(path)
    pixels = found.pixel(_length(clicks["spacing"]) if clicks.get("spacing") else 0.0)
    if pixels is None and found.unstated:
        msg = f"{path} has no pixel spacing, and {found.unstated}: {_REMEDY}"
        raise InputError(msg)
    hand = torch.from_numpy(found.intensity)[None]
    shape = (hand.shape[1], hand.shape[2])
    marked = clicks.get("center") or clicks.get("tip")
    frame = _marked(pixels, clicks) if marked else _alone(shape, pixels, path)
    return JointView(frame.cut(hand).clamp(0.0, 1.0), shape, frame, pixels)


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
