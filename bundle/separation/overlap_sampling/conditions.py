"""What the flow sees of a separated joint, and where it may change the layers."""

from __future__ import annotations

import math

import torch
from bundle.joint import MCP
from bundle.physics import GROWTH_MM, attenuation, growth_limit, signed_distance
from torch import Tensor

CONDITIONS = 7
"""Number of channels of :func:`conditions`."""

ROWS = 64
"""Number of rows around the overlap that the flow is trained on, in pixels of an MCP frame."""

FADE_MM = 2 * MCP.spacing_mm
"""Distance over which a sample fades in from the border of the overlap: 0.16 mm."""

REACH_MM = 16 * MCP.spacing_mm
"""Range of the signed distances to the outlines: 1.3 mm."""

CONTRAST = 2.0
"""Factor that brings attenuations to the order of 1."""


def conditions(layers: Tensor, masks: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
    """Describe separated joints to the flow.

    Args:
        layers: soft tissue and bones in [0, 1], (B, 3, H, W), the mean of the plausible ones.
        masks: bone masks, (B, 2, H, W).
        spacing_mm: pixel size in mm.

    Returns:
        Attenuation of the radiograph and of the three layers, signed distances to the outlines of the bones, and the
        overlap of their supports (0 or 1): (B, 7, H, W).
    """
    parts = attenuation(layers) * CONTRAST
    reach = math.ceil(REACH_MM / spacing_mm)
    distance = signed_distance(masks, reach)
    both = (fade(distance, spacing_mm) > 0.0).to(parts)
    return torch.cat([parts.sum(dim=1, keepdim=True), parts, distance / reach, both], dim=1)


def fade(distance: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
    """Weight of a sample, (B, 1, H, W): 0 outside the overlap of the supports, rising to 1 inside.

    Args:
        distance: signed distances to the outlines of the bones in pixels, (B, 2, H, W).
        spacing_mm: pixel size in mm.
    """
    inside = distance.amin(dim=1, keepdim=True) - growth_limit(GROWTH_MM / spacing_mm)
    return (inside * spacing_mm / FADE_MM).clamp(0.0, 1.0)


MARGIN = 16
"""Number of rows that the flow sees above and below an overlap, 1.3 mm: at the border of its view it draws lines."""


def joint_rows(both: Tensor, rows: int = ROWS, margin: int = MARGIN) -> slice:
    """Find the rows around the overlap ``both`` (1, H, W): at least ``rows``, and the overlap with its margin."""
    height = both.shape[-2]
    found = torch.nonzero(both[0].amax(dim=1) > 0.0)[:, 0]
    first, last = (int(found[0]), int(found[-1]) + 1) if len(found) else (height // 2, height // 2)
    first, last = max(first - margin, 0), min(last + margin, height)
    missing = max(rows - (last - first), 0)
    start = min(max(first - missing // 2, 0), max(height - (last - first + missing), 0))
    return slice(start, min(start + last - first + missing, height))


def exchanged(layers: Tensor, true: Tensor) -> Tensor:
    """Attenuation that the upper bone of ``layers`` must give to the lower one to agree best with the true layers.

    Args:
        layers: separated layers, (B, 3, H, W).
        true: true layers, (B, 3, H, W).

    Returns:
        Half of the difference of both bones' errors, (B, 1, H, W).
    """
    error = attenuation(true[:, 1:]) - attenuation(layers[:, 1:])
    return (error[:, :1] - error[:, 1:]) / 2.0
