"""Pairs of radiographs of one joint, in batches: what is known of them, and their random variations to train on."""

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
"""A batch for an engine of MONAI: the network's first input, the target, and its other inputs."""


@dataclass(frozen=True)
class JointPairs:
    """Pairs of a fixed and a moving radiograph.

    Attributes:
        fixed: radiograph and bone masks, lower and upper, (B, 3, H, W) in [0, 1].
        moving: likewise; or its radiograph alone, (B, 1, H, W), of pairs that are not reversed.
        spacing: mm per pixel of both, (B,).
        moving_center: middles of the edges that face the joint in the moving radiograph, (B, 2, 2) in mm.
        bones: the true alignment (B, 2) about the centres of the fixed radiograph; NaN where it is not known.
    """

    fixed: Tensor
    moving: Tensor
    spacing: Tensor
    moving_center: Tensor
    bones: Alignment

    @classmethod
    def of(cls, batch: Mapping[str, Any], device: Any = None) -> JointPairs:
        """Of a collated batch with the keys ``image, moving, spacing, center, moving_center, alignment``."""
        names = ("image", "moving", "spacing", "moving_center", "alignment", "center")
        fixed, moving, spacing, aside, known, center = (
            torch.as_tensor(batch[name]).to(device, non_blocking=True) for name in names
        )
        return cls(fixed, moving, spacing.reshape(-1), aside, Alignment.from_parameters(known, center))

    def __len__(self) -> int:
        return len(self.fixed)

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What :class:`bundle.registration.Registrar` is given, in its order."""
        return self.fixed[:, :1], self.fixed[:, 1:], self.moving[:, :1], self.spacing, self.bones.center

    @property
    def known(self) -> Tensor:
        """Whether the true alignment of each pair is known, (B,)."""
        return self.bones.translation.isfinite().flatten(1).all(dim=1)

    def of_rows(self, rows: Tensor) -> JointPairs:
        """Those in ``rows``: indices, or true and false."""
        parts = {name: getattr(self, name)[rows] for name in _TENSORS}
        return JointPairs(**parts, bones=self.bones.of_rows(rows))

    def repeated(self, times: int) -> JointPairs:
        """The pairs one after the other, and so on, ``times`` times."""
        return self.of_rows(torch.arange(len(self), device=self.fixed.device).repeat(times))

    def reversed(self) -> JointPairs:
        """Fixed and moving exchanged."""
        back = self.bones.inverse().about(self.moving_center)
        return JointPairs(
            self.moving, self.fixed, self.spacing, self.bones.center, replace(back, center=self.moving_center)
        )

    def mirrored(self) -> JointPairs:
        """Left and right exchanged in both radiographs."""
        across = self.spacing.new_tensor([-1.0, 1.0])
        bones = self.bones
        mirrored = Alignment(bones.scale, -bones.rotation, bones.translation * across, bones.center * across)
        return JointPairs(
            self.fixed.flip(-1), self.moving.flip(-1), self.spacing, self.moving_center * across, mirrored
        )

    def placed(self, frames: Alignment, mode: str = "bilinear") -> JointPairs:
        """The moving radiograph with its whole frame moved by (B,)."""
        both = frames.of_both()
        moving = warp(self.moving, frames.inverse(), self.spacing, mode).clamp(0.0, 1.0)
        center = both(self.moving_center[:, :, None])[:, :, 0]
        return replace(self, moving=moving, moving_center=center, bones=self.bones.then(both))

    def outlined(self, shift: Tensor) -> JointPairs:
        """The same with the masks of the fixed radiograph shifted by (B, 2, 2) mm: another hand has drawn them.

        Bones lie where they did; their alignment is stated about the centres of the shifted masks.
        """
        still = Alignment.still(torch.zeros_like(shift))
        motion = replace(still, translation=-shift)
        masks = [
            warp(self.fixed[:, 1 + bone : 2 + bone], motion.of_bone(bone), self.spacing) for bone in (LOWER, UPPER)
        ]
        bones = self.bones.about(self.bones.center + shift)
        return replace(self, fixed=torch.cat([self.fixed[:, :1], *masks], dim=1), bones=bones)

    def reduced(self, size: int) -> JointPairs:
        """The same in fewer pixels (:func:`bundle.registration.alignment.reduced`)."""
        fixed, moving = (reduced(images, self.spacing, size) for images in (self.fixed, self.moving))
        return replace(self, fixed=fixed, moving=moving, spacing=torch.full_like(self.spacing, MCP.spacing_at(size)))

    def where(self, chosen: Tensor, other: JointPairs) -> JointPairs:
        """These pairs where ``chosen`` (B,) is true, those of ``other`` elsewhere."""

        def pick(one: Tensor, two: Tensor) -> Tensor:
            return torch.where(chosen.reshape(-1, *[1] * (one.dim() - 1)), one, two)

        parts = {name: pick(getattr(self, name), getattr(other, name)) for name in _TENSORS}
        bones = [pick(*both) for both in zip(vars(self.bones).values(), vars(other.bones).values(), strict=True)]
        return JointPairs(**parts, bones=Alignment(*bones))


_TENSORS = [found.name for found in fields(JointPairs) if found.name != "bones"]


@dataclass(kw_only=True)
class RandPairs(Randomizable):
    """Random variations of pairs to train on: reversed, mirrored, otherwise placed and exposed, and with noise.

    Attributes:
        variations: of each pair.
        reversing: probability that fixed and moving are exchanged, of pairs whose alignment is not known. The others
            are made so that their narrowing does not depend on what the fixed radiograph shows; reversed, it would.
        size: height and width, in pixels, that the radiographs are reduced to.
        frame: motion of the whole moving frame.
        outline_mm: largest shift of the bone masks across and along: a network that sees both radiographs and the
            masks of one is not to trust their outlines, which differ by so much when they are drawn again.
        gamma: of each radiograph's contrast, lowest and highest.
        noise: largest standard deviation of the noise of each radiograph, in intensity.
        seed: of what is drawn.
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
        """The pairs of a collated batch, varied, as an engine of MONAI takes a batch: the pairs are the target."""
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
        """False with a probability."""
        return torch.from_numpy(self.R.uniform(size=len(pairs)) >= prob).to(pairs.fixed.device, non_blocking=True)

    def _exposed(self, images: Tensor) -> Tensor:
        """Radiographs (B, 1 or 3, H, W), of which masks may follow, with another contrast and noise."""
        count = (len(images), 1, 1, 1)
        exponent = np.exp(self.R.uniform(math.log(self.gamma[0]), math.log(self.gamma[1]), size=count))
        strength = torch.from_numpy(self.R.uniform(0.0, self.noise, size=count)).to(images, non_blocking=True)
        noise = gaussian(self.R, images[:, :1].shape, images)
        shown = images[:, :1] ** torch.from_numpy(exponent).to(images, non_blocking=True) + strength * noise
        return torch.cat([shown.clamp(0.0, 1.0), images[:, 1:]], dim=1)


def prepare_pairs(batch: Mapping[str, Any], device: Any = None, *_: Any, **__: Any) -> Prepared:
    """The pairs of a collated batch as they are, to validate on; see :class:`RandPairs`."""
    return _prepared(JointPairs.of(batch, device))


def _prepared(pairs: JointPairs) -> Prepared:
    first, *others = pairs.given
    return first, pairs, tuple(others), {}
