"""Masks are read from every format, and refused where they cover nothing or everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle.io.reading import read_mask
from PIL import Image
from tests.io.pictures import SIZE, save, square
from tests.io.refusals import refusal


@pytest.mark.parametrize(
    ("suffix", "scale", "dtype"),
    [
        (".png", 1, np.uint8),
        (".png", 255, np.uint8),
        (".bmp", 255, np.uint8),
        (".png", 65535, np.uint16),
        (".nii.gz", 1, np.float32),
        (".nii.gz", 255, np.float32),
        (".tif", 255, np.float32),
    ],
)
def test_masks_of_any_full_scale_are_read(tmp_path: Path, suffix: str, scale: int, dtype: Any) -> None:
    mask = square(10, 30) > 0
    np.testing.assert_array_equal(read_mask(save(tmp_path / f"m{suffix}", mask.astype(dtype) * dtype(scale))), mask)


def test_a_one_bit_mask_is_read(tmp_path: Path) -> None:
    Image.fromarray(square(10, 30)).convert("1").save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), square(10, 30) > 0)


def test_a_mask_smeared_by_jpeg_is_mended(tmp_path: Path) -> None:
    path = save(tmp_path / "m.jpg", square(10, 30), quality=60)
    with Image.open(path) as picture:
        assert len(np.unique(np.asarray(picture))) > 2
    np.testing.assert_array_equal(read_mask(path), square(10, 30) > 0)


def test_a_label_map_is_no_mask(tmp_path: Path) -> None:
    labels = np.where(square(0, 20) > 0, 1, np.where(square(30, 50) > 0, 2, 0)).astype(np.uint8)
    message = refusal(read_mask, save(tmp_path / "m.png", labels))
    assert "values up to 2" in message and "its own file" in message


def test_an_empty_mask_is_refused_also_when_jpeg_made_it_noisy(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.zeros((SIZE, SIZE), np.uint8))
    assert refusal(read_mask, path).startswith(f"{path}: the mask is empty")
    noisy = np.random.default_rng(0).integers(0, 4, (SIZE, SIZE), dtype=np.uint8)
    assert "values up to 3" in refusal(read_mask, save(tmp_path / "noisy.png", noisy))


@pytest.mark.parametrize(("rows", "refused"), [(64, True), (61, True), (60, False)])
def test_a_mask_of_95_percent_of_the_frame_covers_it(tmp_path: Path, rows: int, refused: bool) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:rows] = 255
    path = save(tmp_path / "m.png", mask)
    if refused:
        assert "of the frame" in refusal(read_mask, path)
    else:
        assert read_mask(path).mean() == rows / SIZE
