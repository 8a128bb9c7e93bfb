"""Batches of pairs of radiographs of one joint, and their random variations for training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from bundle.joint import LOWER, MCP, UPPER
from bundle.registration.alignment import Alignment, FrameMotion, reduced, warp
from bundle.separation import gaussian
from monai.transforms import Randomizable
from torch import Tensor

Prepared = tuple[Tensor, "JointPairs", tuple[Tensor, ...], dict[str, Any]]
"""Batch for an engine of MONAI: the network's first input, the target, and its other inputs."""


@dataclass(frozen=True)
class JointPairs:
    """Pairs of a fixed and a moving radiograph.

    Attributes:
        fixed: radiograph and bone masks, lower and upper, (B, 3, H, W) in [0, 1].
        moving: radiograph and bone masks, (B, 3, H, W), or for pairs that are not reversed the radiograph alone,
            (B, 1, H, W).
        spacing: pixel size of both in mm, (B,).
        moving_center: middles of the edges that face the joint in the moving radiograph, (B, 2, 2) in mm.
        bones: true alignment (B, 2) about the centres of the fixed radiograph; NaN if unknown.
    """

    fixed: Tensor
    moving: Tensor
    spacing: Tensor
    moving_center: Tensor
    bones: Alignment

    @classmethod
    def of(cls, batch: Mapping[str, Any], device: Any = None) -> JointPairs:
        """Build from a collated batch with the keys ``image, moving, spacing, center, moving_center, alignment``."""
        names = ("image", "moving", "spacing", "moving_center", "alignment", "center")
        fixed, moving, spacing, aside, known, center = (
            torch.as_tensor(batch[name]).to(device, non_blocking=True) for name in names
        )
        return cls(fixed, moving, spacing.reshape(-1), aside, Alignment.from_parameters(known, center))

    def __len__(self) -> int:
        return len(self.fixed)

    @property
    def given(self) -> tuple[Tensor, ...]:
        """Inputs of :class:`bundle.registration.Registrar`, in its order."""
        return self.fixed[:, :1], self.fixed[:, 1:], self.moving[:, :1], self.spacing, self.bones.center

    @property
    def known(self) -> Tensor:
        """Whether the true alignment of each pair is known, (B,)."""
        return self.bones.translation.isfinite().flatten(1).all(dim=1)

    def of_rows(self, rows: Tensor) -> JointPairs:
        """Select by ``rows``: indices or a boolean mask."""
        parts = {name: getattr(self, name)[rows] for name in _TENSORS}
        return JointPairs(**parts, bones=self.bones.of_rows(rows))

    def repeated(self, times: int) -> JointPairs:
        """Repeat the whole batch ``times`` times."""
        return self.of_rows(torch.arange(len(self), device=self.fixed.device).repeat(times))

    def reversed(self) -> JointPairs:
        """Exchange fixed and moving."""
        back = self.bones.inverse().about(self.moving_center)
        return JointPairs(
            self.moving, self.fixed, self.spacing, self.bones.center, replace(back, center=self.moving_center)
        )

    def mirrored(self) -> JointPairs:
        """Exchange left and right in both radiographs."""
        across = self.spacing.new_tensor([-1.0, 1.0])
        bones = self.bones
        mirrored = Alignment(bones.scale, -bones.rotation, bones.translation * across, bones.center * across)
        return JointPairs(
            self.fixed.flip(-1), self.moving.flip(-1), self.spacing, self.moving_center * across, mirrored
        )

    def placed(self, frames: Alignment, mode: str = "bilinear") -> JointPairs:
        """Move the whole frame of the moving radiograph by (B,)."""
        both = frames.of_both()
        moving = warp(self.moving, frames.inverse(), self.spacing, mode).clamp(0.0, 1.0)
        center = both(self.moving_center[:, :, None])[:, :, 0]
        return replace(self, moving=moving, moving_center=center, bones=self.bones.then(both))

    def outlined(self, shift: Tensor) -> JointPairs:
        """Shift the masks of the fixed radiograph by (B, 2, 2) mm, as if another person had drawn them.

        The bones stay in place; their alignment is stated about the centres of the shifted masks.
        """
        still = Alignment.still(torch.zeros_like(shift))
        motion = replace(still, translation=-shift)
        masks = [
            warp(self.fixed[:, 1 + bone : 2 + bone], motion.of_bone(bone), self.spacing) for bone in (LOWER, UPPER)
        ]
        bones = self.bones.about(self.bones.center + shift)
        return replace(self, fixed=torch.cat([self.fixed[:, :1], *masks], dim=1), bones=bones)

    def reduced(self, size: int) -> JointPairs:
        """Reduce the number of pixels (:func:`bundle.registration.alignment.reduced`)."""
        fixed, moving = (reduced(images, self.spacing, size) for images in (self.fixed, self.moving))
        return replace(self, fixed=fixed, moving=moving, spacing=torch.full_like(self.spacing, MCP.spacing_at(size)))

    def where(self, chosen: Tensor, other: JointPairs) -> JointPairs:
        """Return these pairs where ``chosen`` (B,) is true, those of ``other`` elsewhere."""

        def pick(one: Tensor, two: Tensor) -> Tensor:
            return torch.where(chosen.reshape(-1, *[1] * (one.dim() - 1)), one, two)

        parts = {name: pick(getattr(self, name), getattr(other, name)) for name in _TENSORS}
        bones = [pick(*both) for both in zip(vars(self.bones).values(), vars(other.bones).values(), strict=True)]
        return JointPairs(**parts, bones=Alignment(*bones))


_TENSORS = [found.name for found in fields(JointPairs) if found.name != "bones"]


@dataclass(kw_only=True)
class RandPairs(Randomizable):
    """Random variations of pairs for training: reversal, mirroring, repositioning, exposure and noise.

    Attributes:
        variations: number of variations of each pair.
        reversing: probability that fixed and moving are exchanged, for pairs of unknown alignment. The narrowing of the
            other pairs is independent of the fixed radiograph by design; reversal would break that.
        size: height and width of the reduced radiographs in pixels.
        frame: motion of the whole moving frame.
        outline_mm: largest shift of the bone masks across and along: a network that sees both radiographs and the
            masks of one must not rely on their outlines, which vary by this much between annotations.
        gamma: lowest and highest contrast exponent of each radiograph.
        noise: largest standard deviation of the noise of each radiograph, in intensity.
        seed: random seed.
    """

    variations: int = 4
    reversing: float = 0.5
    size: int = 128
    frame: FrameMotion = field(default_factory=lambda: FrameMotion(translation_mm=1.5, rotation_deg=4.0, scale=0.02))
    outline_mm: float = 0.3
    gamma: tuple[float, float] = (0.7, 1.4)
    noise: float = 0.04
    seed: int = 0

    def __post_init__(self) -> None:
        self.set_random_state(self.seed)

    def __call__(self, batch: Mapping[str, Any], device: Any = None, *_: Any, **__: Any) -> Prepared:
        """Vary the pairs of a collated batch; returns a batch for an engine of MONAI with the pairs as target."""
        pairs = JointPairs.of(batch, device).repeated(self.variations)
        pairs = pairs.where(self._coin(pairs, self.reversing) | pairs.known, pairs.reversed())
        pairs = pairs.where(self._coin(pairs, 0.5), pairs.mirrored())
        pairs = replace(pairs, moving=pairs.moving[:, :1])
        pairs = pairs.placed(self.frame.sample(len(pairs), self.R).to(pairs.fixed)).reduced(self.size)
        shift = self.R.uniform(-self.outline_mm, self.outline_mm, size=(len(pairs), 2, 2))
        pairs = pairs.outlined(torch.from_numpy(shift).to(pairs.fixed, non_blocking=True))
        varied = replace(pairs, fixed=self._exposed(pairs.fixed), moving=self._exposed(pairs.moving))
        return _prepared(varied)

    def _coin(self, pairs: JointPairs, prob: float) -> Tensor:
        """Sample booleans that are false with a probability."""
        return torch.from_numpy(self.R.uniform(size=len(pairs)) >= prob).to(pairs.fixed.device, non_blocking=True)

    def _exposed(self, images: Tensor) -> Tensor:
        """Change contrast and noise of radiographs (B, 1 or 3, H, W), optionally followed by masks."""
        count = (len(images), 1, 1, 1)
        exponent = np.exp(self.R.uniform(math.log(self.gamma[0]), math.log(self.gamma[1]), size=count))
        strength = torch.from_numpy(self.R.uniform(0.0, self.noise, size=count)).to(images, non_blocking=True)
        noise = gaussian(self.R, images[:, :1].shape, images)
        shown = images[:, :1] ** torch.from_numpy(exponent).to(images, non_blocking=True) + strength * noise
        return torch.cat([shown.clamp(0.0, 1.0), images[:, 1:]], dim=1)


def prepare_pairs(batch: Mapping[str, Any], device: Any = None, *_: Any, **__: Any) -> Prepared:
    """Return the pairs of a collated batch unchanged, for validation; see :class:`RandPairs`."""
    return _prepared(JointPairs.of(batch, device))


def _prepared(pairs: JointPairs) -> Prepared:
    first, *others = pairs.given
    return first, pairs, tuple(others), {}
