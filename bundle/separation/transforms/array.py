"""Array transforms over single joints, channel first and without a batch axis.

A joint is ``image`` (3, H, W): radiograph, lower mask, upper mask; its ``layers`` are (3, H, W): soft tissue, lower
bone, upper bone. A random transform draws its parameters in ``randomize`` and hands them to its plain twin; what it
drew last stays in ``motion`` and ``seed``, so that a draw can be replayed.
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
    """Separate a joint without weights: image (3, H, W) to layers (3, H, W)."""

    backend = [TransformBackends.TORCH]

    def __call__(self, image: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
        """Separate one joint, whose pixels are ``spacing_mm`` wide."""
        return separate(image[None, :1], image[None, 1:], spacing_mm)[0]


class ShareNoiseTexture(Transform):
    """Give soft tissue below bones the noise texture around it (:func:`bundle.physics.share_noise_texture`).

    Args:
        seed: of the grain, together with the radiograph: a joint gets the same grain wherever it stands in a list.
        noise_texture: False changes nothing; true or false as text is understood.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, seed: int = 0, noise_texture: bool | str = True) -> None:
        self.seed = seed
        self.noise_texture = flag(noise_texture)

    def __call__(self, image: Tensor, layers: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
        """New layers (3, H, W) of an image (3, H, W), whose pixels are ``spacing_mm`` wide."""
        if not self.noise_texture:
            return layers
        grey = (image[0] * 255.0).round().to(torch.uint8).cpu().numpy()
        seed = zlib.crc32(grey.tobytes(), self.seed)
        return share_noise_texture(layers[None], image[None, 1:].to(layers), [seed], spacing_mm)[0]


class Reconstruct(Transform):
    """Compose layers (C, H, W) into the radiograph (1, H, W), Eq. 4."""

    backend = [TransformBackends.TORCH]

    def __call__(self, layers: Tensor) -> Tensor:
        """Compose one joint."""
        return reconstruct(layers)


class ShiftBones(Transform):
    """Move bone layers and masks by one given motion, Eq. 5-6.

    Args:
        translation_mm: mm, ((x, y) of the lower bone, (x, y) of the upper bone); x right, y down.
        rotation_deg: degrees, (lower, upper), clockwise.
        center_mm: mm from the frame's centre, as ``translation_mm``.
        spacing_mm: mm per pixel.
        mode: ``bilinear`` or ``bicubic``.
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
    """Move bone layers and masks by a random motion, each bone its own.

    Args:
        prob: of moving at all.
        x_mm: largest shift to either side in mm.
        y_mm: largest shift up or down in mm.
        rotation_deg: largest rotation either way in degrees.
        spacing_mm: mm per pixel.
        mode: ``bilinear`` or ``bicubic``.
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
        """Draw the motion of the next call."""
        super().randomize(None)
        self.motion = self.range.sample(1, self.R) if self._do_transform else RigidMotion.still(1)

    def __call__(self, layers: Tensor, masks: Tensor, randomize: bool = True) -> tuple[Tensor, Tensor]:
        """Move layers (3, H, W) and masks (2, H, W); without ``randomize`` the last motion is replayed."""
        if randomize:
            self.randomize()
        moved, moved_masks = move(layers[None], masks[None], self.motion, self.spacing_mm, self.mode)
        return moved[0], moved_masks[0]


class SynthesizeJointSpace(Transform):
    """A radiograph of the same joint with its JSW changed by a given width, Eq. 13.

    Args:
        change_mm: mm, positive widens.
        upper_share: part of the change that the upper bone makes, in [0, 1].
        seed: of the grain in uncovered tissue.
        spacing_mm: mm per pixel.
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
    """A radiograph of the same joint with its JSW changed at random.

    Args:
        change_mm: lowest and highest change in mm.
        prob: of changing at all.
        upper_share: part of the change that the upper bone makes, in [0, 1].
        spacing_mm: mm per pixel.
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
        """Draw the motion and the seed of the grain of the next call."""
        super().randomize(None)
        change = self.R.uniform(*self.change_mm) * self._do_transform
        self.motion = RigidMotion.widening(torch.tensor([change], dtype=torch.float64), self.upper_share)
        self.seed = int(self.R.randint(MAX_SEED))

    def __call__(self, image: Tensor, layers: Tensor, randomize: bool = True) -> Joint:
        """Move the bones of one joint; without ``randomize`` the last draw is replayed."""
        if randomize:
            self.randomize()
        return _joint(synthesize(layers[None], image[None, 1:], self.motion, self.spacing_mm, [self.seed]))


class RandPseudoOverlap(RandomizableTransform):
    """Push the bones of a joint that does not overlap into each other.

    Args:
        prob: of pushing at all.
        overlap: ranges of the closing motion.
        maker: :func:`bundle.separation.compose_layers` or :func:`bundle.separation.compose_published` (Eq. 10).
        spacing_mm: mm per pixel.
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
        """Whether the last draw pushes."""
        return self._do_transform

    def randomize(self, data: Tensor) -> None:
        """Draw motion and seed for the joint ``data``: its image (3, H, W), or its JSW in mm (1,), 0 if it has none."""
        super().randomize(None)
        if data.dim() == 1:
            self.motion = self.overlap.closing(data, self.R)
        else:
            self.motion = self.overlap.sample(data[None, 1:], self.spacing_mm, self.R)
        self.seed = int(self.R.randint(MAX_SEED))

    def __call__(self, image: Tensor, layers: Tensor, randomize: bool = True) -> Joint:
        """Push one joint; returns the pseudo-image with its masks, and its layers."""
        if randomize:
            self.randomize(image)
        if not self.closes:
            return image, layers
        return _joint(self.maker(layers[None], image[None, 1:], self.motion, self.spacing_mm, [self.seed]))


class PseudoOverlap(Transform, ThreadUnsafe):
    """The push of :class:`RandPseudoOverlap` that one seed gives: the same joint, the same push.

    Args:
        seed: of the motion and the grain.
        overlap: ranges of the closing motion.
        maker: as in :class:`RandPseudoOverlap`.
        spacing_mm: mm per pixel.
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
        self._push = RandPseudoOverlap(1.0, overlap, maker, spacing_mm)

    def __call__(self, image: Tensor, layers: Tensor) -> Joint:
        """Push one joint; returns the pseudo-image with its masks, and its layers."""
        self._push.set_random_state(self.seed)
        return self._push(image, layers)
