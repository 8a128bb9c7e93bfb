"""Images of a study: one grid, one crop, one encoding."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.reader_study.study_images import MAGNIFICATION, MARGIN, sample_offset, study_pixels, study_png
from PIL import Image
from torch.nn import functional as F


def frame(size: int, seed: int = 0) -> torch.Tensor:
    coarse = torch.from_numpy(np.random.RandomState(seed).rand(1, 1, 12, 12)).float()
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)[0].clamp(0, 1)


def test_frames_of_fine_pixels_give_images_of_one_size() -> None:
    shapes = {study_pixels(frame(size), 21.0 / size, (0, 0), "a").shape for size in (256, 300, 512)}
    assert shapes == {(MAGNIFICATION * (140 - 16 - 2 * MARGIN), MAGNIFICATION * (140 - 2 * MARGIN))}


@pytest.mark.parametrize("spacing_mm", [0.05, 21 / 256, 0.1, 0.15])
def test_every_frame_is_resampled_to_a_coarser_grid(spacing_mm: float) -> None:
    """No pixel of a frame is shown as it is: the finest pattern, which interpolation removes, is invisible."""
    size = round(21 / spacing_mm)
    board = torch.from_numpy(np.indices((size, size)).sum(axis=0) % 2).float()[None]
    assert study_pixels(board, spacing_mm, (0, 0), "a")[40:-40, 40:-40].std() < 255 * 0.05


def test_a_frame_and_the_same_frame_in_finer_pixels_look_alike() -> None:
    one = study_pixels(frame(256), 21 / 256, (0, 0), "a").astype(float)
    other = study_pixels(frame(512), 21 / 512, (0, 0), "a").astype(float)
    assert np.abs(one - other).mean() < 2.0


def test_an_offset_moves_the_joint_in_the_image() -> None:
    one, other = (study_pixels(frame(140), 0.15, offset, "a") for offset in ((0, 0), (3, -2)))
    inside = slice(40, -40)
    shifted = np.roll(one, (-2 * MAGNIFICATION, 3 * MAGNIFICATION), axis=(0, 1))
    assert np.array_equal(shifted[inside, inside], other[inside, inside])


def test_offsets_are_uniform() -> None:
    random = np.random.RandomState(0)
    offsets = np.array([sample_offset(random) for _ in range(4000)])
    counts = np.apply_along_axis(np.bincount, 0, offsets + MARGIN)
    assert counts.shape == (2 * MARGIN + 1, 2)
    assert counts.min() > 170 and counts.max() < 300
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.05


def test_a_png_is_what_it_encodes_and_its_size_depends_on_the_shape_alone() -> None:
    random = np.random.RandomState(0)
    images = [np.zeros((40, 60), np.uint8), random.randint(0, 256, (40, 60)).astype(np.uint8)]
    encoded = [study_png(pixels) for pixels in images]
    assert len({len(data) for data in encoded}) == 1
    for pixels, data in zip(images, encoded, strict=True):
        with Image.open(io.BytesIO(data)) as picture:
            picture.verify()
        picture = Image.open(io.BytesIO(data))
        assert np.array_equal(np.asarray(picture), pixels) and picture.mode == "L" and not picture.info


def test_a_png_has_no_chunk_besides_its_pixels() -> None:
    data, found, place = study_png(np.zeros((8, 8), np.uint8)), [], 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        found.append(data[place + 4 : place + 8])
        place += length + 12
    assert found == [b"IHDR", b"IDAT", b"IEND"]


@pytest.mark.parametrize(("size", "spacing", "message"), [(256, 0.2, "at most 0.15 mm"), (40, 0.15, "too small")])
def test_frames_without_enough_detail_are_refused(size: int, spacing: float, message: str) -> None:
    with pytest.raises(InputError, match=f"^hand 3: .*{message}"):
        study_pixels(frame(size), spacing, (0, 0), "hand 3")
