"""Bone masks: union, overlap, exclusive maps, distance to the outline and growth of the bone support.

Masks are float tensors in [0, 1] of shape (B, 2, H, W) or (2, H, W), channel 0 the lower bone (metacarpal head) and
channel 1 the upper bone (proximal phalanx). Masks may overlap, and are soft after a motion.
"""

from __future__ import annotations

import math

import torch
from bundle.joint import MCP
from bundle.physics.compiling import Compiled
from bundle.physics.exporting import exporting
from bundle.physics.radiograph import reconstruct
from torch import Tensor
from torch.nn import functional as F

AIR = 0.02
"""Highest intensity of a pixel outside the bones that counts as air, not as visible tissue."""


def union(masks: Tensor) -> Tensor:
    """Compute the union of the bone masks, ``M_1 + M_2 - M_1 M_2``: (B, 1, H, W) or (1, H, W)."""
    return reconstruct(masks)


def overlap(masks: Tensor) -> Tensor:
    """Compute the overlap of the bone masks, ``M_1 M_2``: (B, 1, H, W) or (1, H, W)."""
    return masks.narrow(-3, 0, 1) * masks.narrow(-3, 1, 1)


def exclusive(masks: Tensor, visible: Tensor) -> Tensor:
    """Compute the three exclusive maps that the supervisor predicts (Eq. 2): lower only, upper only, soft tissue only.

    Pixels in the overlap and outside the visible region belong to none of them.

    Args:
        masks: bone masks, (B, 2, H, W) or (2, H, W).
        visible: visible region, (B, 1, H, W) or (1, H, W).

    Returns:
        (B, 3, H, W) or (3, H, W).
    """
    both = overlap(masks)
    return torch.cat([masks - both, visible * (1.0 - union(masks))], dim=-3)


def visible_region(image: Tensor, masks: Tensor, air: float = AIR) -> Tensor:
    """Compute the visible region, the pixels of the finger: all pixels brighter than air, and the bones.

    Args:
        image: radiograph in [0, 1], (B, 1, H, W) or (1, H, W).
        masks: bone masks, (B, 2, H, W) or (2, H, W).
        air: highest intensity of air.

    Returns:
        Binary map of the shape of ``image``.
    """
    return torch.maximum((image > air).to(image.dtype), (union(masks) > 0.5).to(image.dtype))


BORDER_MM = 3 * MCP.spacing_mm
"""Largest distance between the end of an annotated outline and the border that the bone crosses: 3 pixels of the public
frames."""


def continue_to_border(masks: Tensor, spacing_mm: float = MCP.spacing_mm, reach_mm: float = BORDER_MM) -> Tensor:
    """Continue the shafts to the border: the lower bone to the bottom, the upper bone to the top of the frame.

    Annotated outlines often end one or two pixels short of the border that the bone crosses; a motion of such a mask
    leaves a notch. Columns that end more than ``reach_mm`` short of the border stay unchanged.

    Args:
        masks: bone masks, (B, 2, H, W) or (2, H, W).
        spacing_mm: pixel size in mm.
        reach_mm: maximum distance to the border in mm, rounded up to whole pixels.
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
    """Dilate masks by a disc of ``radius`` pixels (0 returns the masks thresholded at 0.5).

    Args:
        masks: masks, (B, C, H, W); soft masks are thresholded at 0.5.
        radius: radius of the disc in pixels.
    """
    squared = _squared_distance_to(masks > 0.5, max(math.ceil(radius), 1))
    return (squared <= radius**2).to(masks.dtype)


def grown(distance: Tensor, radius: float) -> Tensor:
    """Compute :func:`grow` from the :func:`signed_distance` of the masks, whose reach is at least ``radius``."""
    return (distance > growth_limit(radius)).to(distance.dtype)


def growth_limit(radius: float) -> float:
    """Signed distance in pixels, above which a pixel is inside the mask grown by ``radius``."""
    return 0.5 - math.sqrt(radius**2 + 0.5)


def signed_distance(masks: Tensor, reach: int) -> Tensor:
    """Compute the signed distance to the mask's outline in pixels, positive inside, clipped to ``+-reach``.

    The outline lies half a pixel outside the outermost mask pixels, so values next to it are +-0.5. Masks are continued
    past the frame, so a bone that leaves the frame has no outline there. Euclidean, exact up to ``reach``.

    Args:
        masks: masks, (B, C, H, W); soft masks are thresholded at 0.5.
        reach: maximum distance in pixels; the cost grows with it.
    """
    if torch.jit.is_scripting():
        return _signed_distance(masks, reach)
    else:
        return _compiled_distance(masks, int(reach))


def _signed_distance(masks: Tensor, reach: int) -> Tensor:
    inside = masks > 0.5
    squared = _squared_distance_to(torch.cat([inside, ~inside], dim=1), reach)
    nearest = torch.maximum(squared[:, : masks.shape[1]], squared[:, masks.shape[1] :]).to(masks.dtype)
    distance = nearest.sqrt_().sub_(0.5).clamp_(max=float(reach))
    return torch.where(inside, distance, -distance)


_compiled_distance = Compiled(_signed_distance)


def _squared_distance_to(target: Tensor, reach: int) -> Tensor:
    """Squared distance to the nearest pixel of a boolean target (B, C, H, W), as small integers.

    ``(reach + 1)^2`` if no pixel lies within ``reach``. ONNX Runtime cannot compare small integers and uses floats.
    """
    far = (reach + 1) * (reach + 1)
    kind = torch.uint8 if far + reach * reach < 2**8 else torch.int16 if far < 2**14 else torch.int32
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
