"""Facing edges of the bones of a joint."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from bundle.joint import LOWER, UPPER
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.floating[Any]]
Region = NDArray[np.bool_]


def facing_edges(bones: Region) -> list[Array]:
    """Locate the centre (x, y), in pixels, of each bone's facing edge, over its central third of columns.

    Args:
        bones: masks of lower and upper bone, (2, H, W), neither empty.
    """
    centers = []
    for bone, rows in ((bones[LOWER], slice(None)), (bones[UPPER], slice(None, None, -1))):
        columns = np.flatnonzero(bone.any(axis=0))
        third = len(columns) // 3
        central = columns[third : len(columns) - third]
        depth = bone[rows].argmax(axis=0)[central].mean()
        centers.append(np.array([central.mean(), depth if rows.step is None else bone.shape[0] - 1 - depth]))
    return centers


def facing_centers(bones: Region, spacing: float) -> Array:
    """Convert :func:`facing_edges` to mm from the frame's centre, (2, 2), as in :class:`bundle.physics.RigidMotion`."""
    middle = (np.array(bones.shape[:0:-1]) - 1) / 2
    return (np.stack(facing_edges(bones)) - middle) * spacing


def facing_rows(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Locate the rows of the facing edges of lower and upper bone (B, 2, W), and the columns with both bones (B, W)."""
    of_lower, lower = _edge(masks[:, 0].flip(-2))
    of_upper, upper = _edge(masks[:, 1])
    return torch.stack([masks.shape[-2] - of_lower, of_upper], dim=1), lower & upper


def _edge(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Lower edge of a bone that extends from the top, in pixels per column (B, W), and the columns with bone.

    The edge is the middle row of the bone's extent plus the area of the mask below this row.
    """
    height = mask.shape[-2]
    rows = torch.arange(height, device=mask.device).to(mask)[:, None]
    with torch.no_grad():  # in floating point, which is several times as fast as logical operations
        inside = ((2.0 * mask).ceil() - 1.0).clamp(0.0, 1.0)
        deepest = (inside * (rows + 1.0)).amax(dim=-2, keepdim=True) - 1.0
        first = height - (inside * (height - rows)).amax(dim=-2, keepdim=True)
        middle = ((first + deepest) / 2.0).floor()
    below = (mask * (rows - middle).clamp(0.0, 1.0)).sum(dim=-2)
    return middle.squeeze(-2) + 1.0 + below, deepest.squeeze(-2) >= 0.0


def middle_and_extent(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Locate the middle of a joint and the extent of its common columns, (B,) each in pixels.

    The middle, from the middle of the frame, is the mean of the middles of both bones. Unlike the middle of the common
    columns, which only the inner ends of the bones determine, it hardly moves along the joint when the view is rotated:
    both bones are widest at similar distances from the joint space. The highest value of each column gives sub-pixel
    precision.

    Args:
        masks: masks of lower and upper bone, (B, 2, H, W) in [0, 1].
    """
    width = masks.shape[-1]
    shown = masks.amax(dim=-2)
    x = torch.arange(width, device=masks.device).to(masks) + 0.5 - width / 2
    middles = (shown * x).sum(-1) / shown.sum(-1).clamp(min=1e-6)
    return middles.mean(dim=1), shown.amin(dim=1).sum(-1)


def central_columns(columns: Tensor, window: float) -> Tensor:
    """Select the columns in the central fraction ``window`` of their range: boolean, (B, W)."""
    width = columns.shape[-1]
    index = torch.arange(width, device=columns.device).expand_as(columns)
    left = torch.where(columns, index, torch.full_like(index, width)).amin(dim=-1, keepdim=True)
    right = torch.where(columns, index, torch.full_like(index, -1)).amax(dim=-1, keepdim=True)
    margin = (right + 1 - left) * (1.0 - window) / 2
    return columns & (index + 0.5 >= left + margin) & (index + 0.5 <= right + 1 - margin)
