"""Edges of a radiograph along the outlines of its masks: whether they coincide, how wide they are, what cuts them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Array = NDArray[np.floating[Any]]

FARTHEST_MM, NEAR_MM = 3.0, 0.5
"""Largest shift of a mask at which its edges are searched, and largest shift that counts as no shift."""

_ON, _APART = 0.75, 1.5
"""Pixels from an outline up to which it is sampled, and from the other bone from which it is."""

_SMOOTH = 1.5
"""Standard deviation in pixels of the Gaussian that smooths the gradients."""

_STRONG = 0.95
"""Quantile of the gradients' magnitude beyond which all edges count the same."""

_FEWEST = 30
"""Fewest pixels of an outline that is compared with edges."""

_ACROSS = np.arange(-8, 9)
"""Positions in pixels across an outline at which the width of its edge is measured."""

_FAINT = 0.3
"""Fraction of the faintest edges that are left out of the width."""

_ANGLES, _REACH = 90, 0.6
"""Number of directions of straight edges, and their smallest length relative to the height of the image."""

_TOUCHED_MM = 2.0
"""Smallest length of the outlines along a straight edge that cuts a bone."""


class Outline:
    """The pixels of an outline away from the other bone and from the border of the image.

    Args:
        distance: signed distance to the outline in pixels, positive inside, (H, W).
        other: signed distance to the outline of the other bone.

    Attributes:
        rows, columns: the pixels, (N,).
        inward: unit vectors (down, right) into the bone there, (2, N).
        shape: height and width of the image.
    """

    def __init__(self, distance: Array, other: Array) -> None:
        self.shape = distance.shape
        on = (np.abs(distance) < _ON) & (other < -_APART)
        on[[0, 1, -2, -1]] = on[:, [0, 1, -2, -1]] = False
        self.rows, self.columns = np.nonzero(on)
        self.inward = np.zeros((2, 0))
        if len(self.rows):
            inward = gradients(distance)[:, on]
            self.inward = inward / np.maximum(np.hypot(*inward), 1e-6)

    def __len__(self) -> int:
        return len(self.rows)


def gradients(image: Array, smooth: float = _SMOOTH) -> Array:
    """Gradient of an image (H, W), down and right, (2, H, W)."""
    ways = ((1, 0), (0, 1))
    return np.stack([ndimage.gaussian_filter(image, smooth, order=order, mode="nearest") for order in ways])


def limited(gradient: Array) -> Array:
    """Gradients (2, H, W) relative to a strong one, of at most the length 1."""
    length = np.hypot(*gradient)
    strong = max(float(np.quantile(length, _STRONG)), 1e-9)
    return np.asarray(gradient / np.maximum(length, strong))


def outline_fit(gradient: Array, outline: Outline, pitch: float) -> float:
    """Measure whether an outline lies where it follows the edges best.

    The edges along the outline, the mean of their gradients into the bone, are compared with those along the outline
    shifted by up to :data:`FARTHEST_MM` in any direction.

    Args:
        gradient: gradients of the attenuation (:func:`limited`).
        outline: outline of a bone.
        pitch: pixel size in mm.

    Returns:
        Edges at the outline relative to those at the best shift: 1 at the best place, hardly any at a wrong one; NaN
        for an outline of a few pixels.
    """
    if len(outline) < _FEWEST:
        return math.nan
    inward = np.zeros_like(gradient)
    inward[:, outline.rows, outline.columns] = outline.inward
    height, width = (fft.next_fast_len(2 * side, real=True) for side in outline.shape)
    first, second = (fft.rfft2(field, (height, width)) for field in (gradient, inward))
    found = fft.irfft2((first * second.conj()).sum(axis=0), (height, width))
    reach = round(FARTHEST_MM / pitch)
    found = np.roll(found, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    shifts = np.arange(-reach, reach + 1) * pitch
    far = np.hypot(shifts[:, None], shifts)
    best = float(found[far <= FARTHEST_MM].max())
    return max(float(found[far <= NEAR_MM].max()), 0.0) / best if best > 1e-9 else 0.0


def edge_width(absorbed: Array, outlines: tuple[Outline, ...], pitch: float) -> float:
    """Measure how wide the edges at outlines are: the standard deviation of a Gaussian blur, in mm.

    It is the median over the outlines of the step across an edge, divided by its largest slope.

    Args:
        absorbed: attenuation, (H, W).
        outlines: outlines of the bones.
        pitch: pixel size in mm.
    """
    steps, slopes = [], []
    for outline in outlines:
        down, right = (part[:, None] * _ACROSS for part in outline.inward)
        places = [outline.rows[:, None] + down, outline.columns[:, None] + right]
        profiles = ndimage.map_coordinates(absorbed, places, order=1, mode="nearest")
        steps.append(np.ptp(profiles, axis=1))
        slopes.append(np.abs(np.diff(profiles, axis=1)).max(axis=1, initial=0.0))
    step, slope = np.concatenate(steps), np.concatenate(slopes)
    kept = (step >= np.quantile(step, _FAINT)) & (slope > 0.0) if len(step) else step > 0.0
    return float(np.median(step[kept] / slope[kept]) / math.sqrt(2.0 * math.pi)) * pitch if kept.any() else math.nan


def straight_edge(radiograph: Array, masks: NDArray[np.bool_], pitch: float) -> float:
    """Measure the straightest edge across the image that limits a bone, such as that of a collimator.

    Args:
        radiograph: radiograph, (H, W).
        masks: masks of the bones, (2, H, W).
        pitch: pixel size in mm.

    Returns:
        Mean over a straight line of the gradient across it, relative to the gradient and twice its median in the
        image, in [0, 1]: 1 for an edge along the whole line. Lines have a length of at least :data:`_REACH` times the
        height of the image, and follow an outline for at least :data:`_TOUCHED_MM`.
    """
    gradient = gradients(radiograph, 0.7)
    length = np.hypot(*gradient)
    across = (gradient / (length + 2.0 * np.median(length) + 1e-9))[:, 1:-1, 1:-1].reshape(2, -1)
    height, width = radiograph.shape
    border = masks & ~ndimage.binary_erosion(masks, np.ones((1, 3, 3)), border_value=1)
    _, rows, columns = np.nonzero(border[:, 1:-1, 1:-1])
    touching = np.stack([rows, columns]) + 1 - _middle(height, width)
    count, best = height + width, 0.0
    for normal, line, pixels in _lines(height, width):
        edges = np.bincount(line, normal @ across, minlength=2 * count)
        beside = np.convolve(np.bincount(_line(normal @ touching, count), minlength=2 * count), np.ones(3), "same")
        long = (pixels >= _REACH * height) & (beside * pitch >= _TOUCHED_MM)
        best = max(best, float(np.abs(edges[long] / pixels[long]).max(initial=0.0)))
    return best


class _Lines(NamedTuple):
    """The straight lines of one direction across an image.

    Attributes:
        normal: unit vector (down, right) across the lines.
        line: number of the line of each pixel inside the border of the image.
        pixels: number of pixels of each line.
    """

    normal: Array
    line: NDArray[np.int64]
    pixels: NDArray[np.int64]


@lru_cache(maxsize=4)
def _lines(height: int, width: int) -> tuple[_Lines, ...]:
    """Lines of all directions across images of a size, which are the same for each radiograph."""
    places = np.mgrid[:height, :width][:, 1:-1, 1:-1].reshape(2, -1) - _middle(height, width)
    return tuple(_lines_across(angle, places, height + width) for angle in np.arange(_ANGLES) * (math.pi / _ANGLES))


def _lines_across(angle: float, places: Array, count: int) -> _Lines:
    normal = np.array([math.sin(angle), math.cos(angle)])
    line = _line(normal @ places, count)
    return _Lines(normal, line, np.bincount(line, minlength=2 * count))


def _middle(height: int, width: int) -> Array:
    return np.array([[height - 1], [width - 1]]) / 2


def _line(offset: Array, count: int) -> NDArray[np.int64]:
    """Number of the line of each offset from the image's middle along a normal; the middle is on line ``count``."""
    return np.asarray(np.round(offset) + count, dtype=np.int64)
