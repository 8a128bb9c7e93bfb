"""Rigid motion of the bones, f_s (LSN Eq. 5-6): each bone layer and its mask move, the soft tissue stays.

Motions are in millimetres and degrees, x to the right and y downwards, one per sample and bone; a positive rotation
turns x towards y (clockwise on the screen) about a stated centre. Their parameters are the ground truth of the images
made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

import numpy as np
import torch
from monai.networks.layers import gaussian_1d
from torch import Tensor
from torch.nn import functional as F

SPACING = 21.0 / 256.0
"""Pixel spacing of the public frames in mm: 140 pixels of 0.15 mm resampled to 256."""

CONTINUED = 64
"""Bones are continued with texture so many pixels past the border; farther out their last pixels repeat."""


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
        """The same motion on the device and in the dtype of a tensor."""
        return RigidMotion(*(getattr(self, field.name).to(like) for field in fields(self)))

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
        x: largest shift to either side, in mm (published: 20 px).
        y: largest shift up or down, in mm (published: 30 px).
        rotation: largest rotation either way, in degrees.

    Raises:
        ValueError: if a range is negative.
    """

    x: float = 20 * SPACING
    y: float = 30 * SPACING
    rotation: float = 10.0

    def __post_init__(self) -> None:
        if min(self.x, self.y, self.rotation) < 0:
            msg = f"expected ranges of motion of at least 0, got {self}"
            raise ValueError(msg)

    def draw(self, count: int, random: np.random.RandomState) -> RigidMotion:
        """Draw the motions of ``count`` samples; each bone turns about the frame's centre."""
        largest = np.array([self.x, self.y, self.rotation])
        drawn = torch.from_numpy(random.uniform(-largest, largest, size=(count, 2, 3))).float()
        return RigidMotion(drawn[..., :2], drawn[..., 2], torch.zeros(count, 2, 2))


def move(
    layers: Tensor,
    masks: Tensor,
    motion: RigidMotion,
    spacing: float | Tensor = SPACING,
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
    _check(layers, masks, motion, spacing, mode)
    height, width = layers.shape[-2:]
    like = layers.double() if exact else layers
    grid = sampling_grid(motion.to(like), height, width, spacing)
    bones = _sample(continue_texture(layers[:, 1:], CONTINUED), grid, mode)
    moved_masks = _sample(F.pad(masks, [CONTINUED] * 4, mode="replicate"), grid, "bilinear")
    return torch.cat([layers[:, :1], bones], dim=1), moved_masks


def continue_texture(bones: Tensor, margin: int, detail: float = 3.0) -> Tensor:
    """Continue bone layers past the border: what is smooth straight on, its texture mirrored.

    Repeating the outermost pixels alone shows as streaks, mirroring everything bends the shaft.

    Args:
        bones: (B, C, H, W) in [0, 1].
        margin: pixels to add on each side, at most H - 1 and W - 1; more is cut to that.
        detail: texture is what a Gaussian of this sigma in pixels removes.

    Returns:
        (B, C, H + 2 margin, W + 2 margin), unchanged inside the frame and 0 beside the bones.
    """
    height, width = bones.shape[-2:]
    margin = min(margin, height - 1, width - 1)
    frame = (..., slice(margin, margin + height), slice(margin, margin + width))
    straight = F.pad(bones, [margin] * 4, mode="replicate")
    down, right = (_smoothing(side, margin, detail, bones) for side in (height, width))
    smooth = down @ bones @ right.T
    texture = F.pad(bones - smooth[frame], [margin] * 4, mode="reflect")
    continued = (smooth + texture).clamp(0.0, 1.0) * (straight > 0)
    inside = torch.zeros_like(continued, dtype=torch.bool)
    inside[frame] = True
    return torch.where(inside, straight, continued)


def _smoothing(side: int, margin: int, detail: float, like: Tensor) -> Tensor:
    """Matrix (side + 2 margin, side) that repeats the outermost pixels of a line and smooths it by a Gaussian."""
    kernel = gaussian_1d(torch.tensor(detail), truncated=4.0).to(like)
    past = margin + len(kernel) // 2
    places = torch.arange(-past, side + past, device=like.device).clamp(0, side - 1)
    repeated = F.one_hot(places, side).to(like)
    return F.conv1d(repeated.T[:, None], kernel[None, None])[:, 0].T


def _sample(bones: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Sample each of two continued bones (B, 2, H', W') by its own frame's grid (B * 2, H, W, 2) in pixels."""
    height, width = bones.shape[-2:]
    flat = bones.reshape(-1, 1, height, width).to(grid.dtype)
    normal = grid * grid.new_tensor([2.0 / width, 2.0 / height])
    moved = F.grid_sample(flat, normal, mode=mode, padding_mode="border", align_corners=False).clamp(0.0, 1.0)
    return moved.reshape(-1, 2, *grid.shape[1:3]).to(bones.dtype)


def sampling_grid(motion: RigidMotion, height: int, width: int, spacing: float | Tensor) -> Tensor:
    """Where each pixel of the moved bones comes from, in pixels from the frame's centre: (B * 2, H, W, 2), x first."""
    like = motion.translation
    pixel = torch.as_tensor(spacing, dtype=like.dtype, device=like.device).reshape(-1, 1, 1)
    shape = (-1, 2, 1, 1, 2)
    translation, center = (motion.translation / pixel).reshape(shape), (motion.center / pixel).reshape(shape)
    x = torch.arange(width).to(like) - (width - 1) / 2
    y = torch.arange(height).to(like) - (height - 1) / 2
    target = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(1, 1, height, width, 2)
    offset = target - (center + translation)
    angle = torch.deg2rad(motion.rotation).reshape(-1, 2, 1, 1)
    cosine, sine = angle.cos(), angle.sin()
    turned = torch.stack(
        [cosine * offset[..., 0] + sine * offset[..., 1], cosine * offset[..., 1] - sine * offset[..., 0]], dim=-1
    )
    return (turned + center).flatten(0, 1)


def _check(layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float | Tensor, mode: str) -> None:
    batch = layers.shape[0]
    if layers.dim() != 4 or layers.shape[1] != 3 or masks.shape != (batch, 2, *layers.shape[2:]):
        msg = f"expected layers (B, 3, H, W) and masks (B, 2, H, W), got {tuple(layers.shape)} and {tuple(masks.shape)}"
        raise ValueError(msg)
    if motion.rotation.shape[0] != batch:
        msg = f"expected the motion of {batch} samples, got {motion.rotation.shape[0]}"
        raise ValueError(msg)
    given = torch.as_tensor(spacing)
    if given.numel() not in (1, batch) or not bool((given > 0).all()):
        msg = f"expected a spacing above 0 mm per pixel, one for all or for each of {batch} samples, got {spacing}"
        raise ValueError(msg)
    if mode not in ("bilinear", "bicubic"):
        msg = f"expected the interpolation bilinear or bicubic, got {mode}"
        raise ValueError(msg)
