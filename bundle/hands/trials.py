"""Films with known contents on which the finder is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from bundle.hands.artefacts import shuffled, texture
from bundle.hands.data import read_hand
from bundle.hands.landmarks import INDEX, Array, Landmark, is_mirrored
from bundle.phantoms import render, sample_parameters
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Film:
    """A radiograph with known hands.

    Attributes:
        condition: condition of the trial, such as ``one hand``.
        name: name of the hand and of the change.
        image: radiograph, (1, H, W).
        hands: landmarks of each hand in pixels, (24, 2); those that lie outside were cut off.
        pixel_mm: pixel size in mm.
        inverted: whether bone is dark.
    """

    condition: str
    name: str
    image: Tensor
    hands: tuple[Array, ...]
    pixel_mm: float
    inverted: bool = False


def whole_film(item: Mapping[str, Any]) -> Film:
    """Read the radiograph of an item of :func:`bundle.hands.hand_items`."""
    return Film("one hand", item["name"], read_hand(item), (item["points"],), item["pixel_mm"])


def turned(film: Film, quarters: int, mirrored: bool, inverted: bool) -> Film:
    """Rotate a film by quarter turns counterclockwise, then mirror and invert it."""
    image, hands = film.image, list(film.hands)
    for _ in range(quarters):
        width = image.shape[-1]
        image = image.rot90(1, (1, 2))
        hands = [np.stack([points[:, 1], width - 1 - points[:, 0]], axis=1) for points in hands]
    if mirrored:
        image = image.flip(2)
        hands = [np.stack([image.shape[-1] - 1 - points[:, 0], points[:, 1]], axis=1) for points in hands]
    image = 1.0 - image if inverted else image
    name = f"{film.name} {90 * quarters} degrees{' mirrored' * mirrored}{' inverted' * inverted}"
    return Film(film.condition, name, image.contiguous(), tuple(hands), film.pixel_mm, inverted)


def turned_films(film: Film) -> Iterator[Film]:
    """A film in all eight orientations, plain and inverted."""
    for inverted in (False, True):
        for mirrored in (False, True):
            for quarters in range(4):
                yield turned(film, quarters, mirrored, inverted)


def two_hands(first: Film, second: Film, rng: np.random.RandomState) -> Film:
    """Show two hands side by side: the first, and the second mirrored, at the pixel size of the coarser one."""
    pixel = max(first.pixel_mm, second.pixel_mm)
    films = [_resized(one, pixel) for one in (first, turned(second, 0, True, False))]
    films = films[:: rng.choice([-1, 1])]
    height = max(one.image.shape[-2] for one in films)
    images, hands, left = [], [], 0
    for one in films:
        top = int(rng.randint(0, height - one.image.shape[-2] + 1))
        images.append(F.pad(one.image, [0, 0, top, height - one.image.shape[-2] - top]))
        hands += [points + np.array([left, top]) for points in one.hands]
        left += one.image.shape[-1]
    name = f"{first.name} and {second.name}"
    return Film("two hands", name, torch.cat(images, dim=2), tuple(hands), pixel)


def _resized(film: Film, pixel_mm: float) -> Film:
    factor = film.pixel_mm / pixel_mm
    size = [round(factor * length) for length in film.image.shape[-2:]]
    image = F.interpolate(film.image[None], size=size, mode="bilinear", antialias=True)[0].clamp(0.0, 1.0)
    scale = np.array([size[1] / film.image.shape[-1], size[0] / film.image.shape[-2]])
    hands = tuple((points + 0.5) * scale - 0.5 for points in film.hands)
    return Film(film.condition, film.name, image, hands, pixel_mm)


def cut_at_pips(film: Film) -> Film:
    """Cut an upright hand off at the PIP joint that lies lowest."""
    fingers = ("index", "middle", "ring", "small")
    top = int(np.ceil(max(film.hands[0][INDEX[Landmark(finger, "PIP")], 1] for finger in fingers)))
    hands = tuple(points - np.array([0, top]) for points in film.hands)
    return Film("cut at the PIP joints", film.name, film.image[:, top:], hands, film.pixel_mm)


def without_hands(films: Sequence[Film], rng: np.random.RandomState) -> Iterator[Film]:
    """Films that show no hand: tiles of hands, wrists, single joints, textures and phantoms of single joints."""
    for film in films:
        yield _empty("tiles", film, shuffled(film.image, rng))
        yield _empty("wrist", film, _wrist(film))
        for landmark in (Landmark("middle", "PIP"), Landmark("index", "MCP"), Landmark("thumb", "MCP")):
            yield _empty(f"{landmark.joint} {landmark.finger}", film, _around(film, INDEX[landmark], 12.0))
    for number in range(len(films)):
        yield Film("no hand", f"texture {number}", texture((400, 300), rng), (), 0.2)
        phantom = render(sample_parameters(int(rng.randint(2**31))))
        yield Film("no hand", f"phantom {number}", phantom.image[:1].float(), (), 0.1)


def _empty(what: str, film: Film, image: Tensor) -> Film:
    return Film("no hand", f"{film.name} {what}", image, (), film.pixel_mm)


def _wrist(film: Film) -> Tensor:
    """The part of an upright hand below the CMC joints, with half of the metacarpals."""
    points = film.hands[0]
    middle = [points[INDEX[Landmark("middle", joint)], 1] for joint in ("CMC", "MCP")]
    return film.image[:, max(int(np.mean(middle)), 0) :]


def _around(film: Film, index: int, reach_mm: float) -> Tensor:
    x, y = film.hands[0][index]
    reach = reach_mm / film.pixel_mm
    rows, columns = (slice(max(int(at - reach), 0), int(at + reach)) for at in (y, x))
    return film.image[:, rows, columns]


def left_as_displayed(points: Array) -> str:
    """Side of a hand as displayed, from its landmarks (24, 2)."""
    return "right" if is_mirrored(points) else "left"
