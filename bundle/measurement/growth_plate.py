"""Growth plate of the upper bone: open, closed or unknown, from a radiograph of a joint and its masks.

An open plate is a dark band between the epiphysis and the shaft, 1 to 6 mm above the outline of the base. In small
children the masks may also leave the bones: the lower one then covers cartilage up to the epiphysis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from bundle.joint import CLOSED_PLATE, OPEN_PLATE, UNKNOWN_PLATE, UPPER
from bundle.measurement.curves import ALONG, blurred_across, columns, depths, straightened, traced
from bundle.measurement.pose import JointPose, rotated
from bundle.physics import attenuation, overlap, sample
from torch import Tensor
from torch.nn import functional as F

OPEN_FROM, CLOSED_BELOW = 0.3, 0.2
"""Strengths of the band from which the plate is open, and below which it is closed."""

FAINTEST_HEAD, LARGEST_CROSSING = 0.8, 12.0
"""Lowest brightness of a head relative to the upper bone, and largest overlap of the masks in mm², on the bones."""

_START, _END = -10.5, 4.5
"""Range of the view along the axis, in mm from the outline of the head in the middle of the joint."""

_EPIPHYSIS = (0.7, 6.5)
"""Distances of the band from the outline of the base in mm."""

_ACROSS_BASE = 0.85
"""Central fraction of the base in which the band is searched for."""

_BESIDE = (0.45, 0.6, 0.8, 1.0)
"""Distances in mm at which the bone beside the band is brighter."""

_IN_HEAD, _ACROSS_HEAD = (0.5, 4.0), 0.6
"""Depths below the outline of the head in mm, and central fraction of the joint, in which its brightness is taken."""


@dataclass(frozen=True)
class PlateSigns:
    """Signs of open growth plates of B joints; NaN if the masks show no joint.

    Attributes:
        band: darkness of the darkest band across the upper bone's base, relative to its sides and to the contrast of
            the bone, (B,): mean of the average and the lower quartile along the band.
        head: smallest brightness of the lower bone below the outline of its head, relative to the upper bone, (B,).
        crossing: overlap of the masks, (B,) in mm².
    """

    band: Tensor
    head: Tensor
    crossing: Tensor

    @property
    def on_bones(self) -> Tensor:
        """Whether the masks lie on the bones, (B,)."""
        return (self.head >= FAINTEST_HEAD) & (self.crossing <= LARGEST_CROSSING)

    @property
    def states(self) -> tuple[str, ...]:
        """State of each plate: open, closed or unknown."""
        return tuple(_state(float(band), bool(fits)) for band, fits in zip(self.band, self.on_bones, strict=True))


def _state(band: float, on_bones: bool) -> str:
    if not on_bones or math.isnan(band):
        return UNKNOWN_PLATE
    return OPEN_PLATE if band >= OPEN_FROM else CLOSED_PLATE if band < CLOSED_BELOW else UNKNOWN_PLATE


def plate_signs(radiograph: Tensor, masks: Tensor, pose: JointPose, side: float) -> PlateSigns:
    """Measure the signs of open growth plates.

    Args:
        radiograph: radiographs, (B, 1, H, W) in [0, 1].
        masks: masks of lower and upper bone, (B, 2, h, w) in [0, 1]; they may have another resolution.
        pose: poses of the joints (:func:`joint_pose`).
        side: height and width of the frame in mm.
    """
    thick, large = attenuation(radiograph), F.interpolate(masks, radiograph.shape[-2:])
    soft, bone = _levels(thick[:, 0], large)
    grid = _grid(pose, side)
    view = (sample(thick, grid)[:, 0] - soft[:, None]) / (bone - soft).clamp(min=0.02)[:, None]
    inside = sample(masks, grid)[:, UPPER] > 0.5
    unknown = torch.where(pose.axis.isfinite(), 0.0, math.nan)
    crossing = overlap(masks).sum(dim=(1, 2, 3)) * (side / masks.shape[-1]) ** 2
    return PlateSigns(_band(view, inside) + unknown, _faintest(view, pose) + unknown, crossing)


def _levels(thick: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Attenuation beside the bones and in the upper bone, (B, 1) each."""
    beside = torch.where(masks.amax(dim=1) > 0.5, math.nan, thick).flatten(1).nanmedian(dim=1, keepdim=True).values
    upper = torch.where(masks[:, UPPER] > 0.5, thick, math.nan).flatten(1).nanmean(dim=1, keepdim=True)
    return beside, upper


def _grid(pose: JointPose, side: float) -> Tensor:
    """Positions (B, N, K, 2) of the view in the frame, from -1 to 1."""
    y = pose.head[:, None, None] + depths(_START, _END)[:, None]
    x = (pose.middle[:, None] + columns())[:, None]
    shape = torch.broadcast_shapes(x.shape, y.shape)
    right, down = rotated(x.expand(shape), y.expand(shape), pose.axis.nan_to_num()[:, None, None])
    return torch.stack([right, down], dim=-1) * (2 / side)


def _band(view: Tensor, inside: Tensor) -> Tensor:
    """Strength of the darkest band across the base, (B,); NaN if a column has no bone."""
    bottom, central = _base(inside)
    height = (bottom[:, None] - torch.arange(view.shape[1])[:, None]) * ALONG
    searched = inside & (height >= _EPIPHYSIS[0]) & (height <= _EPIPHYSIS[1])
    dark = torch.where(searched, _darker_than_beside(view), 0.0)
    path = traced(dark.clamp(min=0.0), central.to(view))
    along = torch.where(central, dark.gather(1, path[:, None])[:, 0], math.nan)
    return (along.nanmean(dim=1) + along.nanquantile(0.25, dim=1)) / 2


def _base(inside: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest row of the upper bone in each column of the view, (B, K), and the central columns of its base."""
    rows = torch.arange(inside.shape[1])[:, None]
    bottom = torch.where(inside, rows, -1).amax(dim=1)
    x = columns().expand(bottom.shape)
    left = torch.where(bottom >= 0, x, math.inf).amin(dim=1, keepdim=True)
    right = torch.where(bottom >= 0, x, -math.inf).amax(dim=1, keepdim=True)
    return bottom, (x - (left + right) / 2).abs() <= _ACROSS_BASE / 2 * (right - left)


def _darker_than_beside(view: Tensor) -> Tensor:
    """Darkness of each value of a view relative to the bone above and below it, the smaller of the two, (B, N, K)."""
    smooth = F.avg_pool2d(blurred_across(view, 0.2)[:, None], (5, 1), 1, (2, 0), count_include_pad=False)[:, 0]
    rows, last = torch.arange(view.shape[1]), view.shape[1] - 1
    sides = [
        torch.stack([smooth[:, (rows + sign * round(far / ALONG)).clamp(0, last)] for far in _BESIDE]).amax(dim=0)
        for sign in (-1, 1)
    ]
    return torch.minimum(*sides) - smooth


def _faintest(view: Tensor, pose: JointPose) -> Tensor:
    """Smallest mean of a row below the outline of the head, (B,)."""
    below = torch.arange(_IN_HEAD[0], _IN_HEAD[1], 0.1)
    rows = straightened(view, _START, pose.outline - pose.head[:, None], below)
    central = (columns().abs() <= _ACROSS_HEAD / 2 * pose.extent[:, None]).to(view)[:, None]
    return ((rows * central).sum(-1) / central.sum(-1)).amin(dim=-1)
