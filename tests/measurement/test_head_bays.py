from __future__ import annotations

import math

import numpy as np
import pytest
from bundle.measurement import head_bays
from numpy.typing import NDArray

PIXEL = 0.1


def bone() -> NDArray[np.bool_]:
    """A round head of 6 mm radius on a shaft of 8 mm."""
    y, x = np.mgrid[:200, :200]
    head = (x - 100) ** 2 + (y - 90) ** 2 <= 60**2
    return np.asarray(head | ((abs(x - 100) <= 40) & (y > 90)))


def test_a_round_head_has_hardly_any_bays_at_any_resolution() -> None:
    assert 0.0 <= head_bays(bone(), PIXEL) < 0.02
    assert head_bays(bone()[::2, ::2], 2 * PIXEL) < 0.03


@pytest.mark.parametrize("side", [slice(60, 85), slice(115, 140)])
def test_a_mask_that_also_covers_a_part_of_the_phalanx_has_large_bays(side: slice) -> None:
    mask = bone()
    mask[5:60, side] = True
    assert head_bays(mask, PIXEL) > 0.1


def test_a_shaft_narrower_than_the_head_is_no_bay() -> None:
    mask = bone()
    mask[150:, :85] = mask[150:, 115:] = False
    assert head_bays(mask, PIXEL) < 0.02


def test_an_empty_mask_has_none() -> None:
    assert math.isnan(head_bays(np.zeros((20, 20), bool), PIXEL))
