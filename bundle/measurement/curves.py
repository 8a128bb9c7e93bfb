"""Curves in a view whose columns run along the joint's axis: parabolas, dynamic programming, robust smoothing.

A view (B, N, K) holds K columns, :data:`ACROSS` mm apart, of N values, :data:`ALONG` mm apart, increasing downwards. A
curve (B, K) holds one depth in mm for each column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

ACROSS, ALONG = 0.1, 0.03
"""Distance of columns, and of values in a column, in mm."""

HALF_WIDTH = 4.5
"""Columns lie within this distance of the joint's middle, in mm."""

_TRUNCATION = 3.5
"""Truncation radius of Gaussians in standard deviations."""

_FAINT = 0.35
"""Columns whose strongest edge is weaker than this fraction of the mean are not amplified."""

_APART = 0.5
"""Curves whose offsets differ by less than this, in mm, are not alternatives to each other."""

_STEPS = 4
"""Maximum change of depth between adjacent columns of a traced path, in samples."""

_STEEP = 0.08
"""Penalty of a traced path for the squared change of depth, in samples."""

_ROUNDS = 4
"""Iterations of robust smoothing."""


def columns() -> Tensor:
    """Return the positions of the columns across the joint, (K,) in mm from its middle."""
    half = round(HALF_WIDTH / ACROSS)
    return torch.arange(-half, half + 1) * ACROSS


def depths(start: float, end: float) -> Tensor:
    """Return sampling depths from ``start`` to ``end`` mm, (N,); multiples of :data:`ALONG`."""
    return torch.arange(round(start / ALONG), round(end / ALONG) + 1) * ALONG


def blurred_across(view: Tensor, sigma: float) -> Tensor:
    """Blur a view (B, N, K) across the joint with a Gaussian of ``sigma`` mm."""
    return _correlated(view, _gaussian(sigma, ACROSS)[None])


def slope_along(view: Tensor, sigma: float) -> Tensor:
    """Return the slope of a view (B, N, K) along the axis, per mm downwards, at a scale of ``sigma`` mm."""
    kernel = _gaussian(sigma, ALONG)
    offsets = (torch.arange(len(kernel)) - len(kernel) // 2) * ALONG
    return _correlated(view, (kernel * offsets / sigma**2)[:, None])


def mean_along(view: Tensor, start: float, end: float) -> Tensor:
    """Return at each value of a view (B, N, K) the mean from ``start`` to ``end`` mm below it."""
    first, last = round(start / ALONG), round(end / ALONG)
    kernel = torch.zeros(2 * max(abs(first), abs(last)) + 1)
    middle = len(kernel) // 2
    kernel[middle + first : middle + last + 1] = 1.0 / (last - first + 1)
    return _correlated(view, kernel[:, None])


def _gaussian(sigma: float, step: float) -> Tensor:
    reach = math.ceil(_TRUNCATION * sigma / step)
    kernel = torch.exp(-(((torch.arange(2 * reach + 1) - reach) * step / sigma) ** 2) / 2)
    return kernel / kernel.sum()


def _correlated(view: Tensor, kernel: Tensor) -> Tensor:
    rows, across = (side // 2 for side in kernel.shape)
    padded = F.pad(view[:, None], [across, across, rows, rows], "replicate")
    return F.conv2d(padded, kernel[None, None].to(view))[:, 0]


def straightened(view: Tensor, start: float, curve: Tensor, offsets: Tensor) -> Tensor:
    """Resample a view so that a curve becomes straight, at depth 0.

    Args:
        view: view, (B, N, K).
        start: depth of its first row in mm.
        curve: curve, (B, K) in mm.
        offsets: depths below the curve to sample, (M,) in mm.

    Returns:
        (B, M, K), interpolated linearly and continued past the ends of the view.
    """
    rows = ((curve[:, None] + offsets[:, None] - start) / ALONG).clamp(0, view.shape[1] - 1.001)
    return between_samples(view, rows)


def between_samples(values: Tensor, places: Tensor) -> Tensor:
    """Interpolate values (B, N, ...) linearly at places (B, M, ...) from 0 to below ``N - 1`` along the samples."""
    before = places.long()
    part = places - before
    return values.gather(1, before) * (1 - part) + values.gather(1, before + 1) * part


@dataclass(frozen=True)
class Found:
    """The best curve of a family.

    Attributes:
        curve: curve, (B, K) in mm.
        score: its mean relative edge strength, (B,) in [0, 1].
        margin: difference to the best curve of the family that lies elsewhere, (B,).
    """

    curve: Tensor
    score: Tensor
    margin: Tensor


@dataclass(frozen=True)
class Parabolas:
    """A family of parabolas ``offset + tilt * t + bend * (t**2 - 1/3)`` mm, with t from -1 to 1 across the columns.

    Attributes:
        lowest, highest: range of the offset in mm.
        tilts: tilts in mm.
        bends: bends in mm.
        step: step of the offset in mm.
        tie: the uppermost peak of the score that reaches this fraction of the highest one is chosen.
    """

    lowest: float
    highest: float
    tilts: Sequence[float]
    bends: Sequence[float]
    step: float = 0.06
    tie: float = 1.0

    def best(self, edges: Tensor, start: float, weight: Tensor) -> Found:
        """Find the parabola along which a map of edges is strongest.

        Args:
            edges: edge strengths, (B, N, K), at least 0.
            start: depth of the first row in mm.
            weight: weights of the columns, (B, K).
        """
        offsets, shapes, rows = _table(self, edges.shape[1], start)
        relative = _relative(edges, weight).flatten(1)
        along = torch.stack([relative[:, each].reshape(len(edges), len(offsets), -1) for each in rows], dim=1)
        scores = torch.einsum("bsok,bk->bso", along, weight / weight.sum(-1, keepdim=True))
        profile, shape = scores.max(dim=1)
        at = self._chosen(profile)
        score = profile.gather(1, at)[:, 0]
        apart = (offsets - offsets[at]).abs() > _APART
        margin = score - torch.where(apart, profile, 0.0).amax(-1)
        return Found(offsets[at] + shapes[shape.gather(1, at)[:, 0]], score, margin)

    def _chosen(self, profile: Tensor) -> Tensor:
        """Index (B, 1) of the uppermost peak of a profile (B, O) that reaches :attr:`tie` times its maximum."""
        before, after = F.pad(profile, [1, 0])[:, :-1], F.pad(profile, [0, 1])[:, 1:]
        peak = (profile >= before) & (profile >= after) & (profile >= self.tie * profile.amax(-1, keepdim=True))
        return peak.int().argmax(-1, keepdim=True)


@lru_cache(maxsize=8)
def _cached(
    family: tuple[float, ...], tilts: tuple[float, ...], bends: tuple[float, ...], rows: int
) -> tuple[Tensor, ...]:
    lowest, highest, step, start = family
    offsets = torch.arange(lowest, highest + step / 2, step)
    t = columns() / HALF_WIDTH
    shapes = torch.stack([tilt * t + bend * (t * t - 1 / 3) for tilt in tilts for bend in bends])
    at = ((offsets[:, None] + shapes[:, None] - start) / ALONG).round().long().clamp(0, rows - 1)
    return offsets, shapes, (at * len(t) + torch.arange(len(t))).flatten(1)


def _table(family: Parabolas, rows: int, start: float) -> tuple[Tensor, ...]:
    """Offsets (O,), shapes (S, K) in mm, and flat indices (S, O * K) of the parabolas in a view of ``rows`` rows."""
    ends = (family.lowest, family.highest, family.step, start)
    return _cached(ends, tuple(family.tilts), tuple(family.bends), rows)


def _relative(edges: Tensor, weight: Tensor) -> Tensor:
    """Edge strengths (B, N, K) relative to the strongest of each column, at most 1."""
    strongest = edges.amax(1, keepdim=True)
    usual = _mean(strongest, weight[:, None])[..., None]
    return (edges / strongest.maximum(_FAINT * usual + 1e-6)).clamp(max=1.0)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the last dimension."""
    return (values * weight).sum(-1) / weight.sum(-1).clamp(min=1e-9)


def refined(edges: Tensor, start: float, weight: Tensor, stiffness: float) -> tuple[Tensor, Tensor]:
    """Trace the strongest edge from column to column and smooth it.

    Args:
        edges: edge strengths, (B, N, K), at least 0, around the expected curve.
        start: depth of the first row in mm.
        weight: weights of the columns, (B, K).
        stiffness: weight of the squared third differences of the smooth curve.

    Returns:
        The smooth curve (B, K) in mm, and the deviation of the traced edge from it, (B,) in mm.
    """
    path = traced(edges, weight)
    depth, strength = _peak(edges, path)
    sure = strength * weight
    sure = sure / _mean(sure, torch.ones_like(sure)).clamp(min=1e-9)[:, None] * weight.mean(-1, keepdim=True)
    curve = smooth_curve(depth, sure, stiffness)
    roughness = _mean((depth - curve).abs(), weight)
    return start + curve, roughness


def traced(edges: Tensor, weight: Tensor) -> Tensor:
    """Trace the strongest edge of a map (B, N, K) with column weights (B, K) from column to column: rows, (B, K)."""
    usual = _mean(edges.amax(1), weight).clamp(min=1e-6)
    return _traced(edges / usual[:, None, None] * weight[:, None])


def _traced(gain: Tensor) -> Tensor:
    """Rows (B, K) of the path through a map (B, N, K) with the largest sum, less a penalty for steep steps."""
    steps = torch.arange(-_STEPS, _STEPS + 1)
    penalty = (_STEEP * steps**2).to(gain)
    total, came = gain[:, :, 0], []
    for column in gain.unbind(-1)[1:]:
        candidates = F.pad(total, [_STEPS, _STEPS], value=-1e9).unfold(1, 2 * _STEPS + 1, 1) - penalty
        best, step = candidates.max(-1)
        came.append(step - _STEPS)
        total = best + column
    path = [total.argmax(-1, keepdim=True)]
    for step in reversed(came):
        path.append((path[-1] + step.gather(1, path[-1])).clamp(0, gain.shape[1] - 1))
    return torch.cat(path[::-1], dim=1)


def _peak(edges: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Depth in mm below the first row of the vertex of the parabola through three values, and the middle value."""
    middle = rows.clamp(1, edges.shape[1] - 2)
    above, at, below = (edges.gather(1, (middle + step)[:, None])[:, 0] for step in (-1, 0, 1))
    bend = above - 2 * at + below
    offset = torch.where(bend < -1e-9, (above - below) / (2 * bend).clamp(max=-1e-9), 0.0)
    return (middle + offset.clamp(-1, 1)) * ALONG, at


def smooth_curve(depth: Tensor, weight: Tensor, stiffness: float, scale: float = 0.06) -> Tensor:
    """Smooth a curve by penalized least squares on third differences (Whittaker), robust to outliers.

    Args:
        depth: curve, (B, K) in mm.
        weight: weights of the columns, (B, K).
        stiffness: weight of the squared third differences.
        scale: deviations beyond this, in mm, lose weight (Cauchy).
    """
    count = depth.shape[-1]
    third = torch.diff(torch.eye(count, dtype=torch.float64), n=3, dim=0)
    penalty = stiffness * third.T @ third
    known, depth64 = weight.double(), depth.double()
    for _ in range(_ROUNDS):
        system = penalty + torch.diag_embed(known + 1e-4)
        curve = torch.linalg.solve(system, (known + 1e-4) * depth64)
        known = weight.double() / (1 + ((depth64 - curve) / scale) ** 2)
    return curve.to(depth)


def fitted_parabola(depth: Tensor, weight: Tensor, scale: float = 0.15) -> Tensor:
    """Fit a parabola to a curve (B, K) in mm with weights (B, K), robust to outliers beyond ``scale`` mm."""
    t = (columns() / HALF_WIDTH).to(depth)
    basis = torch.stack([torch.ones_like(t), t, t * t], dim=-1)
    depth, known = torch.where(weight > 0, depth, 0.0), weight
    for _ in range(_ROUNDS + 2):
        system = torch.einsum("kd,bk,ke->bde", basis, known, basis) + 1e-6 * torch.eye(3)
        curve = torch.linalg.solve(system, torch.einsum("kd,bk,bk->bd", basis, known, depth)) @ basis.T
        known = weight / (1 + ((depth - curve) / scale) ** 2)
    return curve
