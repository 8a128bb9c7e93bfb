"""A separated joint opened in the browser: its image planes, geometry and synthesis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from bundle.datasets import motion_along
from bundle.face import Layers, joint_space
from bundle.io import deep_pixels
from bundle.measurement import JointSpace, facing_centers
from bundle.physics import RigidMotion, SeparatedBones
from torch import Tensor


@dataclass(frozen=True)
class Change:
    """A requested change of a joint.

    Attributes:
        change_mm: change of the joint space along the joint's axis; positive widens.
        sideways_mm: shift of the upper relative to the lower bone across the axis, to the right.
        rotation_deg: rotation of the upper relative to the lower bone, positive clockwise.
    """

    change_mm: float = 0.0
    sideways_mm: float = 0.0
    rotation_deg: float = 0.0


@dataclass(frozen=True, eq=False)
class OpenedJoint:
    """A separated joint.

    Attributes:
        layers: the joint with its layers.
        space: its joint space, a batch of one.
    """

    layers: Layers
    space: JointSpace

    @classmethod
    def of(cls, layers: Layers) -> OpenedJoint:
        """Measure the joint space of a separated joint."""
        return cls(layers, joint_space(layers))

    @property
    def spacing_mm(self) -> float:
        """Pixel size in mm."""
        return self.layers.joint.spacing_mm

    @cached_property
    def bones(self) -> SeparatedBones:
        """The bones, continued past the border and ready for any motion."""
        return SeparatedBones.of(self.layers.layers[None], self.layers.joint.masks[None], self.spacing_mm)

    @cached_property
    def axis_deg(self) -> float:
        """Direction of the joint's axis from the vertical, positive clockwise; 0 where the masks show none."""
        axis = float(self.space.axis[0])
        return axis if math.isfinite(axis) else 0.0

    @cached_property
    def centers_mm(self) -> list[list[float]]:
        """Middle (x, y) of the edge of each bone that faces the joint, from the frame's centre."""
        centers: list[list[float]] = facing_centers(self.layers.joint.masks.numpy() > 0.5, self.spacing_mm).tolist()
        return centers

    @property
    def margin(self) -> int:
        """Pixels by which the bones are continued past each border."""
        return int((self.bones.bones.bones.shape[-1] - self.layers.layers.shape[-1]) // 2)

    def geometry(self) -> dict[str, Any]:
        """Return what the browser needs to move the bones and to plot the joint surfaces."""
        height, width = self.layers.layers.shape[1:]
        known = not self.space.refused[0]
        return {
            "height": height,
            "width": width,
            "margin": self.margin,
            "spacing_mm": self.spacing_mm,
            "axis_deg": self.axis_deg,
            "centers_mm": self.centers_mm,
            "joint_space_mm": float(self.space.mean[0]) if known else None,
            "joint_space_sd_mm": float(self.space.sd[0]) if known else None,
            "refused": self.space.refused[0],
            "surfaces": self._surfaces(),
        }

    def _surfaces(self) -> dict[str, Any] | None:
        """Points of the joint surfaces in pixels of the frame; None if the masks show no joint."""
        if not bool(self.space.axis[0].isfinite()):
            return None
        height, width = self.layers.layers.shape[1:]
        middle = torch.tensor([(width - 1) / 2, (height - 1) / 2])
        curves = (points[0] / self.spacing_mm + middle for points in self.space.surfaces.points())
        named = dict(zip(("head", "floor"), curves, strict=True))
        window = self.space.surfaces.window[0].tolist()
        return {name: curve.double().numpy().round(2).tolist() for name, curve in named.items()} | {"window": window}

    def planes(self) -> bytes:
        """Return soft tissue, continued bones and masks as little-endian 16-bit planes, one after the other."""
        bones, maps = self.bones.bones.bones[0], self.bones.bones.maps[0, :, 0]
        planes = [self.layers.layers[0], *bones, *maps]
        return plane_bytes(planes)

    def motion(self, change: Change) -> RigidMotion:
        """Return the motion of the bones, each by half of the change."""
        wanted = [change.change_mm], [change.sideways_mm], [change.rotation_deg]
        return motion_along([self.axis_deg], [self.centers_mm], *wanted, [0.5])

    def synthesized(self, change: Change, seed: int | None = None) -> Tensor:
        """Return the radiograph (1, H, W) after a change; ``seed`` of the noise texture, None for no noise texture."""
        seeds = None if seed is None else [seed]
        return self.bones.synthesize(self.motion(change), self.spacing_mm, seeds).image[0]

    def thumbnail(self, side: int = 96) -> np.ndarray:
        """Return the radiograph as 8-bit pixels (side, side)."""
        small = torch.nn.functional.interpolate(self.layers.joint.radiograph[None], (side, side), mode="area")[0, 0]
        pixels: np.ndarray = np.rint(small.clamp(0, 1).numpy() * 255).astype(np.uint8)
        return pixels


def plane_bytes(planes: Iterable[Tensor]) -> bytes:
    """Return images in [0, 1] as little-endian 16-bit planes, one after the other."""
    return b"".join(deep_pixels(plane).astype("<u2").tobytes() for plane in planes)
