"""Random views of hands with their landmarks, for training the finder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from bundle.hands.artefacts import Random, changed_appearance, collimated, shuffled, texture
from bundle.hands.bending import Warp, bent, toes
from bundle.hands.landmarks import LANDMARKS, Array, apply, inverse, is_mirrored, similarity
from bundle.hands.views import CROP, FILM, Pyramid, Size, crop_points, film_matrix, moved, positions
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

LEAST = 5
"""Number of visible landmarks below which a view shows no hand."""


@dataclass(frozen=True, eq=False)
class HandPicture:
    """A hand radiograph in memory.

    Attributes:
        name: name of the file.
        radiograph: radiograph at several resolutions.
        points: landmarks in pixels of the radiograph, (24, 2).
    """

    name: str
    radiograph: Pyramid
    points: Array

    @property
    def shape(self) -> Size:
        """Height and width of the radiograph."""
        height, width = self.radiograph.levels[0].shape[-2:]
        return height, width


@dataclass(eq=False)
class View:
    """A view of a radiograph with the landmarks of its hands.

    Attributes:
        image: view, (1, H, W) in [0, 1].
        shown: pixels that show the radiograph, (H, W), bool.
        hands: landmarks of each hand in pixels of the view, (24, 2).
    """

    image: Tensor
    shown: Tensor
    hands: list[Array]

    def labels(self, slots: int) -> Tensor:
        """Landmarks as targets: x, y and whether the landmark is visible, (slots, 24, 3)."""
        found = np.zeros((slots, len(LANDMARKS), 3), np.float32)
        for slot, points in enumerate(self.hands):
            visible = self._visible(points)
            if visible.sum() >= LEAST:
                found[slot] = np.hstack([points, visible[:, None]])
        return torch.as_tensor(found)

    def _visible(self, points: Array) -> Any:
        height, width = self.shown.shape
        column, row = np.rint(points).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        return inside & self.shown.numpy()[row.clip(0, height - 1), column.clip(0, width - 1)]


def hand_view(hand: HandPicture, matrix: Array, size: Size, rng: Random, changed: Array | None = None) -> View:
    """Resample a hand to a view, with its fingers bent where ``changed`` gives their landmarks.

    Args:
        hand: hand.
        matrix: matrix (2, 3) from pixels of the view to pixels of the radiograph.
        size: height and width of the view.
        rng: random generator.
        changed: landmarks of the bent hand in pixels of the radiograph, (24, 2); default: the given ones.
    """
    places = positions(matrix, size) if changed is None else Warp(hand.points, changed).positions(matrix, size)
    points = apply(inverse(matrix), hand.points if changed is None else changed)
    height, width = hand.shape
    shown = ((places >= 0) & (places <= torch.tensor([width - 1.0, height - 1.0]))).all(dim=-1)
    image = hand.radiograph.view(matrix, size, places, "zeros" if rng.rand() < 0.7 else "border")
    return View(image, shown, [points])


def maybe_bent(hand: HandPicture, rng: Random) -> Array | None:
    """Landmarks of the hand with bent fingers, in 60 % of the views."""
    return bent(hand.points, rng) if rng.rand() < 0.6 else None


def halves(first: View, second: View, point: Array, normal: Array) -> View:
    """Combine two views at a line; each hand shows on its side of the line.

    Args:
        first: view of the side from which the normal points away.
        second: view of the side to which the normal points.
        point: point (x, y) of the line.
        normal: direction (x, y) across the line.
    """
    height, width = first.shown.shape
    y, x = np.mgrid[:height, :width]
    beyond = torch.as_tensor((x - point[0]) * normal[0] + (y - point[1]) * normal[1] > 0)
    hands = [
        *(_hidden(hand, point, normal) for hand in first.hands),
        *(_hidden(hand, point, -normal) for hand in second.hands),
    ]
    return View(torch.where(beyond, second.image, first.image), torch.where(beyond, second.shown, first.shown), hands)


def _hidden(points: Array, point: Array, normal: Array) -> Array:
    """Landmarks, with those beyond a line moved out of the view."""
    beyond = (points - point) @ normal > 0
    return np.where(beyond[:, None], -1e4, points)


def cut_off(view: View, rng: Random) -> View:
    """Cover one side of a view, as the edge of a detector does."""
    height, width = view.shown.shape
    turn = rng.choice(4) * np.pi / 2 + rng.normal(0, 0.1)
    normal = np.array([np.cos(turn), np.sin(turn)])
    middle = np.array([width, height]) / 2
    far = rng.uniform(0.0, 0.45) * (abs(normal[0]) * width + abs(normal[1]) * height)
    black = View(torch.full_like(view.image, float(rng.choice([0.0, 0.0, 1.0]))), torch.zeros_like(view.shown), [])
    return halves(view, black, middle + normal * far, normal)


class FilmViews:
    """Random views of films: one hand, two hands, or none; any rotation, mirrored, inverted, 0.5 to 1.6 times as large.

    Args:
        hands: all hands.
        scale: smallest and largest magnification relative to the view of a whole film.
        inverted: probability of inversion.
    """

    slots = 2

    def __init__(
        self, hands: Sequence[HandPicture], scale: tuple[float, float] = (0.5, 1.6), inverted: float = 0.35
    ) -> None:
        self.hands, self.scale, self.inverted = hands, scale, inverted

    def __call__(self, hand: HandPicture, rng: Random) -> tuple[Tensor, Tensor]:
        """Make a view (1, 128, 128) and its landmarks (2, 24, 3)."""
        kind = rng.choice(5, p=[0.58, 0.22, 0.07, 0.05, 0.08])
        make: Callable[[HandPicture, Random], View] = (self._one, self._two, _tiles, _nothing, _part)[kind]
        view = make(hand, rng)
        if rng.rand() < 0.12:
            view = cut_off(view, rng)
        image, labels = finished(view, rng, self.slots)
        return (1.0 - image if rng.rand() < self.inverted else image), labels

    def _one(self, hand: HandPicture, rng: Random) -> View:
        scale = _scale(self.scale, rng)
        shift = rng.uniform(-1, 1, 2) * FILM[0] * (0.1 + 0.35 * abs(np.log(scale)))
        matrix = moved(film_matrix(*hand.shape), FILM, _turn(rng), scale, shift, rng.rand() < 0.5)
        if rng.rand() < 0.06:
            return _foot(hand, matrix, FILM, rng)
        return hand_view(hand, matrix, FILM, rng, maybe_bent(hand, rng))

    def _two(self, hand: HandPicture, rng: Random) -> View:
        other = self.hands[rng.randint(len(self.hands))]
        scale, turn, mirrored = _scale((0.4, 1.15), rng), _turn(rng), rng.rand() < 0.5
        across = np.array([np.cos(turn), np.sin(turn)]) * FILM[0] * scale * rng.uniform(0.3, 0.42)
        middle = rng.uniform(-1, 1, 2) * FILM[0] * 0.2
        views = []
        for one, side, flip in ((hand, -1, mirrored), (other, 1, mirrored ^ (rng.rand() < 0.9))):
            own = turn + rng.normal(0, 0.2) + (np.pi if rng.rand() < 0.05 else 0.0)
            shift = middle + side * across
            matrix = moved(film_matrix(*one.shape), FILM, own, scale * rng.uniform(0.93, 1.07), shift, flip)
            views.append(hand_view(one, matrix, FILM, rng, maybe_bent(one, rng)))
        return halves(views[0], views[1], middle + (FILM[0] - 1) / 2, across / np.linalg.norm(across))


class CropViews:
    """Random upright crops of a hand, placed with some error; mirrored hands and other contents have no landmarks.

    Args:
        hands: all hands.
        rotation: standard deviation of the rotation in degrees.
        scale: standard deviation of the logarithm of the magnification.
        shift: standard deviation of the shift relative to the height of the crop.
    """

    slots = 1

    def __init__(
        self, hands: Sequence[HandPicture], rotation: float = 6.0, scale: float = 0.08, shift: float = 0.04
    ) -> None:
        self.hands, self.rotation, self.scale, self.shift = hands, rotation, scale, shift

    def __call__(self, hand: HandPicture, rng: Random) -> tuple[Tensor, Tensor]:
        """Make a crop (1, 288, 256) and its landmarks (1, 24, 3)."""
        kind = rng.choice(6, p=[0.82, 0.08, 0.03, 0.03, 0.02, 0.02])
        make: Callable[[HandPicture, Random], View] = (
            self._hand, self._mirrored, self._foot, self._tiles, _nothing_upright, _part_upright
        )[kind]  # fmt: skip
        view = make(hand, rng)
        if rng.rand() < 0.2:
            view = cut_off(view, rng)
        return finished(view, rng, self.slots)

    def _matrix(self, hand: HandPicture, points: Array, rng: Random, mirrored: bool = False) -> Array:
        straight = similarity(crop_points(), points, mirrored=is_mirrored(points))
        turn, scale = np.deg2rad(rng.normal(0, self.rotation)), float(np.exp(rng.normal(0, self.scale)))
        return moved(straight, CROP, turn, scale, rng.normal(0, self.shift, 2) * CROP[0], mirrored)

    def _hand(self, hand: HandPicture, rng: Random) -> View:
        changed = maybe_bent(hand, rng)
        matrix = self._matrix(hand, hand.points if changed is None else changed, rng)
        view = hand_view(hand, matrix, CROP, rng, changed)
        return self._beside(view, rng) if rng.rand() < 0.12 else view

    def _beside(self, view: View, rng: Random) -> View:
        """Show another hand beside the hand of a crop."""
        other = self.hands[rng.randint(len(self.hands))]
        side, mirrored = rng.choice([-1, 1]), rng.rand() < 0.8
        matrix = self._matrix(other, other.points, rng, mirrored)
        matrix = moved(matrix, CROP, 0.0, 1.0, [side * CROP[1] * rng.uniform(0.7, 0.95), 0.0], False)
        neighbour = hand_view(other, matrix, CROP, rng)
        edge = np.array([CROP[1] / 2 * (1 + side * rng.uniform(0.75, 0.95)), CROP[0] / 2])
        return halves(view, View(neighbour.image, neighbour.shown, []), edge, np.array([side, rng.normal(0, 0.1)]))

    def _mirrored(self, hand: HandPicture, rng: Random) -> View:
        view = hand_view(hand, self._matrix(hand, hand.points, rng, True), CROP, rng, maybe_bent(hand, rng))
        return View(view.image, view.shown, [])

    def _foot(self, hand: HandPicture, rng: Random) -> View:
        return _foot(hand, self._matrix(hand, hand.points, rng), CROP, rng)

    def _tiles(self, hand: HandPicture, rng: Random) -> View:
        view = hand_view(hand, self._matrix(hand, hand.points, rng), CROP, rng)
        return View(shuffled(view.image, rng), torch.ones_like(view.shown), [])


def finished(view: View, rng: Random, slots: int) -> tuple[Tensor, Tensor]:
    """Add collimators and the appearance of other sources to a view; returns it with its landmarks."""
    image, shown = view.image, view.shown
    if rng.rand() < 0.2:
        image, shown = collimated(image, shown, rng)
    return changed_appearance(image, rng), View(image, shown, view.hands).labels(slots)


def _scale(limits: tuple[float, float], rng: Random) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


def _turn(rng: Random) -> float:
    """Rotation in radians: near a quarter turn in half of the views, any in the others."""
    return float(rng.choice(4) * np.pi / 2 + rng.normal(0, 0.15) if rng.rand() < 0.5 else rng.uniform(0, 2 * np.pi))


def _foot(hand: HandPicture, matrix: Array, size: Size, rng: Random) -> View:
    view = hand_view(hand, matrix, size, rng, toes(hand.points, rng))
    return View(view.image, view.shown, [])


def _tiles(hand: HandPicture, rng: Random) -> View:
    matrix = moved(film_matrix(*hand.shape), FILM, _turn(rng), _scale((0.8, 1.6), rng), (0.0, 0.0), False)
    view = hand_view(hand, matrix, FILM, rng)
    return View(shuffled(view.image, rng), torch.ones_like(view.shown), [])


def _nothing(hand: HandPicture, rng: Random) -> View:
    return View(texture(FILM, rng), torch.ones(FILM, dtype=torch.bool), [])


def _nothing_upright(hand: HandPicture, rng: Random) -> View:
    return View(texture(CROP, rng), torch.ones(CROP, dtype=torch.bool), [])


def _part(hand: HandPicture, rng: Random, size: Size = FILM) -> View:
    """Show one joint and what is around it, 2 to 8 times as large as in a view of the whole film."""
    at = hand.points[rng.randint(len(LANDMARKS))] + rng.normal(0, 0.02, 2) * max(hand.shape)
    scale = _scale((2.0, 8.0), rng)
    shift = ((np.array([size[1], size[0]]) - 1) / 2 - apply(inverse(film_matrix(*hand.shape)), at)) * scale
    return hand_view(hand, moved(film_matrix(*hand.shape), size, _turn(rng), scale, shift, rng.rand() < 0.5), size, rng)


def _part_upright(hand: HandPicture, rng: Random) -> View:
    return _part(hand, rng, CROP)


class RandHandViewsd(Randomizable, MapTransform):
    """Random views of films, random upright crops of their hand, and their landmarks.

    Args:
        hands: hands from which neighbours are sampled.
        key: key of the :class:`HandPicture`.
        films: number of views of films.
        crops: number of upright crops.
    """

    def __init__(
        self, hands: Sequence[Mapping[str, HandPicture]], key: str = "hand", films: int = 4, crops: int = 1
    ) -> None:
        MapTransform.__init__(self, key)
        pictures = [sample[key] for sample in hands]
        self.kinds: tuple[tuple[str, int, FilmViews | CropViews], ...] = (
            ("film", films, FilmViews(pictures)),
            ("crop", crops, CropViews(pictures)),
        )

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Replace the hand by ``film`` and ``crop``, (views, 1, H, W), and their landmarks.

        These are ``film_points`` and ``crop_points``, (views, hands, 24, 3) (:meth:`View.labels`).
        """
        made: dict[Any, Any] = {}
        for name, count, kind in self.kinds:
            views, points = zip(*(kind(data[self.keys[0]], self.R) for _ in range(count)), strict=True)
            made[name], made[f"{name}_points"] = torch.stack(views), torch.stack(points)
        return made
