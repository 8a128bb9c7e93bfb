"""Signed distances and the shares of the weight-free separator in loops that numba compiles.

The functions have arguments and results of those in :mod:`bundle.physics.masks` and :mod:`bundle.physics.harmonic`,
which have the equations, for float32 on the CPU. Distances are the same to the last bit; shares differ by rounding.
Calls from several threads run in parallel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from bundle.base import cached_loop, loop
from bundle.joint import MCP
from bundle.physics.fused_laplace import HALF, ONE, ZERO, Workspace
from bundle.physics.harmonic import FADE_MM, GROWTH_MM, RAMP_MM, ownership_range
from bundle.physics.masks import growth_limit
from bundle.physics.radiograph import attenuation
from torch import Tensor

SIZES = 4
"""Maximum number of image sizes for which memory is kept."""

_idle: dict[tuple[int, int], list[Workspace]] = {}
"""Workspaces that no call uses, by the size of their images."""


@contextmanager
def _workspace(height: int, width: int) -> Iterator[Workspace]:
    """Lend the memory of the solver to one call."""
    idle = _idle.setdefault((height, width), [])
    for size in list(_idle)[:-SIZES]:
        _idle.pop(size, None)
    workspace = idle.pop() if idle else Workspace(height, width)
    yield workspace
    idle.append(workspace)


@loop
def _column_distances(steps):
    """Distances along the columns from 0 at the target and the limit elsewhere, in place."""
    height, width = steps.shape
    for y in range(1, height):
        above, here = steps[y - 1], steps[y]
        for x in range(width):
            here[x] = min(here[x], above[x] + ONE)
    for y in range(height - 2, -1, -1):
        below, here = steps[y + 1], steps[y]
        for x in range(width):
            here[x] = min(here[x], below[x] + ONE)


@loop
def _lower_envelope(steps, reach, padded, best):
    """Squared distances in a row from those along the columns: ``min_k f(x + k)^2 + k^2`` for ``|k| <= reach``."""
    for x in range(len(best)):
        padded[reach + x] = best[x] = steps[x] * steps[x]
    for k in range(-reach, reach + 1):
        shifted, beside = padded[reach + k :], np.float32(k * k)
        for x in range(len(best)):
            best[x] = min(best[x], shifted[x] + beside)


@cached_loop("void(f4[:, ::1], i8, f4[:, ::1])")
def _signed_distance(mask, reach, distance):
    height, width = mask.shape
    far, limit = np.float32(reach + 1), np.float32(reach)
    to_bone, to_rest = np.empty_like(mask), np.empty_like(mask)
    for y in range(height):
        for x in range(width):
            inside = mask[y, x] > HALF
            to_bone[y, x], to_rest[y, x] = (ZERO, far) if inside else (far, ZERO)
    _column_distances(to_bone)
    _column_distances(to_rest)
    padded = np.full(width + 2 * reach, far * far)
    bone, rest = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        _lower_envelope(to_bone[y], reach, padded, bone)
        _lower_envelope(to_rest[y], reach, padded, rest)
        made, given = distance[y], mask[y]
        for x in range(width):
            nearest = min(np.sqrt(max(bone[x], rest[x])) - HALF, limit)
            made[x] = nearest if given[x] > HALF else -nearest


@cached_loop("void(f4[:, :, ::1], f4, f4, f4, f4, f4, f4[:, :, ::1])")
def _ownership(distance, growth, ramp, fade, owned, limit, found):
    """Write the known pixels and the ownership weights of both bones, (3, H, W)."""
    one, other = distance[0].reshape(-1), distance[1].reshape(-1)
    known, of_one, of_other = found[0].reshape(-1), found[1].reshape(-1), found[2].reshape(-1)
    for i in range(len(known)):
        grown = ONE if one[i] > limit else ZERO, ONE if other[i] > limit else ZERO
        a, b = min(max(one[i], -owned), owned), min(max(other[i], -owned), owned)
        faded_a = min(max((a + growth + HALF) / fade, ZERO), ONE) * grown[0]
        faded_b = min(max((b + growth + HALF) / fade, ZERO), ONE) * grown[1]
        lead = (a - b) / (ramp + ramp)
        preferred_a = min(max(HALF + lead, ZERO), ONE) * faded_a
        preferred_b = min(max(HALF - lead, ZERO), ONE) * faded_b
        weight, total = min(faded_a + faded_b, ONE), max(preferred_a + preferred_b, np.float32(1e-6))
        known[i] = ONE - max(grown[0], grown[1])
        of_one[i], of_other[i] = weight * preferred_a / total, weight * preferred_b / total


@cached_loop("void(f4[:, ::1], f4[:, ::1], f4[:, :, ::1])")
def _divide(total, continued, found):
    """Turn known pixels and ownership weights into shares, in place."""
    total, continued = total.reshape(-1), continued.reshape(-1)
    soft, one, other = found[0].reshape(-1), found[1].reshape(-1), found[2].reshape(-1)
    for i in range(len(total)):
        fill = total[i] if soft[i] > HALF else min(max(continued[i], ZERO), total[i])
        bone = (total[i] - fill) / max(total[i], np.float32(1e-12))
        a, b = bone * one[i], bone * other[i]
        soft[i], one[i], other[i] = max(ONE - (a + b), ZERO), a, b


def signed_distance(masks: Tensor, reach: int) -> Tensor:
    """Compute :func:`bundle.physics.signed_distance` of masks (B, C, H, W)."""
    found = torch.empty(masks.shape)
    for mask, distance in zip(masks.flatten(0, 1), found.flatten(0, 1), strict=True):
        _signed_distance(mask.contiguous().numpy(), reach, distance.numpy())
    return found


def shares_by_distance(image: Tensor, distance: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
    """Compute :func:`bundle.physics.shares_by_distance` of images (B, 1, H, W) and distances (B, 2, H, W)."""
    size, pixels = image.shape[-2:], [length / spacing_mm for length in (GROWTH_MM, RAMP_MM, FADE_MM)]
    limits = ownership_range(GROWTH_MM, spacing_mm), growth_limit(pixels[0])
    given = [part.contiguous().numpy() for part in (attenuation(image[:, 0]), distance)]
    found = torch.empty(len(image), 3, *size)
    with _workspace(*size) as workspace:
        for whole, apart, shares in zip(*given, found.numpy(), strict=True):
            _ownership(apart, *pixels, *limits, shares)
            _divide(whole, workspace.solve(whole, shares[0]), shares)
    return found
