"""Finder of the hands and joints in a radiograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from bundle.errors import InputError
from bundle.hands.decoding import Fit, fit_hands, peaks
from bundle.hands.found import FoundHand
from bundle.hands.judging import found_hand, is_hand, score_of
from bundle.hands.landmarks import LANDMARKS, MEAN_HAND, Array, compose
from bundle.hands.networks import FinderNetwork, probabilities
from bundle.hands.placing import Placement, place_hand
from bundle.hands.views import FILM, Pyramid, film_matrix, moved
from bundle.networks import LoadedOnUse
from torch import Tensor


class Search(NamedTuple):
    """What is searched for in views of a film.

    Attributes:
        least_fit: smallest score of a hand: number of landmarks, weighted by probability and distance.
        sizes: sizes of the upright crop that are tried, relative to the hand's, until it shows a hand.
        most: maximum number of hands.
        least_score: smallest mean probability of the landmarks of a hand.
    """

    least_fit: float
    sizes: tuple[float, ...]
    most: int
    least_score: float


WHOLE_HANDS = Search(3.0, (1.0,), 9, 0.5)
"""Hands that are shown as a whole."""

CUT_HANDS = Search(1.2, (1.0, 1.25, 1.5), 2, 0.8)
"""Hands with fingers cut off: they have fewer landmarks, and look smaller to the network that finds them."""

RIVAL = 0.5
"""Fraction of the score of a hand above which the other chirality is tried, too."""

LEAD = 0.25
"""Difference of scores at which the better of two placements of the same hand counts; otherwise neither does."""

SAME = 0.35
"""Distance in heights of the upright crop below which two placements are those of one hand."""

WHOLE = 0.8
"""Height of the upright crop relative to the longest side of a film from which a hand fills the film."""

HALF = 0.62
"""Length of the overlapping halves of a film relative to its longest side."""

ORIENTED = (1.0, 0.8)
"""Magnifications of the film in other orientations."""

SMALLEST = 32
"""Smallest side of a radiograph in pixels."""


class HandFinder(LoadedOnUse):
    """Finder of the hands in a radiograph, with their fingers and joints, on the CPU.

    One network finds hands in views of the film (128 x 128 pixels) and of its overlapping halves, plain and inverted,
    at any rotation, mirrored or not. A second network places the landmarks in an upright crop of each hand (288 x 256
    pixels), which is never mirrored or inverted. Hands and joints that are not certain are left out or refused.

    The weights are loaded on first use, so that they are not required where joints are marked.

    Args:
        network: both networks.
        load_path: file of the weights.
        metadata: file of the bundle's metadata with the checksum of the weights; empty for user-trained weights.
        chosen: the user's file in place of ``load_path``, which has no checksum; empty for none.
    """

    what = "joint finder"
    remedy = "mark the joints, or train this network with configs/jobs/find_joints.yaml"
    network: FinderNetwork

    def __init__(self, network: FinderNetwork, load_path: str | Path, metadata: str = "", chosen: str = "") -> None:
        super().__init__(network, chosen or load_path, "" if chosen else metadata)

    @torch.no_grad()
    def __call__(self, radiograph: Tensor) -> list[FoundHand]:
        """Find hands in a radiograph (1, H, W) in [0, 1], from left to right.

        Raises:
            InputError: the weights are missing or those of another network, or the radiograph has another shape.
        """
        if radiograph.ndim != 3 or len(radiograph) != 1 or min(radiograph.shape[-2:]) < SMALLEST:
            shape = tuple(radiograph.shape)
            msg = f"a radiograph of shape {shape}: pass (1, H, W) with sides of at least {SMALLEST} pixels."
            raise InputError(msg)
        self.load()
        shape = (radiograph.shape[-2], radiograph.shape[-1])
        clear = sorted(without_rivals(self._placements(radiograph), shape), key=lambda placement: placement.middle[0])
        return [found_hand(placement, shape) for placement in clear]

    def _placements(self, radiograph: Tensor) -> list[Placement]:
        """Placements of all hands; one hand may have several.

        The halves are searched if no hand fills the film, and the film in other orientations if no hand is found.
        """
        pyramid, height, width = Pyramid(radiograph), radiograph.shape[-2], radiograph.shape[-1]
        whole = film_matrix(height, width)
        placed = self._hands(pyramid, [whole], WHOLE_HANDS)
        if not any(placement.size >= WHOLE * max(height, width) for placement in placed):
            placed += self._hands(pyramid, [film_matrix(*box) for box in halves_of(height, width)], WHOLE_HANDS)
        return placed or self._hands(pyramid, _oriented(whole), CUT_HANDS)

    def _hands(self, radiograph: Pyramid, matrices: Sequence[Array], search: Search) -> list[Placement]:
        """Placements that show a hand, of the hands found in views of a film."""
        placed = []
        for matrix, fit in self._candidates(radiograph, matrices, search.least_fit)[: search.most]:
            for one in (fit, fit.rival):
                if one is not None and one.score >= max(search.least_fit, RIVAL * fit.score):
                    placed.append(self._placed(radiograph, compose(matrix, one.matrix), one.mirrored, search))
        return [placement for placement in placed if placement is not None]

    def _placed(self, radiograph: Pyramid, matrix: Array, mirrored: bool, search: Search) -> Placement | None:
        """Placement in the first of the upright crops of several sizes that shows a hand."""
        shape = (radiograph.levels[0].shape[-2], radiograph.levels[0].shape[-1])
        for size in search.sizes:
            placement = place_hand(radiograph, compose(matrix, resized(size)), mirrored, self.network.crop)
            if placement is not None and is_hand(placement, shape, search.least_score):
                return placement
        return None

    def _candidates(self, radiograph: Pyramid, matrices: Sequence[Array], least: float) -> list[tuple[Array, Fit]]:
        """Hands found in views of a film, each once: the view's matrix and the fit in it."""
        kept: list[tuple[Array, Fit]] = []
        for matrix, fit in sorted(self._fits(radiograph, matrices, least), key=lambda pair: -pair[1].score):
            if not any(_is_same(compose(matrix, fit.matrix), compose(other, best.matrix)) for other, best in kept):
                kept.append((matrix, fit))
        return kept

    def _fits(self, radiograph: Pyramid, matrices: Sequence[Array], least: float) -> list[tuple[Array, Fit]]:
        """Fits in views of a film, plain and inverted."""
        plain = [radiograph.view(matrix, FILM) for matrix in matrices]
        inverted = [radiograph.inverted(*pair) for pair in zip(matrices, plain, strict=True)]
        maps = probabilities(self.network.film(torch.stack([*plain, *inverted])))
        pairs = zip([*matrices, *matrices], maps, strict=True)
        return [(matrix, fit) for matrix, own in pairs for fit in fit_hands(peaks(own), least)]


def halves_of(height: int, width: int) -> list[tuple[float, float, float, float]]:
    """Boxes (height, width, top, left) of the two overlapping halves of a film, along its longest side."""
    if height >= width:
        return [(HALF * height, width, 0.0, 0.0), (HALF * height, width, (1.0 - HALF) * height, 0.0)]
    return [(height, HALF * width, 0.0, 0.0), (height, HALF * width, 0.0, (1.0 - HALF) * width)]


def _oriented(whole: Array) -> list[Array]:
    """Views of a film, given by the view of the whole film, rotated by quarter turns, at several magnifications."""
    turns = [0.5 * np.pi * quarters for quarters in range(4)]
    return [moved(whole, FILM, turn, scale, (0.0, 0.0), False) for scale in ORIENTED for turn in turns]


def resized(size: float) -> Array:
    """Matrix (2, 3) that scales the mean hand about its carpus."""
    carpus = MEAN_HAND[[index for index, landmark in enumerate(LANDMARKS) if landmark.joint == "CMC"]].mean(axis=0)
    return np.hstack([size * np.eye(2), ((1.0 - size) * carpus)[:, None]])


def _is_same(first: Array, second: Array) -> bool:
    """Whether two transforms of the mean hand (2, 3) place it over each other."""
    size = min(np.hypot(*first[:, 1]), np.hypot(*second[:, 1]))
    return bool(np.hypot(*(first[:, 2] - second[:, 2])) < SAME * size)


def without_rivals(placed: list[Placement], shape: tuple[int, int]) -> list[Placement]:
    """Keep one placement of each hand.

    Of two placements of a hand with the same chirality the better is kept. Two of different chirality are both dropped
    unless one is better by :data:`LEAD`.
    """
    kept: list[Placement] = []
    doubtful: list[Placement] = []
    for placement in sorted(placed, key=lambda placement: -score_of(placement, shape)):
        same = [other for other in kept if _is_same(placement.matrix, other.matrix)]
        for other in same:
            close = score_of(other, shape) - score_of(placement, shape) < LEAD
            if other.mirrored != placement.mirrored and close:
                doubtful.append(other)
        if not same:
            kept.append(placement)
    return [placement for placement in kept if not any(placement is other for other in doubtful)]
