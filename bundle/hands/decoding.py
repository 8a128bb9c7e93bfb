"""Hands in heatmaps: peaks, and the similarity transforms of a mean hand that explain them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import torch
from bundle.hands.landmarks import MEAN_HAND, Array, apply, similarity
from bundle.hands.networks import BLOCK
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

REACH = 3
"""Positions of a heatmap on either side of a peak that belong to it."""

SPREAD = 0.05
"""Standard deviation of the landmarks of a hand from the mean hand, in heights of the upright crop."""

GATE = 3.0 * SPREAD
"""Largest distance of a landmark from the mean hand, in heights of the upright crop."""

LEAST_BASE = 0.12
"""Smallest distance in the mean hand of two landmarks that define a transform, in heights of the upright crop."""


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of heatmaps.

    Attributes:
        channel: channel of each peak, ascending, (N,).
        place: position (x, y) in pixels of the view, (N, 2).
        mass: probability that the landmark is there, (N,).
    """

    channel: NDArray[np.int64]
    place: Array
    mass: Array

    def __len__(self) -> int:
        return len(self.channel)

    def only(self, kept: NDArray[Any]) -> Peaks:
        """Select peaks by their numbers or by a mask."""
        return Peaks(self.channel[kept], self.place[kept], self.mass[kept])


def peaks(maps: Tensor, each: int = 3, least: float = 0.04) -> Peaks:
    """Find the local maxima of heatmaps.

    The position of a peak is the centroid of the probability within :data:`REACH` of its maximum.

    Args:
        maps: probabilities, (C, H, W) (:func:`bundle.hands.networks.probabilities`).
        each: maximum number of peaks per channel.
        least: smallest probability of a peak.
    """
    side = 2 * REACH + 1
    padded = F.pad(maps, [REACH] * 4)
    mass, highest = _windows(padded, torch.add), _windows(padded, torch.maximum)
    best, at = torch.where(maps == highest, mass, mass.new_zeros(())).flatten(1).topk(each)
    channel, slot = torch.nonzero(best >= least, as_tuple=True)
    at = at[channel, slot]
    row, column = at // maps.shape[-1], at % maps.shape[-1]
    steps = torch.arange(side)
    window = padded[channel[:, None, None], (row[:, None] + steps)[:, :, None], (column[:, None] + steps)[:, None]]
    whole = window.sum(dim=(1, 2)).clamp_min(1e-12)
    x = column + (window.sum(dim=1) * (steps - REACH)).sum(dim=1) / whole
    y = row + (window.sum(dim=2) * (steps - REACH)).sum(dim=1) / whole
    place = torch.stack([x, y], dim=1) * BLOCK + (BLOCK - 1) / 2
    return Peaks(channel.numpy(), place.double().numpy(), best[channel, slot].double().numpy())


def _windows(padded: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine the values within :data:`REACH` of each position, along one axis after the other."""
    for axis in (1, 2):
        length = padded.shape[axis] - 2 * REACH
        padded = reduce(combine, (padded.narrow(axis, shift, length) for shift in range(2 * REACH + 1)))
    return padded


@dataclass(frozen=True, eq=False)
class Fit:
    """A mean hand fitted to peaks.

    Attributes:
        matrix: matrix (2, 3) from the mean hand to pixels of the view.
        mirrored: whether the transform mirrors, so that the hand is a right one as displayed.
        score: sum over the landmarks of the peak's probability, weighted by a Gaussian of its distance from the mean.
        peak: number of the peak of each landmark among those that were fitted, -1 for none, (24,).
        rival: best fit of the other chirality; None if there is none.
    """

    matrix: Array
    mirrored: bool
    score: float
    peak: NDArray[np.int64]
    rival: Fit | None = None

    @property
    def size(self) -> float:
        """Height of the upright crop of the hand in pixels of the view."""
        return float(np.hypot(*self.matrix[:, 1]))


def fit_hand(found: Peaks, most: int = 28) -> Fit | None:
    """Fit the mean hand to peaks, straight or mirrored; None if no two peaks define a transform.

    Each pair of peaks of different landmarks is a hypothesis (RANSAC with all pairs). The best of either chirality is
    refined by weighted least squares.

    Args:
        found: peaks of the heatmaps of a view.
        most: maximum number of peaks that form pairs; those with the highest probabilities.
    """
    fits = [fit for mirrored in (False, True) if (fit := fit_chirality(found, mirrored, most)) is not None]
    if not fits:
        return None
    fits.sort(key=lambda fit: -fit.score)
    return replace(fits[0], rival=fits[1] if len(fits) > 1 else None)


def fit_chirality(found: Peaks, mirrored: bool, most: int = 28) -> Fit | None:
    """Fit the mean hand, mirrored or not; arguments as in :func:`fit_hand`."""
    strongest = found.only(found.mass >= np.sort(found.mass)[-min(most, len(found))]) if len(found) else found
    a, b = _pair_transforms(strongest, mirrored)
    if not len(a):
        return None
    best = int(_scores(found, a, b, mirrored).argmax())
    matrix = _matrix(a[best], b[best], mirrored)
    for _ in range(3):
        taken = assigned(found, matrix)
        if (taken >= 0).sum() < 2:
            return None
        chosen = taken[taken >= 0]
        weights = found.mass[chosen] * _kernel(found, matrix)[chosen]
        if len(chosen) < 3 or weights.sum() <= 0.0:
            break
        matrix = similarity(MEAN_HAND[taken >= 0], found.place[chosen], weights, mirrored)
    taken = assigned(found, matrix)
    chosen = taken[taken >= 0]
    return Fit(matrix, mirrored, float((found.mass * _kernel(found, matrix))[chosen].sum()), taken)


def _complex(points: Array, mirrored: bool = False) -> NDArray[np.complex128]:
    return (-1.0 if mirrored else 1.0) * points[..., 0] + 1j * points[..., 1]


def _pair_transforms(found: Peaks, mirrored: bool) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Transforms ``w = a z + b`` of the mean hand to the view for all pairs of peaks of different landmarks."""
    first, second = np.triu_indices(len(found), 1)
    z, w = _complex(MEAN_HAND, mirrored)[found.channel], _complex(found.place)
    base = z[first] - z[second]
    far = np.abs(base) >= LEAST_BASE
    first, second = first[far], second[far]
    a = (w[first] - w[second]) / base[far]
    real = np.abs(a) > 1.0
    return a[real], (w[first] - a * z[first])[real]


def _scores(found: Peaks, a: NDArray[np.complex128], b: NDArray[np.complex128], mirrored: bool) -> Array:
    """Score of each transform: sum over the landmarks of the best peak's probability times its kernel."""
    expected = a[:, None] * _complex(MEAN_HAND, mirrored)[found.channel] + b[:, None]
    distance = np.abs(expected - _complex(found.place)) / np.abs(a)[:, None]
    gain = found.mass * np.exp(-0.5 * (distance / SPREAD) ** 2)
    first = np.flatnonzero(np.diff(found.channel, prepend=-1))  # peaks are sorted by channel
    whole: Array = np.maximum.reduceat(gain, first, axis=1).sum(axis=1)
    return whole


def _matrix(a: complex, b: complex, mirrored: bool) -> Array:
    sign = -1.0 if mirrored else 1.0
    return np.array([[sign * a.real, -a.imag, b.real], [sign * a.imag, a.real, b.imag]])


def _distance(found: Peaks, matrix: Array) -> Array:
    """Distance of each peak from its landmark of the fitted mean hand, in heights of the upright crop."""
    expected = apply(matrix, MEAN_HAND)[found.channel]
    distance: Array = np.hypot(*(found.place - expected).T) / np.hypot(*matrix[:, 1])
    return distance


def _kernel(found: Peaks, matrix: Array) -> Array:
    kernel: Array = np.exp(-0.5 * (_distance(found, matrix) / SPREAD) ** 2)
    return kernel


def assigned(found: Peaks, matrix: Array) -> NDArray[np.int64]:
    """Number of the best peak of each landmark within :data:`GATE` of the fitted mean hand, -1 for none, (24,)."""
    gain = np.where(_distance(found, matrix) <= GATE, found.mass * _kernel(found, matrix), 0.0)
    taken = np.full(len(MEAN_HAND), -1)
    for peak in np.argsort(gain):
        if gain[peak] > 0.0:
            taken[found.channel[peak]] = peak
    return taken


def fit_hands(found: Peaks, least: float, most: int = 3) -> list[Fit]:
    """Fit hands one after the other, each to the peaks that the hands before leave.

    Args:
        found: peaks of the heatmaps of a view.
        least: smallest score of a hand.
        most: maximum number of hands.
    """
    fits: list[Fit] = []
    left: NDArray[Any] = np.arange(len(found))
    while len(fits) < most:
        fit = fit_hand(found.only(left))
        if fit is None or fit.score < least:
            break
        fits.append(fit)
        left = left[_distance(found.only(left), fit.matrix) > GATE]
    return fits
