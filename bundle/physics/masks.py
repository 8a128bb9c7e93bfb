"""Bone masks: union, overlap, exclusive maps, distance to the outline and growth of the bone support.

Masks are float tensors in [0, 1] of shape (B, 2, H, W) or (2, H, W), channel 0 the lower bone (metacarpal head) and
channel 1 the upper bone (proximal phalanx). They may overlap, and may be soft after a motion.
"""

from __future__ import annotations

import math

import torch
from bundle.joint import MCP
from bundle.physics.exporting import exporting
from torch import Tensor
from torch.nn import functional as F

AIR = 0.02
"""Intensity at and below which a pixel outside the bones counts as air, not as visible tissue."""


def union(masks: Tensor) -> Tensor:
    """Pixels of either bone, ``M_1 + M_2 - M_1 M_2``: (B, 1, H, W) or (1, H, W)."""
    return 1.0 - (1.0 - masks).prod(dim=-3, keepdim=True)


def overlap(masks: Tensor) -> Tensor:
    """Pixels of both bones, ``M_1 M_2``: (B, 1, H, W) or (1, H, W)."""
    return masks.prod(dim=-3, keepdim=True)


def exclusive(masks: Tensor, visible: Tensor) -> Tensor:
    """The three exclusive maps that the supervisor finds (Eq. 2): lower only, upper only, soft tissue only.

    A pixel of the overlap belongs to none of them; neither does one outside the visible region.

    Args:
        masks: bone masks, (B, 2, H, W) or (2, H, W).
        visible: visible region, (B, 1, H, W) or (1, H, W).

    Returns:
        (B, 3, H, W) or (3, H, W).
    """
    both = overlap(masks)
    return torch.cat([masks - both, visible * (1.0 - union(masks))], dim=-3)


def visible_region(image: Tensor, masks: Tensor, air: float = AIR) -> Tensor:
    """Pixels that show the finger: everything brighter than air, and all of the bones.

    Args:
        image: radiograph in [0, 1], (B, 1, H, W) or (1, H, W).
        masks: bone masks, (B, 2, H, W) or (2, H, W).
        air: intensity up to which a pixel is air.

    Returns:
        0/1 map of the shape of ``image``.
    """
    return torch.maximum((image > air).to(image.dtype), (union(masks) > 0.5).to(image.dtype))


BORDER_MM = 3 * MCP.spacing_mm
"""Annotated outlines end up to so far short of the border that the bone crosses: 3 pixels of the public frames."""


def continue_to_border(masks: Tensor, spacing_mm: float = MCP.spacing_mm, reach_mm: float = BORDER_MM) -> Tensor:
    """Continue the shafts to the border: the lower bone to the bottom, the upper one to the top of the frame.

    Annotated outlines often end one or two pixels short of the border that the bone crosses; moved, such a mask leaves
    a notch. A column that ends farther short than ``reach_mm`` is left alone.

    Args:
        masks: (B, 2, H, W) or (2, H, W).
        spacing_mm: width of a pixel.
        reach_mm: taken up to a whole number of pixels.
    """
    reach = math.ceil(reach_mm / spacing_mm - 1e-6)
    lower = _continue_to_top(masks.select(-3, 0).flip(-2), reach).flip(-2)
    upper = _continue_to_top(masks.select(-3, 1), reach)
    return torch.stack([lower, upper], dim=-3)


def _continue_to_top(mask: Tensor, reach: int) -> Tensor:
    rows = list(mask.unbind(-2))
    for row in range(min(reach, len(rows) - 1), 0, -1):
        rows[row - 1] = torch.maximum(rows[row - 1], rows[row])
    return torch.stack(rows, dim=-2)


def grow(masks: Tensor, radius: float) -> Tensor:
    """Dilate binary masks by a disc of ``radius`` pixels (0 returns the masks thresholded at 0.5).

    Args:
        masks: (B, C, H, W); soft masks are thresholded at 0.5.
        radius: in pixels.
    """
    squared = _squared_distance_to(masks > 0.5, max(math.ceil(radius), 1))
    return (squared <= radius**2).to(masks.dtype)


def grown(distance: Tensor, radius: float) -> Tensor:
    """:func:`grow` of the masks whose :func:`signed_distance` is known up to ``radius`` or farther."""
    return (distance > 0.5 - math.sqrt(radius**2 + 0.5)).to(distance.dtype)


def signed_distance(masks: Tensor, reach: int) -> Tensor:
    """Distance in pixels to the mask's outline, positive inside and negative outside, clipped to ``+-reach``.

    The outline lies half a pixel outside the outermost mask pixels, so values next to it are +-0.5. Outside the frame
    the mask is continued, so a bone that leaves the frame has no outline there. Euclidean, exact up to ``reach``.

    Args:
        masks: (B, C, H, W); soft masks are thresholded at 0.5.
        reach: largest distance that is told apart, in pixels; the cost grows with it.
    """
    inside = masks > 0.5
    squared = _squared_distance_to(torch.cat([inside, ~inside], dim=1), reach)
    nearest = torch.maximum(squared[:, : masks.shape[1]], squared[:, masks.shape[1] :]).to(masks.dtype)
    distance = nearest.sqrt_().sub_(0.5).clamp_(max=float(reach))
    return torch.where(inside, distance, -distance)


def _squared_distance_to(target: Tensor, reach: int) -> Tensor:
    """Squared distance to the nearest pixel of a target (B, C, H, W) of booleans, as small integers.

    It is ``(reach + 1)^2`` where there is none as near. ONNX Runtime compares floats and no small integers.
    """
    far = (reach + 1) * (reach + 1)
    kind = torch.int16 if far < 2**14 else torch.int32
    if exporting():
        kind = torch.float32
    apart = (~target).to(kind).mul_(far)
    return _lower_envelope(_lower_envelope(apart, reach, far, vertical=True), reach, far, vertical=False)


def _lower_envelope(squared: Tensor, reach: int, far: int, vertical: bool) -> Tensor:
    """One separable pass of the squared distance transform: ``min_k f(x + k) + k^2`` for ``|k| <= reach``."""
    dim = -2 if vertical else -1
    size = squared.shape[dim]
    padded = F.pad(squared, [0, 0, reach, reach] if vertical else [reach, reach, 0, 0], value=float(far))
    best = squared
    for k in range(1, reach + 1):
        nearer = torch.minimum(padded.narrow(dim, reach - k, size), padded.narrow(dim, reach + k, size))
        best = torch.minimum(best, nearer.add_(k * k))
    return best
