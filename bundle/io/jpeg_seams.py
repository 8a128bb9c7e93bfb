"""Seams between the blocks of a JPEG image, left by a damaged scan."""

from __future__ import annotations

import numpy as np
from bundle.io.jpeg import Unit
from bundle.io.jpeg_scans import demand
from numpy.typing import NDArray

FEWEST = 8
"""Smallest number of MCUs along each side of an image that is checked for seams; in smaller ones bone edges resemble
seams."""

LONGEST_CHANCE = 3
"""Smallest number of MCUs of either part of a seam."""

SHIFT = 3.5
"""Largest step along the border of blocks in an intact image, in grey levels of 255. Public radiographs have at most
2.5."""

EVEN = 0.25
"""Largest relative deviation of the steps along a whole row of blocks; those of edges in a radiograph vary more."""

SPOILT = 3.5
"""Largest step around a block in an intact image, in multiples of the usual step."""

LARGEST = 512 * 512
"""Number of pixels up to which single blocks are checked. In whole hands, burned-in text and strong compression give
larger steps in 8 of 112 intact images, and damage in 1 of 15 damaged ones."""


def check_seams(pixels: NDArray[np.float32], unit: Unit) -> None:
    """Check that no step, as left by a damaged byte, runs along the blocks of a decoded radiograph.

    Args:
        pixels: stored grey values from 0 to 255, (H, W).
        unit: height and width of the MCUs in pixels (:func:`check_jpeg`).

    Raises:
        DamagedJpegError: a step is found.
    """
    if not all(unit) or any(length < FEWEST * size for length, size in zip(pixels.shape, unit, strict=True)):
        return
    rows = _steps(pixels, *unit)
    shift = max(_staircase(rows), _level(rows)) / max(float(np.median(np.abs(rows))), 1.0)
    demand(shift <= SHIFT, f"its grey level shifts by {shift:.0f} of 255 from one block on")
    fits = pixels.size > LARGEST or _spoilt(pixels) <= SPOILT
    demand(fits, "one of its blocks does not fit those around it")


def _steps(pixels: NDArray[np.float32], height: int, width: int, absolute: bool = False) -> NDArray[np.float32]:
    """Steps across the lower border of each block, except in the last row, beyond the slope on either side."""
    whole = pixels[: len(pixels) // height * height, : pixels.shape[1] // width * width]
    below = np.arange(height, len(whole), height)
    one, two, three, four = (whole[below + shift] for shift in (-2, -1, 0, 1))
    found = (three - two) - 0.5 * ((two - one) + (four - three))
    blocks = (np.abs(found) if absolute else found).reshape(len(below), -1, width)
    mean: NDArray[np.float32] = blocks.mean(axis=-1)
    return mean


def _staircase(steps: NDArray[np.float32]) -> float:
    """The largest step that runs above all blocks from one on, and below all blocks before it in the same row."""
    most = 0.0
    for column in range(LONGEST_CHANCE, steps.shape[1] - LONGEST_CHANCE + 1):
        above = np.median(steps[:-1, column:], axis=1)
        below = np.median(steps[1:, :column], axis=1)
        both = np.where(above * below > 0.0, np.minimum(np.abs(above), np.abs(below)), 0.0)
        most = max(most, float(both.max()))
    return most


def _level(steps: NDArray[np.float32]) -> float:
    """The largest step that is the same along a whole row: a shift that begins near one of its ends."""
    middle = np.median(steps, axis=1)
    spread = np.median(np.abs(steps - middle[:, None]), axis=1)
    return float(np.where(spread < EVEN * np.abs(middle), np.abs(middle), 0.0).max())


def _spoilt(pixels: NDArray[np.float32]) -> float:
    """The largest step all around a block of 8 x 8 pixels, in multiples of the usual step plus one grey level."""
    rows, columns = _steps(pixels, 8, 8, absolute=True), _steps(pixels.T, 8, 8, absolute=True).T
    around = np.minimum(np.minimum(rows[:-1, 1:-1], rows[1:, 1:-1]), np.minimum(columns[1:-1, :-1], columns[1:-1, 1:]))
    return float(around.max()) / (float(np.median(rows)) + 1.0)
