"""Joint space width (JSW) measured on masks, and a grade of joint space narrowing like Sharp/van der Heijde's."""

from __future__ import annotations

import torch
from torch import Tensor

NORMAL_JSW = 1.75
"""Normal joint space width of a metacarpophalangeal joint in mm."""


def joint_space_width(masks: Tensor, spacing: float | Tensor, window: float = 1 / 3) -> Tensor:
    """Mean vertical gap between the bones over the central part of the columns that both have, in mm.

    In each column the edge of a bone is where the area of its mask says it is, so soft masks are measured to a fraction
    of a pixel. The gap is signed: where the upper bone reaches below the lower bone's edge it is negative (overlap).

    Args:
        masks: (B, 2, H, W), lower and upper bone, in [0, 1].
        spacing: mm per pixel, one for all, (B,) or (B, 1).
        window: central part of the common columns that is averaged, in (0, 1].

    Returns:
        (B,) in mm; NaN where the bones have no column in common.
    """
    top_of_lower, lower_columns = _edge(masks[:, 0].flip(-2))
    bottom_of_upper, upper_columns = _edge(masks[:, 1])
    gap = (masks.shape[-2] - top_of_lower) - bottom_of_upper
    weight = _central((lower_columns & upper_columns), window).to(gap.dtype)
    pixel = torch.as_tensor(spacing, dtype=gap.dtype, device=gap.device).reshape(-1)
    return (gap * weight).sum(-1) / weight.sum(-1) * pixel


def _edge(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Lower edge of a bone that hangs from the top, in pixels per column (B, W), and whether the column shows it.

    The edge is the middle row of the bone's extent plus the area of the mask below that row.
    """
    height = mask.shape[-2]
    inside = mask > 0.5
    rows = torch.arange(height, device=mask.device).reshape(1, height, 1)
    deepest = torch.where(inside, rows, torch.full_like(rows, -1)).amax(dim=-2)
    first = torch.where(inside, rows, torch.full_like(rows, height)).amin(dim=-2)
    middle = ((first + deepest) // 2).unsqueeze(-2)
    below = torch.where(rows > middle, mask, torch.zeros_like(mask)).sum(dim=-2)
    return middle.squeeze(-2) + 1.0 + below, deepest >= 0


def _central(columns: Tensor, window: float) -> Tensor:
    """Of the columns that are set, those in the central ``window`` of their range: (B, W) of bool."""
    width = columns.shape[-1]
    index = torch.arange(width, device=columns.device).expand_as(columns)
    left = torch.where(columns, index, torch.full_like(index, width)).amin(dim=-1, keepdim=True)
    right = torch.where(columns, index, torch.full_like(index, -1)).amax(dim=-1, keepdim=True)
    margin = (right + 1 - left) * (1.0 - window) / 2
    return columns & (index + 0.5 >= left + margin) & (index + 0.5 <= right + 1 - margin)


def narrowing_grade(width: Tensor, normal: float = NORMAL_JSW) -> Tensor:
    """Grade of joint space narrowing, 0 (normal) to 4 (ankylosis or overlap), from JSW in mm.

    A grade like Sharp/van der Heijde's, made from the ratio to the normal width alone (LSN section 3.5): 0 from the
    normal width on, 1 from 3/4 of it, 2 from 1/2, 3 from 1/4, otherwise 4; -1 where the width is NaN. It is not a
    reader's score, which also weighs focal narrowing and subluxation.

    Args:
        width: JSW in mm, any shape.
        normal: normal JSW of the joint in mm.
    """
    limits = torch.tensor([0.25, 0.5, 0.75, 1.0], device=width.device, dtype=width.dtype) * normal
    grade = 4 - torch.bucketize(width.contiguous(), limits, right=True)
    return torch.where(width.isnan(), -1, grade)
