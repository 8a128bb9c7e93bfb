"""Rigid motion of the bones, f_s (LSN Eq. 5-6): each bone layer and its mask move, the soft tissue stays.

Motions are in millimetres and degrees, x to the right and y downwards, one per sample and bone. A positive rotation
is clockwise on the screen (x towards y) about a given centre. The parameters are ground truth of the synthetic images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from bundle.joint import MCP
from bundle.physics.continuation import CONTINUED_MM, DETAIL_MM, continue_texture
from bundle.physics.sampling import by_pixel_size, pixel_sizes, sample
from torch import Tensor
from torch.nn import functional as F

_KERNEL = 3
"""Maximum radius of the interpolation kernel in pixels."""

_CUBIC = 0.9
"""Share of the cubic kernel in ``bicubic``; the rest is bilinear. The cubic kernel alone makes the finest detail of
bones in the public radiographs stronger by 0.8 %, which reveals that a bone was moved."""

Placed = tuple[Tensor, Tensor, Tensor]
"""Motion of N bones: angle (N, 1) in radians, centre before and after it (N, 2) in pixels."""

Range = tuple[int, int]
"""First row or column, and one past the last."""


@dataclass(frozen=True)
class RigidMotion:
    """Motion of the two bones (lower, upper) of B joints.

    Attributes:
        translation: translation in mm, (B, 2, 2), [sample, bone, (x, y)].
        rotation: rotation in degrees, (B, 2).
        center: centre of rotation before the translation, in mm from the frame's centre, (B, 2, 2).
    """

    translation: Tensor
    rotation: Tensor
    center: Tensor

    def __post_init__(self) -> None:
        expected = (self.translation.shape[0], 2)
        shapes = [tuple(getattr(self, field.name).shape) for field in fields(self)]
        if shapes != [(*expected, 2), expected, (*expected, 2)]:
            msg = f"translation must be (B, 2, 2), rotation (B, 2) and center (B, 2, 2), got {shapes}"
            raise ValueError(msg)

    @classmethod
    def still(cls, count: int) -> RigidMotion:
        """Create the identity motion of ``count`` samples."""
        return cls(torch.zeros(count, 2, 2), torch.zeros(count, 2), torch.zeros(count, 2, 2))

    @classmethod
    def widening(cls, change: Tensor, upper_share: float = 0.5) -> RigidMotion:
        """Create the vertical motion that changes the JSW: upper bone up, lower bone down.

        Args:
            change: change of the JSW in mm, (B,); positive widens, negative narrows.
            upper_share: fraction of the change that moves the upper bone, in [0, 1].
        """
        motion = cls.still(change.shape[0]).to(change.double())
        motion.translation[:, 0, 1] = change * (1.0 - upper_share)
        motion.translation[:, 1, 1] = -change * upper_share
        return motion

    def inverse(self) -> RigidMotion:
        """Return the inverse motion."""
        return RigidMotion(-self.translation, -self.rotation, self.center + self.translation)

    def of(self, sample: int) -> RigidMotion:
        """Return the motion of one sample, as a batch of one."""
        return self.at(slice(sample, sample + 1))

    def at(self, samples: slice | Tensor) -> RigidMotion:
        """Return the motion of the samples given by a slice or by indices."""
        return RigidMotion(*(getattr(self, field.name)[samples] for field in fields(self)))

    def to(self, like: Tensor) -> RigidMotion:
        """Copy the motion to the device and dtype of a tensor without blocking the host."""
        return RigidMotion(*(getattr(self, field.name).to(like, non_blocking=True) for field in fields(self)))

    @classmethod
    def joined(cls, motions: Sequence[RigidMotion]) -> RigidMotion:
        """Concatenate the motions of several batches."""
        return cls(*(torch.cat([getattr(motion, field.name) for motion in motions]) for field in fields(cls)))

    def to_json(self) -> str:
        """Serialize the three parameters as nested lists in one line of JSON."""
        return json.dumps({field.name: getattr(self, field.name).tolist() for field in fields(self)})

    @classmethod
    def from_json(cls, line: str) -> RigidMotion:
        """Parse the output of :meth:`to_json`; in float64 the motion is bit-exact."""
        values = json.loads(line)
        return cls(*(torch.tensor(values[field.name], dtype=torch.float64) for field in fields(cls)))


@dataclass(frozen=True, kw_only=True)
class MotionRange:
    """Uniform ranges of a random motion, sampled independently for every sample and bone.

    Attributes:
        x_mm: maximum lateral shift in mm, to either side (published: 20 px).
        y_mm: maximum vertical shift in mm, up or down (published: 30 px).
        rotation_deg: maximum rotation in degrees, in either direction.

    Raises:
        ValueError: if a range is negative.
    """

    x_mm: float = 20 * MCP.spacing_mm
    y_mm: float = 30 * MCP.spacing_mm
    rotation_deg: float = 10.0

    def __post_init__(self) -> None:
        if min(self.x_mm, self.y_mm, self.rotation_deg) < 0:
            msg = f"ranges of motion must be at least 0, got {self}"
            raise ValueError(msg)

    def sample(self, count: int, random: np.random.RandomState) -> RigidMotion:
        """Sample the motions of ``count`` samples; each bone rotates about the frame's centre."""
        largest = np.array([self.x_mm, self.y_mm, self.rotation_deg])
        sampled = torch.from_numpy(random.uniform(-largest, largest, size=(count, 2, 3))).float()
        return RigidMotion(sampled[..., :2], sampled[..., 2], torch.zeros(count, 2, 2))


def move(
    layers: Tensor,
    masks: Tensor,
    motion: RigidMotion,
    spacing: float | Tensor = MCP.spacing_mm,
    mode: str = "bilinear",
    exact: bool = True,
) -> tuple[Tensor, Tensor]:
    """Move the bone layers with their masks: ``A' = f_s(A, t)`` and ``M' = f_s(M, t)`` (Eq. 5-6).

    Bones are continued past the border (:func:`continue_texture`), so a motion never uncovers a black band.

    Args:
        layers: layers soft tissue, lower bone, upper bone, (B, 3, H, W).
        masks: lower and upper bone masks, (B, 2, H, W).
        motion: motion of B samples.
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
        mode: interpolation of the layers, ``bilinear``, ``bicubic`` (with a bilinear share of 0.1, so that detail keeps
            its strength; clipped to [0, 1]) or, as a control of measures, ``nearest``. Masks use bilinear: clipped
            bicubic interpolation would shift their edge by a hundredth of a pixel.
        exact: whether to sample in float64, so that zero motion is the identity at any size. False samples in the
            precision of the layers, which is faster and accurate to 1e-4 pixels; use it for training.

    Returns:
        Moved layers (B, 3, H, W) with unchanged soft tissue, and moved soft masks (B, 2, H, W) in [0, 1].

    Raises:
        ValueError: if the shapes do not match, the spacing is not positive or the mode is unknown.
    """
    if layers.dim() != 4 or layers.shape[1] != 3 or masks.shape != (layers.shape[0], 2, *layers.shape[2:]):
        msg = f"layers must be (B, 3, H, W) and masks (B, 2, H, W), got {tuple(layers.shape)} and {tuple(masks.shape)}"
        raise ValueError(msg)
    _check_spacing(len(layers), spacing)
    continued = ContinuedBones.of(layers[:, 1:], masks[:, :, None], spacing)
    bones, maps = continued.moved(motion, spacing, mode, exact)
    return torch.cat([layers[:, :1], bones], dim=1), maps[:, :, 0]


@dataclass(frozen=True)
class ContinuedBones:
    """Bones and the maps that move with them, continued past the border of the frame, ready for any motion.

    Attributes:
        bones: layers of the two bones, (B, 2, H', W'), continued with texture (:func:`continue_texture`) by
            :data:`CONTINUED_MM` on each side, or less in small frames.
        maps: K maps of each bone, such as its mask, (B, 2, K, H, W); past the border their outermost pixels repeat.
        boxes: bounding box of bone and maps, (B, 2, 4): left, top, right and bottom in pixels from the frame's centre,
            infinite where they leave the frame.
    """

    bones: Tensor
    maps: Tensor
    boxes: Tensor

    @classmethod
    def of(cls, bones: Tensor, maps: Tensor, spacing: float | Tensor = MCP.spacing_mm) -> ContinuedBones:
        """Continue bone layers (B, 2, H, W) with maps (B, 2, K, H, W); pixel size ``spacing`` in mm, scalar or (B,)."""
        _check_shapes(bones, maps)
        margin = round(CONTINUED_MM / min(pixel_sizes(spacing)))
        parts = by_pixel_size(lambda pixel, part: continue_texture(part, margin, DETAIL_MM / pixel), spacing, bones)
        return cls(torch.cat(parts), maps, _boxes((bones > 0) | (maps > 0).any(dim=2)))

    def moved(
        self, motion: RigidMotion, spacing: float | Tensor, mode: str = "bilinear", exact: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Move the bones and crop to the frame: bones (B, 2, H, W), maps (B, 2, K, H, W); see :func:`move`."""
        _check_motion(len(self.bones), motion, spacing, mode)
        placed = _placed(motion.to(self.bones.double() if exact else self.bones), spacing)
        shape, still = self.maps.shape[-2:], (self.bones.flatten(0, 1)[:, None], self.maps.flatten(0, 1))
        positions = SourcePositions.of(placed, shape, self.bones.shape[-2:])
        bones, maps, areas = [], [], []
        for part, rows, columns in _reached(self.boxes.flatten(0, 1), placed, shape):
            outer, inner = positions.within(part, rows, columns)
            bones.append(_sample(still[0][part], outer, mode))
            maps.append(_sample(still[1][part], inner, "bilinear"))
            areas.append((rows, columns))
        return _framed(bones, areas, shape).view_as(self.maps[:, :, 0]), _framed(maps, areas, shape).view_as(self.maps)


def _framed(parts: Sequence[Tensor], areas: Sequence[tuple[Range, Range]], shape: Sequence[int]) -> Tensor:
    """Put parts (n, K, rows, columns) into frames of zeros, (N, K, H, W) in total."""
    if any(part.requires_grad for part in parts):  # assignments to slices are slow to differentiate
        margins = [(left, shape[1] - right, top, shape[0] - bottom) for (top, bottom), (left, right) in areas]
        return torch.cat([F.pad(part, margin) for part, margin in zip(parts, margins, strict=True)])
    frames, first = parts[0].new_zeros(sum(map(len, parts)), parts[0].shape[1], *shape), 0
    for part, (rows, columns) in zip(parts, areas, strict=True):
        frames[first : first + len(part), :, slice(*rows), slice(*columns)] = part
        first += len(part)
    return frames


def _boxes(occupied: Tensor) -> Tensor:
    """Bounding boxes (B, 2, 4) of the true pixels of (B, 2, H, W), as in :class:`ContinuedBones`."""
    sides = []
    for dim in (-2, -1):
        line = occupied.any(dim=dim)
        length = line.shape[-1]
        first, last = line.int().argmax(dim=-1), length - 1 - line.flip(-1).int().argmax(dim=-1)
        middle = (length - 1) / 2
        none = ~line.any(dim=-1)
        low, high = (
            (first - middle).masked_fill(first == 0, -math.inf),
            (last - middle).masked_fill(last == length - 1, math.inf),
        )
        sides.append((low.masked_fill(none, 0.0), high.masked_fill(none, 0.0)))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], dim=-1)


def _reached(boxes: Tensor, placed: Placed, shape: Sequence[int]) -> list[tuple[slice, Range, Range]]:
    """Row and column range that each bone in its box (N, 4) reaches in the frame; at least one pixel.

    On an accelerator it is the whole frame for all bones: sampling it costs less than a transfer to the host.
    """
    if boxes.device.type != "cpu":
        return [(slice(None), (0, shape[0]), (0, shape[1]))]
    with torch.no_grad():
        angle, center, start = placed
        far = sum(shape) + 2.0 * center.abs().amax() + start.abs().amax()
        box = boxes.to(angle).clamp(-far, far)
        x, y = box[:, [0, 2, 0, 2]] - center[:, :1], box[:, [1, 1, 3, 3]] - center[:, 1:]
        cosine, sine = angle.cos(), angle.sin()
        places = torch.stack([sine * x + cosine * y + start[:, 1:], cosine * x - sine * y + start[:, :1]], dim=1)
        low, high = (ends.tolist() for ends in places.aminmax(dim=-1))
    ranges = [[_within(*ends) for ends in zip(*both, shape, strict=True)] for both in zip(low, high, strict=True)]
    return [(slice(bone, bone + 1), rows, columns) for bone, (rows, columns) in enumerate(ranges)]


def _within(low: float, high: float, side: int) -> Range:
    """Range of pixels within reach of positions from ``low`` to ``high`` from the middle of a side; at least one."""
    middle = (side - 1) / 2
    first = min(max(math.floor(low + middle) - _KERNEL, 0), side - 1)
    return first, max(min(math.ceil(high + middle) + 1 + _KERNEL, side), first + 1)


def _placed(motion: RigidMotion, spacing: float | Tensor) -> Placed:
    """Angles of the bones, and their centres before and after the motion: those of B joints, lower bone first."""
    like = motion.translation
    pixel = torch.as_tensor(spacing, dtype=like.dtype).to(like.device, non_blocking=True).reshape(-1, 1, 1)
    center, translation = motion.center / pixel, motion.translation / pixel
    return torch.deg2rad(motion.rotation).reshape(-1, 1), center.flatten(0, 1), (center + translation).flatten(0, 1)


def _sample(maps: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Sample maps (B, K, H', W') of a continued bone on the frames' grids (B, h, w, 2)."""
    values = maps.to(grid.dtype)
    moved = sample(values, grid, mode)
    if mode == "bicubic":
        moved = sample(values, grid).lerp(moved, _CUBIC)
    return moved.clamp_(0.0, 1.0).to(maps.dtype)


@dataclass(frozen=True)
class SourcePositions:
    """Source positions of the pixels of N moved bones in the continued frame, which spans -1 to 1.

    The position of a pixel is the sum of a complex number (x, y) of its column and one of its row.

    Attributes:
        of_columns: (N, W).
        of_rows: (N, H).
        scale: factor from these positions to those in the frame, which spans -1 to 1 as well.
    """

    of_columns: Tensor
    of_rows: Tensor
    scale: float | Tensor

    @classmethod
    def of(cls, placed: Placed, shape: Sequence[int], extent: Sequence[int]) -> SourcePositions:
        """Compute the positions; heights and widths of the frame and of the continued one, in pixels."""
        angle, center, start = placed
        cosine, sine = angle.cos(), angle.sin()
        y, x = (torch.arange(side, dtype=angle.dtype, device=angle.device) - (side - 1) / 2 for side in shape)
        x, y = x - start[:, :1], y - start[:, 1:]
        half_height, half_width = (side / 2 for side in extent)
        of_columns = torch.complex((cosine * x + center[:, :1]) / half_width, -(sine * x / half_height))
        of_rows = torch.complex(sine * y / half_width, (cosine * y + center[:, 1:]) / half_height)
        height, width = (continued / side for continued, side in zip(extent, shape, strict=True))
        return cls(of_columns, of_rows, width if width == height else of_columns.real.new_tensor([width, height]))

    def within(self, bones: slice, rows: Range, columns: Range) -> tuple[Tensor, Tensor]:
        """Return grids (n, rows, columns, 2), x first, of some bones: in the continued frame, and in the frame."""
        grid = self.of_columns[bones, None, slice(*columns)] + self.of_rows[bones, slice(*rows), None]
        positions = torch.view_as_real(grid)
        return positions, positions * self.scale


def _check_shapes(bones: Tensor, maps: Tensor) -> None:
    if bones.dim() != 4 or maps.dim() != 5 or maps.shape[:2] + maps.shape[3:] != bones.shape or bones.shape[1] != 2:
        shapes = f"{tuple(bones.shape)} and {tuple(maps.shape)}"
        msg = f"bone layers must be (B, 2, H, W) and maps (B, 2, K, H, W), got {shapes}"
        raise ValueError(msg)


def _check_motion(batch: int, motion: RigidMotion, spacing: float | Tensor, mode: str) -> None:
    if motion.rotation.shape[0] != batch:
        msg = f"the motion must be that of {batch} samples, got {motion.rotation.shape[0]}"
        raise ValueError(msg)
    _check_spacing(batch, spacing)
    if mode not in ("bilinear", "bicubic", "nearest"):
        msg = f"interpolation must be bilinear, bicubic or nearest, got {mode}"
        raise ValueError(msg)


def _check_spacing(batch: int, spacing: float | Tensor) -> None:
    given = torch.as_tensor(spacing)
    known = given.device.type == "cpu"  # no synchronization with an accelerator
    if given.numel() not in (1, batch) or (known and not bool((given > 0).all())):
        msg = f"pixel size must be above 0 mm; a scalar or one for each of {batch} samples, got {spacing}"
        raise ValueError(msg)
