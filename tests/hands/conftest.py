"""A folder of drawn hands in the layout of the public one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bundle.hands.landmarks import ATLAS_POINTS
from PIL import Image
from tests.hands.hand_drawings import drawing, placed

REDUCTION = 4
"""Pixels of 0.4 mm: the drawn hands are as large as those of a small child, and a window of 24 mm shows one joint."""


def write_hands(folder: Path, count: int) -> Path:
    """Write a folder of drawn hands with ``landmarks.csv``."""
    rows = []
    for number in range(count):
        points = placed(240.0, (140.0, 160.0), 4.0 * (number % 5 - 2))
        image = drawing((320, 280), [points], 240.0, 0.036)
        Image.fromarray((image[0].numpy() * 255).round().astype(np.uint8)).save(folder / f"{number:04d}.png")
        row = {
            "name": f"{number:04d}",
            "reduction": REDUCTION,
            **{f"{axis}{index}": 0.0 for index in range(37) for axis in "xy"},
        }
        for index, (x, y) in zip(ATLAS_POINTS, points, strict=True):
            row |= {f"x{index}": x, f"y{index}": y}
        rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "landmarks.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def hands_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn hands."""
    return write_hands(tmp_path_factory.mktemp("hands"), 8)
