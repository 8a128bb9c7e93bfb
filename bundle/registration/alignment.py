"""Alignment of the two bones of a joint between two radiographs, and the joint space narrowing that follows.

Between a fixed and a moving radiograph each bone moves by its own similarity transform (scale, rotation, translation),
as in Wang et al. 2023 (arXiv 2304.13938). Points are in mm from the frame's centre, x to the right and y downwards, and
a positive rotation turns x towards y, as in :mod:`bundle.physics.motion`. Joint space narrowing (JSN) is positive if
the moving radiograph shows the narrower joint space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from bundle.joint import LOWER, MCP, UPPER
from bundle.measurement import facing_centers
from bundle.physics import RigidMotion, sample
from bundle.registration.gauss_newton import BoneShift
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Alignment:
    """Similarity from fixed to moving radiograph: ``T(x) = center + translation + scale R (x - center)``.

    The batch shape (...) is arbitrary: (B, 2), lower and upper, for bones, and (B,) for whole frames.

    Attributes:
        scale: scale factor, (...); 1 for none.
        rotation: rotation in degrees, (...).
        translation: translation of the centre in mm, (..., 2).
        center: centre in mm from the frame's centre, (..., 2).

    Raises:
        ValueError: the shapes do not agree.
    """

    scale: Tensor
    rotation: Tensor
    translation: Tensor
    center: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.scale.shape)
        shapes = [tuple(getattr(self, field.name).shape) for field in fields(self)]
        if shapes != [shape, shape, (*shape, 2), (*shape, 2)]:
            msg = f"scale and rotation must be (...), translation and center (..., 2), got {shapes}"
            raise ValueError(msg)

    @classmethod
    def still(cls, center: Tensor) -> Alignment:
        """Return the identity about centres (..., 2)."""
        none = torch.zeros_like(center[..., 0])
        return cls(none + 1.0, none, torch.zeros_like(center), center)

    @classmethod
    def of(cls, motion: RigidMotion) -> Alignment:
        """Return the alignment from the bones before a rigid motion to those after it."""
        return cls(torch.ones_like(motion.rotation), motion.rotation, motion.translation, motion.center)

    def __call__(self, places: Tensor) -> Tensor:
        """Map points (..., N, 2) of the fixed radiograph to the moving one."""
        away = _rotated(places - self.center[..., None, :], self.rotation[..., None])
        return self.scale[..., None, None] * away + (self.center + self.translation)[..., None, :]

    def about(self, center: Tensor) -> Alignment:
        """Return the same alignment about other centres (..., 2)."""
        moved = self(center[..., None, :])[..., 0, :]
        return Alignment(self.scale, self.rotation, moved - center, center)

    def then(self, other: Alignment) -> Alignment:
        """Return this alignment followed by another: ``other(self(x))``, about this one's centres."""
        scale, rotation = self.scale * other.scale, self.rotation + other.rotation
        moved = other((self.center + self.translation)[..., None, :])[..., 0, :]
        return Alignment(scale, rotation, moved - self.center, self.center)

    def inverse(self) -> Alignment:
        """Return the alignment from the moving to the fixed radiograph."""
        return Alignment(1.0 / self.scale, -self.rotation, -self.translation, self.center + self.translation)

    def halved(self) -> Alignment:
        """Return the alignment that gives this one when applied twice.

        With ``T(z) = a z + b`` in the complex plane it is ``sqrt(a) z + b / (1 + sqrt(a))``, for rotations below 180
        degrees.
        """
        factor, offset = self._complex()
        root = factor.sqrt()
        return Alignment._of_complex(root, offset / (1.0 + root), self.center)

    def balanced(self, back: Alignment) -> Alignment:
        """Return the geometric mean of this alignment and the inverse of ``back``, that of the exchanged pair.

        ``T (B T)^(-1/2)`` with ``T`` this alignment and ``B`` the other. Exchanging the two inverts the result; two
        equal alignments give the identity.

        Args:
            back: alignment from the moving to the fixed radiograph, about any centres.
        """
        balanced = self.then(back).halved().inverse().about(self.center).then(self)
        return balanced.about(self.center)

    def _complex(self) -> tuple[Tensor, Tensor]:
        """Return ``a`` and ``b`` of ``T(x + i y) = a (x + i y) + b``."""
        factor = torch.polar(self.scale, torch.deg2rad(self.rotation))
        center, translation = (
            torch.complex(part[..., 0].contiguous(), part[..., 1].contiguous())
            for part in (self.center, self.translation)
        )
        return factor, center + translation - factor * center

    @classmethod
    def _of_complex(cls, factor: Tensor, offset: Tensor, center: Tensor) -> Alignment:
        middle = torch.complex(center[..., 0].contiguous(), center[..., 1].contiguous())
        translation = torch.view_as_real(factor * middle + offset - middle)
        return cls(factor.abs(), torch.rad2deg(factor.angle()), translation, center)

    def of_rows(self, rows: Tensor) -> Alignment:
        """Select along the first axis by ``rows``: indices or a boolean mask."""
        return Alignment(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, like: Tensor) -> Alignment:
        """Convert to the device and dtype of a tensor."""
        return Alignment(*(getattr(self, field.name).to(like) for field in fields(self)))

    def of_bone(self, bone: int) -> Alignment:
        """Select the lower or the upper bone, (B,), of bones (B, 2)."""
        return Alignment(*(getattr(self, field.name)[:, bone] for field in fields(self)))

    def of_both(self) -> Alignment:
        """Repeat a whole frame's alignment (B,) for both bones (B, 2)."""
        parts = (getattr(self, field.name) for field in fields(self))
        return Alignment(*(torch.stack([part, part], dim=1) for part in parts))

    def parameters(self) -> Tensor:
        """Stack scale, rotation and translation, (..., 4)."""
        return torch.cat([self.scale[..., None], self.rotation[..., None], self.translation], dim=-1)

    @classmethod
    def from_parameters(cls, parameters: Tensor, center: Tensor) -> Alignment:
        """Build from :meth:`parameters`, (..., 4), about centres (..., 2)."""
        return cls(parameters[..., 0], parameters[..., 1], parameters[..., 2:], center)


def _rotated(vectors: Tensor, degrees: Tensor) -> Tensor:
    """Rotate vectors (..., 2) by degrees (...) or a shape that broadcasts to it."""
    angle = torch.deg2rad(degrees)
    cosine, sine = angle.cos(), angle.sin()
    x, y = vectors.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)


def between(fixed: RigidMotion, moving: RigidMotion) -> Alignment:
    """Return the true alignment (B, 2) of two synthetic radiographs of the same source joints, from their motions."""
    return Alignment.of(fixed).inverse().then(Alignment.of(moving))


def narrowing(bones: Alignment, axis: Tensor | None = None) -> Tensor:
    """Measure the JSN from the fixed to the moving radiograph, (B,) in mm of the fixed one; positive is narrower.

    It is the approach of the bones' centres along the joint's axis, after the moving radiograph is rotated and scaled
    back by the mean of both bones: repositioning the hand does not change it.

    Args:
        bones: alignment (B, 2) about the middles of the edges that face the joint.
        axis: joint axis of the fixed radiograph, (B,) in degrees from the vertical, positive from x towards y; by
            default the vertical, along which :func:`bundle.measurement.outline_gap` measures.
    """
    moved = bones.center + bones.translation
    before, after = (places[:, UPPER] - places[:, LOWER] for places in (bones.center, moved))
    back = _rotated(after, -bones.rotation.mean(dim=1)) / bones.scale.prod(dim=1).sqrt()[:, None]
    closer = back - before
    return (closer if axis is None else _rotated(closer, -axis))[:, 1]


def of_shifts(shifts: Sequence[BoneShift], center: Tensor) -> Alignment:
    """Convert the registration of the lower and the upper bone to an alignment (1, 2) about ``center`` (2, 2); NaN if a
    bone was not found.
    """
    found = [[shift.scale, shift.rotation, shift.x, shift.y] for shift in shifts]
    return Alignment.from_parameters(center.new_tensor([found]), center[None])


def bone_centers(masks: Tensor, spacing: float) -> Tensor:
    """Return the centres of an alignment, :func:`bundle.measurement.facing_centers` of masks (2, H, W): (2, 2)."""
    return torch.from_numpy(np.asarray(facing_centers(masks.cpu().numpy() > 0.5, spacing))).float()


def warp(image: Tensor, alignment: Alignment, spacing: float | Tensor, mode: str = "bilinear") -> Tensor:
    """Warp moving radiographs onto the fixed ones by one alignment per frame; differentiable.

    Args:
        image: (B, C, H, W); the border pixels are repeated beyond the frame.
        alignment: alignment of the frames, (B,).
        spacing: pixel size in mm; scalar, (B,) or (B, 1).
        mode: interpolation of :func:`bundle.physics.sample`.

    Returns:
        (B, C, H, W).
    """
    places = alignment(_pixel_places(image.shape[-2:], spacing, alignment.translation))
    shape = (len(image), *image.shape[-2:], 2)
    return sampled(image, places.reshape(shape), spacing, mode)


def sampled(
    image: Tensor, places: Tensor, spacing: float | Tensor, mode: str = "bilinear", padding: str = "border"
) -> Tensor:
    """Sample radiographs (B, C, H, W) at points (B, h, w, 2) in mm from the frame's centre: (B, C, h, w).

    Differentiable. For ``mode`` and ``padding`` see :func:`bundle.physics.sample`.
    """
    half = places.new_tensor([side / 2 for side in image.shape[:-3:-1]])
    grid = places / (half * _pixel(spacing, places)[..., None])
    return sample(image, grid, mode, padding)


def warp_bones(moving: Tensor, bones: Alignment, spacing: float | Tensor, mode: str = "bilinear") -> Tensor:
    """Warp moving radiographs onto the fixed ones by the lower and by the upper bone; differentiable.

    Args:
        moving: moving radiographs, (B, 1, H, W).
        bones: alignment of the bones, (B, 2).
        spacing: see :func:`warp`.
        mode: see :func:`warp`.

    Returns:
        The moving radiograph warped by the lower and by the upper bone's alignment, (B, 2, H, W).
    """
    return torch.cat([warp(moving, bones.of_bone(bone), spacing, mode) for bone in (LOWER, UPPER)], dim=1)


def seen_places(bones: Alignment, like: Tensor, spacing: float | Tensor) -> Tensor:
    """Mark the pixels of the fixed frames that each bone's alignment (B, 2) maps into the moving frame, as ``like``.

    Returns:
        (B, 2, H, W) of 0 and 1, without gradient.
    """
    inside = []
    with torch.no_grad():
        for bone in (LOWER, UPPER):
            places = bones.of_bone(bone)(_pixel_places(like.shape[-2:], spacing, bones.translation))
            half = places.new_tensor([side / 2 for side in like.shape[:-3:-1]]) * _pixel(spacing, places)
            inside.append((places.abs() <= half).all(dim=-1).reshape(len(like), *like.shape[-2:]))
    return torch.stack(inside, dim=1).to(like)


def _pixel_places(shape: Sequence[int], spacing: float | Tensor, like: Tensor) -> Tensor:
    """Return the pixel centres of frames (H, W) in mm from the frame's centre, row by row: (B, H * W, 2)."""
    device, dtype = like.device, like.dtype
    y, x = (torch.arange(side, device=device, dtype=dtype) - (side - 1) / 2 for side in shape)
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(1, -1, 2)
    return (places * _pixel(spacing, like)).expand(len(like), -1, 2)


def _pixel(spacing: float | Tensor, like: Tensor) -> Tensor:
    """Return the pixel size in mm, (B, 1, 1) or (1, 1, 1)."""
    return torch.as_tensor(spacing, dtype=like.dtype, device=like.device).reshape(-1, 1, 1)


def reduced(images: Tensor, spacing: Tensor, size: int, field_mm: float = MCP.frame_mm) -> Tensor:
    """Resample frames for a registration network: a fixed number of pixels of a fixed size, about the same centre.

    Args:
        images: (B, C, H, W); the border pixels are repeated beyond the frame.
        spacing: pixel size in mm, (B,) or (B, 1).
        size: height and width of the frames in pixels.
        field_mm: height and width of the frames in mm.

    Returns:
        (B, C, size, size), with ``field_mm / size`` mm per pixel.
    """
    pixel = spacing.reshape(-1)
    pixels = pixel.tolist()  # the only synchronization with the host
    factor = max(int(field_mm / size / min(pixels) + 1e-3), 1)
    shape = [-(-side // factor) for side in images.shape[-2:]]
    smaller = F.interpolate(images, shape, mode="area") if factor > 1 else images
    extent = pixel[:, None] * pixel.new_tensor([images.shape[-1], images.shape[-2]])
    apart = (abs(each * side / field_mm - 1.0) for each in pixels for side in images.shape[-2:])
    if shape == [size, size] and max(apart) < 1e-3:
        return smaller
    places = _pixel_places((size, size), field_mm / size, extent).reshape(-1, size, size, 2)
    grid = places * (2.0 / extent)[:, None, None]
    return sample(smaller, grid)


@dataclass(frozen=True, kw_only=True)
class FrameMotion:
    """Ranges of random motions of whole frames: the same hand, slightly repositioned and magnified.

    Attributes:
        translation_mm: largest horizontal and vertical shift, in mm.
        rotation_deg: largest rotation in either direction, in degrees.
        scale: largest relative change of scale.
    """

    translation_mm: float = 0.5
    rotation_deg: float = 2.0
    scale: float = 0.0

    def sample(self, count: int, random: np.random.RandomState) -> Alignment:
        """Sample motions (count,) about the frame's centre."""
        largest = np.array([self.scale, self.rotation_deg, self.translation_mm, self.translation_mm])
        values = torch.from_numpy(random.uniform(-largest, largest, size=(count, 4))).float()
        return Alignment.from_parameters(values + values.new_tensor([1.0, 0.0, 0.0, 0.0]), torch.zeros(count, 2))
