"""Input frames of scoring networks: upright, centred on the joint, with pixels of one size for any radiograph."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import torch
from bundle.joint import Keys
from bundle.measurement import JointPose, joint_pose, rotated
from bundle.physics import sample
from monai.transforms import Transform
from monai.utils.enums import TransformBackends
from torch import Tensor
from torch.nn import functional as F

COARSE = 2
"""Reduction of the masks by which a joint is framed; it makes framing four times as fast."""


def joint_frames(images: Tensor, pose: JointPose, size: int, field_mm: float) -> Tensor:
    """Sample radiographs in frames that are upright along the joint's axis and centred on the joint space.

    A joint without an axis keeps its orientation and is framed around the centre of its radiograph.

    Args:
        images: radiographs, (B, 1, H, W) in [0, 1].
        pose: their poses.
        size: height and width of the frames in pixels.
        field_mm: height and width of the frames in mm.

    Returns:
        (B, 1, size, size) in [0, 1]; bicubic, the border of the radiographs is repeated.
    """
    known = pose.axis.isfinite()
    axis, across, along = (
        torch.where(known, values, 0.0)[:, None, None] for values in (pose.axis, pose.middle, pose.space)
    )
    offset = ((torch.arange(size).to(images) + 0.5) / size - 0.5) * field_mm
    across, along = torch.broadcast_tensors(across + offset, along + offset[:, None])
    x, y = rotated(across, along, axis)
    half = pose.pixel[..., None] / 2
    grid = torch.stack([x / (half * images.shape[-1]), y / (half * images.shape[-2])], dim=-1)
    return sample(images, grid, "bicubic").clamp(0.0, 1.0)


class ReadingFramed(Transform):
    """Conversion of a joint to the input frame of a scoring network (:func:`joint_frames`).

    ``image`` (3, H, W), the radiograph and its masks, becomes the framed radiograph (1, size, size). ``spacing``
    becomes the pixel size of the frame; the radiograph's is stored under ``radiograph_spacing``, (1,).
    The layers, ``label`` and ``truth``, are removed.

    Args:
        size: height and width of the frame in pixels.
        field_mm: height and width of the frame in mm.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, size: int = 112, field_mm: float = 14.0) -> None:
        self.size, self.field_mm = size, field_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert one joint."""
        spacing = torch.as_tensor(data[Keys.SPACING]).reshape(1)
        radiograph, masks = data[Keys.IMAGE][None].split([1, 2], dim=1)
        pose = joint_pose(F.avg_pool2d(masks, COARSE), COARSE * spacing)
        framed = joint_frames(radiograph, replace(pose, pixel=spacing[None]), self.size, self.field_mm)[0]
        pixel = torch.tensor([self.field_mm / self.size])
        kept = {key: value for key, value in data.items() if key not in (Keys.LABEL, Keys.TRUTH)}
        return {**kept, Keys.IMAGE: framed, Keys.SPACING: pixel, "radiograph_spacing": spacing}
