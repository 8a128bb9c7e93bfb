"""The displacement of the bones sideways is that of masks that are moved by known lengths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from bundle.measurement import displacement
from numpy.typing import NDArray

PIXEL = 0.1

Mask = NDArray[np.bool_]


def bones(shift_mm: float, base_mm: float = 10.0) -> tuple[Mask, Mask]:
    """A lower bone 10 mm wide, and an upper bone of a given width whose middle lies to the right of its middle."""
    lower, upper = np.zeros((2, 200, 200), bool)
    lower[110:, 50:150] = True
    middle, half = 100 + shift_mm / PIXEL, base_mm / PIXEL / 2
    upper[:100, round(middle - half) : round(middle + half)] = True
    return lower, upper


@pytest.mark.parametrize("shift", [-4.0, -1.5, 0.0, 3.0])
def test_a_displacement_has_its_length_and_sign(shift: float) -> None:
    assert displacement(*bones(shift), PIXEL) == pytest.approx(shift)
    lower, upper = bones(shift)
    assert displacement(lower[::2, ::2], upper[::2, ::2], 2 * PIXEL) == pytest.approx(shift, abs=0.2)


@pytest.mark.parametrize("base", [7.0, 13.0])
def test_a_base_of_another_width_is_not_displaced(base: float) -> None:
    assert displacement(*bones(0.0, base), PIXEL) == 0.0
    assert displacement(*bones(1.0, base), PIXEL) == 0.0
    assert displacement(*bones(3.0, base), PIXEL) == pytest.approx(1.5)


def test_a_bone_that_the_frame_cuts_is_displaced_less_never_more() -> None:
    whole = bones(3.0)
    for first in (10, 60, 90):
        cut = [mask[:, first:] for mask in whole]
        assert 0.0 <= displacement(cut[0], cut[1], PIXEL) <= 3.0 + 1e-9


def test_an_empty_mask_has_none() -> None:
    lower, upper = bones(0.0)
    assert math.isnan(displacement(np.zeros_like(lower), upper, PIXEL))
    assert math.isnan(displacement(lower, np.zeros_like(upper), PIXEL))
