"""Landmarks of one hand, placed in its upright crop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from bundle.hands.decoding import Fit, Peaks, fit_chirality, peaks
from bundle.hands.landmarks import CHAINS, MEAN_HAND, Array, apply, chain, compose, inverse
from bundle.hands.networks import probabilities
from bundle.hands.views import CROP, Pyramid, crop_from_mean, values
from torch import Tensor

CLOSE_TURN, CLOSE_SCALE, CLOSE_SHIFT = 8.0, 0.12, 0.05
"""Largest rotation in degrees, change of the size (logarithm) and shift in heights of the crop of a hand that is
upright enough; beyond them, a second crop is cut."""

ACROSS = 0.055
"""Distance in heights of the upright crop from the axis of a phalanx to soft tissue or background beside it."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Landmarks of a hand in a radiograph.

    Attributes:
        matrix: matrix (2, 3) from the mean hand to pixels of the radiograph.
        mirrored: whether it mirrors.
        inverted: whether bone is dark.
        points: landmarks in pixels of the radiograph, (24, 2); where none was found, those of the mean hand.
        mass: probability of each landmark, 0 for none, (24,).
    """

    matrix: Array
    mirrored: bool
    inverted: bool
    points: Array
    mass: Array

    @property
    def size(self) -> float:
        """Height of the upright crop in pixels of the radiograph."""
        return float(np.hypot(*self.matrix[:, 1]))

    @property
    def middle(self) -> Array:
        """Centre of the upright crop in pixels of the radiograph."""
        return self.matrix[:, 2]


def place_hand(
    radiograph: Pyramid, matrix: Array, mirrored: bool, network: Callable[[Tensor], Tensor], rounds: int = 2
) -> Placement | None:
    """Place the landmarks of a hand; None if its upright crop shows no left hand.

    Args:
        radiograph: radiograph.
        matrix: matrix (2, 3) from the mean hand to pixels of the radiograph, as found in a film.
        mirrored: whether it mirrors.
        network: network from crops (B, 1, 288, 256) to logits.
        rounds: maximum number of crops; another one is cut if the hand is not upright in the first.
    """
    crop, inverted, found, fit = _seen(radiograph, matrix, network)
    for _ in range(rounds - 1):
        if fit is None or _is_close(fit.matrix):
            break
        crop, inverted, found, fit = _seen(radiograph, compose(crop, fit.matrix), network)
    if fit is None:
        return None
    matrix, taken = compose(crop, fit.matrix), fit.peak >= 0
    points, mass = apply(matrix, MEAN_HAND), np.zeros(len(MEAN_HAND))
    points[taken] = apply(crop, found.place[fit.peak[taken]])
    mass[taken] = found.mass[fit.peak[taken]]
    return Placement(matrix, mirrored, inverted, points, mass)


def _seen(
    radiograph: Pyramid, matrix: Array, network: Callable[[Tensor], Tensor]
) -> tuple[Array, bool, Peaks, Fit | None]:
    """Cut the upright crop of a hand and fit the mean hand in it.

    Returns:
        The matrix (2, 3) from the crop to the radiograph, whether bone is dark, the peaks in the crop and the fit.
    """
    crop = compose(matrix, inverse(crop_from_mean()))
    image = radiograph.view(crop, CROP)
    inverted = is_inverted(radiograph.view(crop, CROP, padding="border"))
    bright = radiograph.inverted(crop, image) if inverted else image
    found = peaks(probabilities(network(bright[None]))[0], each=2)
    return crop, inverted, found, fit_chirality(found, False)


def _is_close(fitted: Array) -> bool:
    """Whether a hand is about as upright and large in its crop as the mean hand."""
    own = crop_from_mean()
    a = complex(fitted[0, 0], fitted[1, 0]) / own[0, 0]
    shift = np.hypot(*(fitted[:, 2] - own[:, 2])) / CROP[0]
    return bool(abs(np.angle(a, deg=True)) < CLOSE_TURN and abs(np.log(abs(a))) < CLOSE_SCALE and shift < CLOSE_SHIFT)


def is_inverted(crop: Tensor) -> bool:
    """Whether the phalanges of an upright crop (1, H, W) are darker than what lies beside them.

    The axes of the phalanges are those of the mean hand; most of them lie close enough to those of the hand.
    """
    middle, across = _phalanges()
    beside = [values(crop, places, padding="border") for places in (middle, middle + across, middle - across)]
    difference = beside[0] - 0.5 * (beside[1] + beside[2])
    return bool(difference.mean() < 0.0)


def _phalanges() -> tuple[Tensor, Tensor]:
    """Points on the axes of the phalanges of the mean hand, and the steps to the side, in pixels, (phalanges, 5, 2)."""
    pairs = [pair for finger in CHAINS for pair in zip(chain(finger)[1:-1], chain(finger)[2:], strict=True)]
    start, end = MEAN_HAND[[a for a, _ in pairs]], MEAN_HAND[[b for _, b in pairs]]
    along = (end - start)[:, None]
    places = start[:, None] + along * np.linspace(0.3, 0.7, 5)[:, None]
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1) / np.linalg.norm(along, axis=-1, keepdims=True) * ACROSS
    pixels = torch.as_tensor(apply(crop_from_mean(), places), dtype=torch.float32)
    return pixels, torch.as_tensor(across * CROP[0], dtype=torch.float32)
