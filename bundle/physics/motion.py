"""Rigid motion of the bones, f_s (LSN Eq. 5-6): each bone layer and its mask move, the soft tissue stays.

Motions are in millimetres and degrees, x to the right and y downwards, one per sample and bone; a positive rotation
turns x towards y (clockwise on the screen) about a stated centre. Their parameters are the ground truth of the images
made.
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
"""Interpolation looks so many pixels around, at most."""


@dataclass(frozen=True)
class RigidMotion:
    """Motion of the two bones (lower, upper) of B joints.

    Attributes:
        translation: (B, 2, 2) in mm, [sample, bone, (x, y)].
        rotation: (B, 2) in degrees.
        center: (B, 2, 2) in mm from the frame's centre, the fixed point of the rotation before the translation.
    """

    translation: Tensor
    rotation: Tensor
    center: Tensor

    def __post_init__(self) -> None:
        expected = (self.translation.shape[0], 2)
        shapes = [tuple(getattr(self, field.name).shape) for field in fields(self)]
        if shapes != [(*expected, 2), expected, (*expected, 2)]:
            msg = f"expected translation (B, 2, 2), rotation (B, 2) and center (B, 2, 2), got {shapes}"
            raise ValueError(msg)

    @classmethod
    def still(cls, count: int) -> RigidMotion:
        """No motion, for ``count`` samples."""
        return cls(torch.zeros(count, 2, 2), torch.zeros(count, 2), torch.zeros(count, 2, 2))

    @classmethod
    def widening(cls, change: Tensor, upper_share: float = 0.5) -> RigidMotion:
        """The vertical motion that changes the JSW by ``change`` mm (B,): upper bone up, lower bone down.

        Args:
            change: mm, positive widens and negative narrows.
            upper_share: part of the change that the upper bone makes, in [0, 1].
        """
        motion = cls.still(change.shape[0]).to(change.double())
        motion.translation[:, 0, 1] = change * (1.0 - upper_share)
        motion.translation[:, 1, 1] = -change * upper_share
        return motion

    def inverse(self) -> RigidMotion:
        """The motion that brings the bones back."""
        return RigidMotion(-self.translation, -self.rotation, self.center + self.translation)

    def of(self, sample: int) -> RigidMotion:
        """The motion of one sample, as a batch of one."""
        return self.at(slice(sample, sample + 1))

    def at(self, samples: slice | Tensor) -> RigidMotion:
        """The motion of some samples, by a slice or their indices."""
        return RigidMotion(*(getattr(self, field.name)[samples] for field in fields(self)))

    def to(self, like: Tensor) -> RigidMotion:
        """The same motion on the device and in the dtype of a tensor; the host does not wait for the copy."""
        return RigidMotion(*(getattr(self, field.name).to(like, non_blocking=True) for field in fields(self)))

    @classmethod
    def joined(cls, motions: Sequence[RigidMotion]) -> RigidMotion:
        """The motions of several batches as that of one."""
        return cls(*(torch.cat([getattr(motion, field.name) for motion in motions]) for field in fields(cls)))

    def to_json(self) -> str:
        """One line of JSON with the three parameters as nested lists."""
        return json.dumps({field.name: getattr(self, field.name).tolist() for field in fields(self)})

    @classmethod
    def from_json(cls, line: str) -> RigidMotion:
        """Read what :meth:`to_json` wrote; in float64 it is replayed to the bit."""
        values = json.loads(line)
        return cls(*(torch.tensor(values[field.name], dtype=torch.float64) for field in fields(cls)))


@dataclass(frozen=True, kw_only=True)
class MotionRange:
    """Uniform ranges of a random motion, drawn for every sample and bone by itself.

    Attributes:
        x_mm: largest shift to either side, in mm (published: 20 px).
        y_mm: largest shift up or down, in mm (published: 30 px).
        rotation_deg: largest rotation either way, in degrees.

    Raises:
        ValueError: if a range is negative.
    """

    x_mm: float = 20 * MCP.spacing_mm
    y_mm: float = 30 * MCP.spacing_mm
    rotation_deg: float = 10.0

    def __post_init__(self) -> None:
        if min(self.x_mm, self.y_mm, self.rotation_deg) < 0:
            msg = f"expected ranges of motion of at least 0, got {self}"
            raise ValueError(msg)

    def sample(self, count: int, random: np.random.RandomState) -> RigidMotion:
        """Draw the motions of ``count`` samples; each bone turns about the frame's centre."""
        largest = np.array([self.x_mm, self.y_mm, self.rotation_deg])
        drawn = torch.from_numpy(random.uniform(-largest, largest, size=(count, 2, 3))).float()
        return RigidMotion(drawn[..., :2], drawn[..., 2], torch.zeros(count, 2, 2))


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
        layers: (B, 3, H, W), soft tissue, lower bone, upper bone.
        masks: (B, 2, H, W), lower and upper.
        motion: of B samples.
        spacing: mm per pixel, one for all, (B,) or (B, 1).
        mode: of the layers, ``bilinear`` or ``bicubic`` (clipped to [0, 1]). Masks are bilinear: clipped bicubic masks
            would shift their edge by a hundredth of a pixel.
        exact: sample in float64, so that no motion is the identity at any size. False, for training, samples in the
            precision of the layers, which is faster; places are then right to 1e-4 pixels.

    Returns:
        Moved layers (B, 3, H, W), whose soft tissue is the input's, and moved soft masks (B, 2, H, W) in [0, 1].

    Raises:
        ValueError: if shapes do not agree, the spacing is not positive or the mode is another.
    """
    if layers.dim() != 4 or layers.shape[1] != 3 or masks.shape != (layers.shape[0], 2, *layers.shape[2:]):
        msg = f"expected layers (B, 3, H, W) and masks (B, 2, H, W), got {tuple(layers.shape)} and {tuple(masks.shape)}"
        raise ValueError(msg)
    _check_spacing(len(layers), spacing)
    continued = ContinuedBones.of(layers[:, 1:], masks[:, :, None], spacing)
    bones, maps = continued.moved(motion, spacing, mode, exact)
    return torch.cat([layers[:, :1], bones], dim=1), maps[:, :, 0]


@dataclass(frozen=True)
class ContinuedBones:
    """Bones and maps that move with them, continued past the border of their frames: ready for any motion.

    Attributes:
        bones: layers of the two bones, continued by their texture (:func:`continue_texture`) by :data:`CONTINUED_MM`
            or, in small frames, less on each side: (B, 2, H', W').
        maps: K maps of each bone, such as its mask, (B, 2, K, H, W); past the border their outermost pixels repeat.
        boxes: what bone and maps occupy of the frame, (B, 2, 4): left, top, right and bottom in pixels from its centre,
            infinite where they leave it.
    """

    bones: Tensor
    maps: Tensor
    boxes: Tensor

    @classmethod
    def of(cls, bones: Tensor, maps: Tensor, spacing: float | Tensor = MCP.spacing_mm) -> ContinuedBones:
        """Continue bone layers (B, 2, H, W) with maps (B, 2, K, H, W); ``spacing`` in mm per pixel, one or (B,)."""
        _check_shapes(bones, maps)
        margin = round(CONTINUED_MM / min(pixel_sizes(spacing)))
        parts = by_pixel_size(lambda pixel, part: continue_texture(part, margin, DETAIL_MM / pixel), spacing, bones)
        return cls(torch.cat(parts), maps, _boxes((bones > 0) | (maps > 0).any(dim=2)))

    def moved(
        self, motion: RigidMotion, spacing: float | Tensor, mode: str = "bilinear", exact: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The bones (B, 2, H, W) and the maps (B, 2, K, H, W) of the frames after a motion; see :func:`move`."""
        _check_motion(len(self.bones), motion, spacing, mode)
        motion = motion.to(self.bones.double() if exact else self.bones)
        parts = [self._moved(bone, motion, spacing, mode) for bone in range(2)]
        bones, maps = (torch.stack(part, dim=1) for part in zip(*parts, strict=True))
        return bones[:, :, 0], maps

    def _moved(self, bone: int, motion: RigidMotion, spacing: float | Tensor, mode: str) -> tuple[Tensor, Tensor]:
        """One bone (B, 1, H, W) and its maps (B, K, H, W), sampled where they come to lie."""
        inner, outer = self.maps.shape[-2:], self.bones.shape[-2:]
        rows, columns = _reached(self.boxes[:, bone], motion, bone, inner, spacing)
        grid = sampling_grid(motion, bone, inner, outer, rows, columns, spacing)
        layer = _sample(self.bones[:, bone, None], grid, mode)
        height, width = (continued / side for continued, side in zip(outer, inner, strict=True))
        grid = grid * (width if width == height else grid.new_tensor([width, height]))
        maps = _sample(self.maps[:, bone], grid, "bilinear")
        beside = [columns[0], inner[1] - columns[1], rows[0], inner[0] - rows[1]]
        return F.pad(layer, beside), F.pad(maps, beside)


def _boxes(occupied: Tensor) -> Tensor:
    """Left, top, right and bottom (B, 2, 4) of what is set in (B, 2, H, W), as :class:`ContinuedBones` has them."""
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


def _reached(
    boxes: Tensor, motion: RigidMotion, bone: int, shape: Sequence[int], spacing: float | Tensor
) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last row, and column, that a bone in its boxes (B, 4) reaches in any of the frames; at least one.

    On an accelerator it is the whole frame: sampling it costs less than waiting for the numbers.
    """
    if boxes.device.type != "cpu":
        return (0, shape[0]), (0, shape[1])
    with torch.no_grad():
        turn, center, start = _placed(motion, bone, spacing)
        far = sum(shape) + 2.0 * center.abs().amax() + start.abs().amax()
        box = boxes.to(turn).clamp(-far, far)
        x, y = box[:, [0, 2, 0, 2]] - center[:, :1], box[:, [1, 1, 3, 3]] - center[:, 1:]
        cosine, sine = turn.cos(), turn.sin()
        places = (sine * x + cosine * y + start[:, 1:], cosine * x - sine * y + start[:, :1])
        ends = [
            [float(end) + (side - 1) / 2 for end in place.aminmax()] for place, side in zip(places, shape, strict=True)
        ]
    rows, columns = (
        _within(math.floor(low) - _KERNEL, math.ceil(high) + 1 + _KERNEL, side)
        for (low, high), side in zip(ends, shape, strict=True)
    )
    return rows, columns


def _within(first: int, past: int, side: int) -> tuple[int, int]:
    """A range of pixels cut to those of a side, of which one is left."""
    first = min(max(first, 0), side - 1)
    return first, max(min(past, side), first + 1)


def _placed(motion: RigidMotion, bone: int, spacing: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Angle (B, 1) in radians, centre before and after the motion (B, 2) in pixels, of one bone."""
    like = motion.translation
    pixel = torch.as_tensor(spacing, dtype=like.dtype).to(like.device, non_blocking=True).reshape(-1, 1)
    center = motion.center[:, bone] / pixel
    return torch.deg2rad(motion.rotation[:, bone, None]), center, center + motion.translation[:, bone] / pixel


def _sample(maps: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Sample maps (B, K, H', W') of a continued bone by the frames' grids (B, h, w, 2)."""
    moved = sample(maps.to(grid.dtype), grid, mode)
    return moved.clamp_(0.0, 1.0).to(maps.dtype)


def sampling_grid(
    motion: RigidMotion,
    bone: int,
    shape: Sequence[int],
    extent: Sequence[int],
    rows: tuple[int, int],
    columns: tuple[int, int],
    spacing: float | Tensor,
) -> Tensor:
    """Where pixels of a moved bone come from in the continued frame, which spans -1 to 1.

    Args:
        motion: of B joints.
        bone: 0 for the lower, 1 for the upper one.
        shape: height and width of the frame, in pixels.
        extent: those of the continued frame, around the same centre.
        rows: first row, and the one after the last.
        columns: likewise.
        spacing: mm per pixel.

    Returns:
        (B, rows, columns, 2), x first.
    """
    turn, center, start = _placed(motion, bone, spacing)
    cosine, sine = turn.cos(), turn.sin()
    y, x = (
        torch.arange(*of, dtype=turn.dtype, device=turn.device) - (side - 1) / 2
        for of, side in zip((rows, columns), shape, strict=True)
    )
    x, y = x - start[:, :1], y - start[:, 1:]
    half_height, half_width = (side / 2 for side in extent)
    across = ((cosine * x + center[:, :1]) / half_width)[:, None] + (sine * y / half_width)[:, :, None]
    down = ((cosine * y + center[:, 1:]) / half_height)[:, :, None] - (sine * x / half_height)[:, None]
    return torch.stack([across, down], dim=-1)


def _check_shapes(bones: Tensor, maps: Tensor) -> None:
    if bones.dim() != 4 or maps.dim() != 5 or maps.shape[:2] + maps.shape[3:] != bones.shape or bones.shape[1] != 2:
        shapes = f"{tuple(bones.shape)} and {tuple(maps.shape)}"
        msg = f"expected bone layers (B, 2, H, W) and maps of them (B, 2, K, H, W), got {shapes}"
        raise ValueError(msg)


def _check_motion(batch: int, motion: RigidMotion, spacing: float | Tensor, mode: str) -> None:
    if motion.rotation.shape[0] != batch:
        msg = f"expected the motion of {batch} samples, got {motion.rotation.shape[0]}"
        raise ValueError(msg)
    _check_spacing(batch, spacing)
    if mode not in ("bilinear", "bicubic"):
        msg = f"expected the interpolation bilinear or bicubic, got {mode}"
        raise ValueError(msg)


def _check_spacing(batch: int, spacing: float | Tensor) -> None:
    given = torch.as_tensor(spacing)
    known = given.device.type == "cpu"  # the host does not wait for an accelerator
    if given.numel() not in (1, batch) or (known and not bool((given > 0).all())):
        msg = f"expected a spacing above 0 mm per pixel, one for all or for each of {batch} samples, got {spacing}"
        raise ValueError(msg)
