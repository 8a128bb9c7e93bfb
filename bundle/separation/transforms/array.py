"""Array transforms of single joints, channel first and without a batch axis.

A joint is ``image`` (3, H, W): radiograph, lower mask, upper mask; its ``layers`` are (3, H, W): soft tissue, lower
bone, upper bone. A random transform samples its parameters in ``randomize`` and keeps them in ``motion`` and ``seed``,
so that the last call can be repeated.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from bundle.errors import flag
from bundle.joint import MCP
from bundle.physics import (
    MotionRange,
    RigidMotion,
    SyntheticJoints,
    clear_outlines,
    move,
    reconstruct,
    separate,
    share_noise_texture,
    synthesize,
)
from bundle.separation.pseudo_overlap import OverlapMaker, OverlapRange, compose_layers
from monai.transforms import RandomizableTransform, ThreadUnsafe, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor

MAX_SEED = 2**31 - 1

Joint = tuple[Tensor, Tensor]
"""An image (3, H, W) with its layers (3, H, W)."""


def _joint(made: SyntheticJoints) -> Joint:
    return torch.cat([made.image, made.masks], dim=1)[0], made.layers[0]


class SeparateLayers(Transform):
    """Weight-free separation of a joint: image (3, H, W) to layers (3, H, W)."""

    backend = [TransformBackends.TORCH]

    def __call__(self, image: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
        """Separate one joint with a pixel size of ``spacing_mm``."""
        return separate(image[None, :1], image[None, 1:], spacing_mm)[0]


class ShareNoiseTexture(Transform):
    """Noise texture for the soft tissue below bones, as around them (:func:`bundle.physics.share_noise_texture`).

    Args:
        seed: random seed, combined with the radiograph, so that the result does not depend on a joint's position in
            the list.
        noise_texture: whether to add noise texture; a bool, or "true" or "false".
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, seed: int = 0, noise_texture: bool | str = True) -> None:
        self.seed = seed
        self.noise_texture = flag(noise_texture)

    def __call__(self, image: Tensor, layers: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
        """Add noise texture to layers (3, H, W) of an image (3, H, W) with a pixel size of ``spacing_mm``."""
        if not self.noise_texture:
            return layers
        grey = (image[0] * 255.0).round().to(torch.uint8).cpu().numpy()
        seed = zlib.crc32(grey.tobytes(), self.seed)
        return share_noise_texture(layers[None], image[None, 1:].to(layers), [seed], spacing_mm)[0]


class ClearOutlines(Transform):
    """Removal of the bones' contour from the soft tissue (:func:`bundle.physics.clear_outlines`)."""

    backend = [TransformBackends.TORCH]

    def __call__(self, image: Tensor, layers: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
        """Clear layers (3, H, W) of an image (3, H, W) with a pixel size of ``spacing_mm``."""
        return clear_outlines(layers[None], image[None, 1:].to(layers), spacing_mm)[0]


class Reconstruct(Transform):
    """Composition of layers (C, H, W) to the radiograph (1, H, W), Eq. 4."""

    backend = [TransformBackends.TORCH]

    def __call__(self, layers: Tensor) -> Tensor:
        """Compose one joint."""
        return reconstruct(layers)


class ShiftBones(Transform):
    """Motion of bone layers and masks by a given amount, Eq. 5-6.

    Args:
        translation_mm: shift in mm, ((x, y) of the lower bone, (x, y) of the upper bone); x right, y down.
        rotation_deg: clockwise rotation in degrees, (lower, upper).
        center_mm: centres of rotation in mm from the frame's centre, shaped as ``translation_mm``.
        spacing_mm: pixel size in mm.
        mode: interpolation, ``bilinear`` or ``bicubic``.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        translation_mm: Sequence[Sequence[float]] = ((0.0, 0.0), (0.0, 0.0)),
        rotation_deg: Sequence[float] = (0.0, 0.0),
        center_mm: Sequence[Sequence[float]] = ((0.0, 0.0), (0.0, 0.0)),
        spacing_mm: float = MCP.spacing_mm,
        mode: str = "bicubic",
    ) -> None:
        given = (translation_mm, rotation_deg, center_mm)
        self.motion = RigidMotion(*(torch.tensor([value], dtype=torch.float64) for value in given))
        self.spacing_mm = spacing_mm
        self.mode = mode

    def __call__(self, layers: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Move layers (3, H, W) and masks (2, H, W)."""
        moved, moved_masks = move(layers[None], masks[None], self.motion, self.spacing_mm, self.mode)
        return moved[0], moved_masks[0]


class RandShiftBones(RandomizableTransform):
    """Random motion of bone layers and masks, independent for each bone.

    Args:
        prob: probability of a motion.
        x_mm: maximum lateral shift in mm, to either side.
        y_mm: maximum vertical shift in mm, up or down.
        rotation_deg: maximum rotation in degrees, in either direction.
        spacing_mm: pixel size in mm.
        mode: interpolation, ``bilinear`` or ``bicubic``.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        prob: float = 1.0,
        x_mm: float = MotionRange.x_mm,
        y_mm: float = MotionRange.y_mm,
        rotation_deg: float = MotionRange.rotation_deg,
        spacing_mm: float = MCP.spacing_mm,
        mode: str = "bicubic",
    ) -> None:
        super().__init__(prob)
        self.range = MotionRange(x_mm=x_mm, y_mm=y_mm, rotation_deg=rotation_deg)
        self.spacing_mm = spacing_mm
        self.mode = mode
        self.motion = RigidMotion.still(1)

    def randomize(self, data: Any | None = None) -> None:
        """Sample the motion of the next call."""
        super().randomize(None)
        self.motion = self.range.sample(1, self.R) if self._do_transform else RigidMotion.still(1)

    def __call__(self, layers: Tensor, masks: Tensor, randomize: bool = True) -> tuple[Tensor, Tensor]:
        """Move layers (3, H, W) and masks (2, H, W); without ``randomize`` repeat the last motion."""
        if randomize:
            self.randomize()
        moved, moved_masks = move(layers[None], masks[None], self.motion, self.spacing_mm, self.mode)
        return moved[0], moved_masks[0]


class SynthesizeJointSpace(Transform):
    """Synthesis of the same joint with its JSW changed by a given amount, Eq. 13.

    Args:
        change_mm: change of the JSW in mm; positive widens.
        upper_share: fraction of the change that moves the upper bone, in [0, 1].
        seed: random seed of the noise texture in uncovered tissue.
        spacing_mm: pixel size in mm.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self, change_mm: float, upper_share: float = 0.5, seed: int = 0, spacing_mm: float = MCP.spacing_mm
    ) -> None:
        self.motion = RigidMotion.widening(torch.tensor([change_mm], dtype=torch.float64), upper_share)
        self.seed = seed
        self.spacing_mm = spacing_mm

    def __call__(self, image: Tensor, layers: Tensor) -> Joint:
        """Move the bones of one joint; returns the new image and its layers."""
        return _joint(synthesize(layers[None], image[None, 1:], self.motion, self.spacing_mm, [self.seed]))


class RandSynthesizeJointSpace(RandomizableTransform):
    """Synthesis of the same joint with a random change of its JSW.

    Args:
        change_mm: minimum and maximum change in mm.
        prob: probability of a change.
        upper_share: fraction of the change that moves the upper bone, in [0, 1].
        spacing_mm: pixel size in mm.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        change_mm: tuple[float, float] = (-1.0, 1.0),
        prob: float = 1.0,
        upper_share: float = 0.5,
        spacing_mm: float = MCP.spacing_mm,
    ) -> None:
        super().__init__(prob)
        self.change_mm = change_mm
        self.upper_share = upper_share
        self.spacing_mm = spacing_mm
        self.motion = RigidMotion.still(1)
        self.seed = 0

    def randomize(self, data: Any | None = None) -> None:
        """Sample the motion and the noise seed of the next call."""
        super().randomize(None)
        change = self.R.uniform(*self.change_mm) * self._do_transform
        self.motion = RigidMotion.widening(torch.tensor([change], dtype=torch.float64), self.upper_share)
        self.seed = int(self.R.randint(MAX_SEED))

    def __call__(self, image: Tensor, layers: Tensor, randomize: bool = True) -> Joint:
        """Move the bones of one joint; without ``randomize`` repeat the last motion and noise."""
        if randomize:
            self.randomize()
        return _joint(synthesize(layers[None], image[None, 1:], self.motion, self.spacing_mm, [self.seed]))


class RandPseudoOverlap(RandomizableTransform):
    """Random closing of a non-overlapping joint until its bones overlap.

    Args:
        prob: probability of closing.
        overlap: ranges of the closing motion.
        maker: :func:`bundle.separation.compose_layers` or :func:`bundle.separation.compose_published` (Eq. 10).
        spacing_mm: pixel size in mm.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        prob: float = 1.0,
        overlap: OverlapRange | None = None,
        maker: OverlapMaker = compose_layers,
        spacing_mm: float = MCP.spacing_mm,
    ) -> None:
        super().__init__(prob)
        self.overlap = OverlapRange() if overlap is None else overlap
        self.maker = maker
        self.spacing_mm = spacing_mm
        self.motion = RigidMotion.still(1)
        self.seed = 0

    @property
    def closes(self) -> bool:
        """Whether the last sampled motion closes the joint."""
        return self._do_transform

    def randomize(self, data: Tensor) -> None:
        """Sample motion and seed for a joint, given as image (3, H, W) or as outline gap in mm (1,), 0 if undefined."""
        super().randomize(None)
        if data.dim() == 1:
            self.motion = self.overlap.closing(data, self.R)
        else:
            self.motion = self.overlap.sample(data[None, 1:], self.spacing_mm, self.R)
        self.seed = int(self.R.randint(MAX_SEED))

    def __call__(self, image: Tensor, layers: Tensor, randomize: bool = True) -> Joint:
        """Close one joint; returns the pseudo-image with its masks, and its layers."""
        if randomize:
            self.randomize(image)
        if not self.closes:
            return image, layers
        return _joint(self.maker(layers[None], image[None, 1:], self.motion, self.spacing_mm, [self.seed]))


class PseudoOverlap(Transform, ThreadUnsafe):
    """Reproducible :class:`RandPseudoOverlap`: the same seed and joint give the same result.

    Args:
        seed: random seed of the motion and the noise texture.
        overlap: ranges of the closing motion.
        maker: see :class:`RandPseudoOverlap`.
        spacing_mm: pixel size in mm.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        seed: int = 0,
        overlap: OverlapRange | None = None,
        maker: OverlapMaker = compose_layers,
        spacing_mm: float = MCP.spacing_mm,
    ) -> None:
        self.seed = seed
        self._closing = RandPseudoOverlap(1.0, overlap, maker, spacing_mm)

    def __call__(self, image: Tensor, layers: Tensor) -> Joint:
        """Close one joint; returns the pseudo-image with its masks, and its layers."""
        self._closing.set_random_state(self.seed)
        return self._closing(image, layers)
