"""Pixel size of a radiograph from the size of the hand that it shows."""

from __future__ import annotations

import math

import numpy as np
from bundle.hands.found import FoundHand

PHALANX_MM = {"index": 39.8, "middle": 44.6, "ring": 41.4, "small": 32.7}
"""Mean length in mm of the proximal phalanges of 66 adults, from radiographs (Buryanov and Kotiuk, Proportions of Hand
Segments, Int J Morphol 28(3), 2010, 755-758); the standard deviations are 8.5 to 12 % of the means."""


def estimated_pixel_mm(hand: FoundHand) -> float:
    """Estimate the pixel size of a radiograph in mm, if its hand is that of an adult.

    It is the median over the fingers of the mean length of the proximal phalanx divided by its length in pixels, from
    the MCP to the PIP landmark. Because hands of adults differ in size, its standard deviation is about 10 %; for a
    child's hand it is too large. NaN if no phalanx was found.
    """
    ratios = [PHALANX_MM[finger] / length for finger in PHALANX_MM if (length := _phalanx(hand, finger)) > 0.0]
    return float(np.median(ratios)) if ratios else math.nan


def _phalanx(hand: FoundHand, finger: str) -> float:
    """Length of a proximal phalanx in pixels; 0 if one of its ends was not found or is refused."""
    ends = [hand.joint(finger, kind) for kind in ("MCP", "PIP")]
    if any(end is None or end.refused for end in ends):
        return 0.0
    (x0, y0), (x1, y1) = ((end.x, end.y) for end in ends if end is not None)
    return math.hypot(x1 - x0, y1 - y0)
