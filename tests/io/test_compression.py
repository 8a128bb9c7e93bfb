"""Compressed radiographs: read back by other libraries, and the same bytes by zlib and by zlib-ng."""

from __future__ import annotations

import gzip
import io
import zlib

import numpy as np
import pytest
from bundle.io import compression, grey_png_bytes, gzip_bytes
from numpy.typing import NDArray
from PIL import Image


def noise(dtype: type, shape: tuple[int, ...] = (5, 7), seed: int = 0) -> NDArray[np.generic]:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def radiograph(side: int = 64) -> NDArray[np.uint16]:
    """A smooth gradient with the noise of a detector."""
    steady = np.linspace(20000, 40000, side * side).reshape(side, side)
    return (steady + np.random.default_rng(0).normal(0, 200, (side, side))).astype(np.uint16)


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (1, 9), (9, 1), (64, 48)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pillow_reads_every_pixel_of_a_png(dtype: type, shape: tuple[int, int]) -> None:
    pixels = noise(dtype, shape)
    with Image.open(io.BytesIO(grey_png_bytes(pixels))) as picture:
        assert np.array_equal(np.asarray(picture), pixels)


def test_pixels_may_lie_apart_in_memory_and_in_either_byte_order() -> None:
    pixels = noise(np.uint16, (10, 14))[::2, ::2]
    other = pixels.astype(pixels.dtype.newbyteorder())
    assert grey_png_bytes(pixels) == grey_png_bytes(np.ascontiguousarray(pixels)) == grey_png_bytes(other)


@pytest.mark.parametrize("pixels", [noise(np.uint8, (4, 4, 3)), noise(np.int32), noise(np.uint8, (4,))])
def test_other_pixels_than_grey_ones_are_refused(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="grey"):
        grey_png_bytes(pixels)


def test_gzip_gives_the_content_back_and_states_no_time() -> None:
    content = radiograph().tobytes()
    assert gzip.decompress(gzip_bytes(content)) == content
    assert gzip_bytes(content)[4:8] == bytes(4)


def test_zlib_and_zlib_ng_write_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    zlib_ng = pytest.importorskip("zlib_ng.zlib_ng", reason="zlib-ng is not installed")
    images = [radiograph(), radiograph(256), noise(np.uint8, (200, 300)), np.zeros((300, 300), np.uint8)]
    written = []
    for library in (zlib, zlib_ng):
        monkeypatch.setattr(compression, "_library", library)
        written.append([(grey_png_bytes(image), gzip_bytes(image.tobytes())) for image in images])
    assert written[0] == written[1]


def test_a_noisy_radiograph_is_at_most_a_twentieth_larger_than_by_pillow() -> None:
    pixels, content = radiograph(256), io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    assert len(grey_png_bytes(pixels)) < 1.05 * len(content.getvalue())
