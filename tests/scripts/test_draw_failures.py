from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scripts import draw_failures


@pytest.mark.long
def test_the_picture_has_the_worst_phantoms_and_the_misplaced_mask(tmp_path: Path) -> None:
    draw_failures.main([str(tmp_path / "failures.png"), "--phantoms", "3", "--worst", "2"])
    picture = np.asarray(Image.open(tmp_path / "failures.png"))
    one = 256 + 4
    assert picture.shape[0] == 3 * (one + 20) + 20 + 4
    assert picture.shape[1] == len(draw_failures.TITLES) * one + 4
    errors = picture[40 : 40 + 256, 3 * one + 4 : 3 * one + 4 + 256]
    assert (errors >= 254).all(axis=-1).mean() > 0.3, "where there is no bone, there is no error"
    assert (errors < 254).any()
