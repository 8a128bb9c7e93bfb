"""A damaged JPEG is refused; a whole one of any sampling, quality and size is not."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle.errors import InputError
from bundle.io.jpeg import check_jpeg
from bundle.io.jpeg_scans import DamagedJpegError
from bundle.io.jpeg_seams import check_seams
from bundle.io.reading import decode_picture, read_mask
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from numpy.typing import NDArray
from PIL import Image


def radiograph(height: int = 128, width: int = 128, noise: float = 2.0) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width] / 128.0
    shade = 90.0 + 60.0 * np.cos(5.0 * x) * np.sin(4.0 * y + 1.0) + 40.0 * (np.hypot(x - 0.5, y - 0.4) < 0.3)
    return (shade + noise * np.random.default_rng(0).standard_normal(shade.shape)).clip(0, 255).astype(np.uint8)


def jpeg(pixels: NDArray[np.uint8], mode: str = "L", **options: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(content, format="JPEG", **options)
    return content.getvalue()


@pytest.mark.parametrize("noise", [0.0, 2.0, 60.0])
@pytest.mark.parametrize("shape", [(128, 128), (65, 130), (8, 8), (1, 3)])
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 30},
        {"quality": 100},
        {"optimize": True},
        {"progressive": True},
        {"restart_marker_blocks": 5},
        {"mode": "RGB", "subsampling": 0},
        {"mode": "RGB", "subsampling": 1},
        {"mode": "RGB", "subsampling": 2},
        {"mode": "RGB", "subsampling": 2, "restart_marker_rows": 1},
    ],
)
def test_a_whole_file_is_read(options: dict[str, Any], shape: tuple[int, int], noise: float) -> None:
    assert decode_picture(jpeg(radiograph(*shape, noise), **options), "a.jpg").shape == shape


def test_a_mask_with_edges_along_blocks_is_read(tmp_path: Path) -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[64:, :], mask[56:64, :40], mask[16:24, 16:24] = 255, 255, 255
    (tmp_path / "a.jpg").write_bytes(jpeg(mask, quality=100))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.jpg"), mask > 0)


def refusal(data: bytes) -> str:
    with pytest.raises(DamagedJpegError) as caught:
        check_jpeg(data)
    with pytest.raises(InputError, match=r"a\.jpg"):
        decode_picture(data, "a.jpg")
    return str(caught.value)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_damage_that_decoders_fill_up_is_named(mode: str) -> None:
    whole = jpeg(radiograph(), mode)
    scan = whole.rindex(b"\xff\xda")
    height = whole.index(b"\xff\xc0") + 5
    assert "truncated" in refusal(whole[:-2])
    assert refusal(whole[: scan + 400] + b"\xff\xd9")
    assert "more data" in refusal(whole[:height] + (64).to_bytes(2, "big") + whole[height + 2 :])
    assert "between its segments" in refusal(whole[:2] + b"junk" + whole[2:])
    tables = whole.index(b"\xff\xc4") + 5
    assert "Huffman table" in refusal(whole[:tables] + b"\xff" + whole[tables + 1 :])


@pytest.mark.parametrize("progressive", [False, True], ids=["sequential", "progressive"])
def test_a_changed_step_of_quantisation_is_found(progressive: bool) -> None:
    whole = jpeg(radiograph(), quality=90, progressive=progressive)
    steps = whole.index(b"\xff\xdb") + 5
    for place in range(64):
        changed = bytes([whole[steps + place] * 8])
        refusal(whole[: steps + place] + changed + whole[steps + place + 1 :])
    assert "quantisation table" in refusal(whole[: steps + 40] + b"\x01" + whole[steps + 41 :])


def test_tables_of_every_quality_are_even() -> None:
    for quality in range(1, 101):
        check_jpeg(jpeg(radiograph(16, 16), quality=quality))


def test_a_scan_that_a_progressive_file_lacks_is_missed() -> None:
    whole = jpeg(radiograph(), progressive=True)
    scans = [place for place in range(len(whole)) if whole[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 3
    assert "lacks scans" in refusal(whole[: scans[-1]] + b"\xff\xd9")
    assert "order" in refusal(whole[: scans[-1]] + whole[scans[0] :])


@pytest.mark.parametrize("quality", [75, 95])
def test_a_shift_of_all_that_follows_is_found_wherever_it_begins(quality: int) -> None:
    pixels = decode_picture(jpeg(radiograph(256, 256), quality=quality), "a.jpg") * 255.0
    check_seams(pixels, (8, 8))
    for begin in (97, 100, 112, 126, 127, 128):
        shifted = pixels.reshape(32, 8, 32, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8).copy()
        shifted[begin:] += 20.0
        changed = shifted.reshape(32, 32, 8, 8).transpose(0, 2, 1, 3).reshape(256, 256)
        with pytest.raises(DamagedJpegError, match="grey level shifts"):
            check_seams(changed, (8, 8))


def test_restart_markers_must_be_there_in_order() -> None:
    whole = jpeg(radiograph(), restart_marker_blocks=16)
    assert "out of order" in refusal(whole.replace(b"\xff\xd1", b"\xff\xd2", 1))
    assert refusal(whole.replace(b"\xff\xd1", b"", 1))


@pytest.mark.slow
@pytest.mark.parametrize("progressive", [False, True], ids=["sequential", "progressive"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_one_changed_byte_is_seldom_visible_and_accepted(mode: str, progressive: bool) -> None:
    """Of 100 random changes at most 5 % may give a picture that is visibly another one."""
    whole = jpeg(radiograph(256, 256), mode, quality=90, progressive=progressive)
    rng, wrong = random.Random(0), 0
    picture = decode_picture(whole, "a.jpg")
    for _ in range(100):
        place = rng.randrange(len(whole))
        changed = bytes([whole[place] ^ rng.randrange(1, 256)])
        try:
            found = decode_picture(whole[:place] + changed + whole[place + 1 :], "a.jpg")
        except InputError:
            continue
        difference = np.abs(found - picture) if found.shape == picture.shape else np.ones(1)
        wrong += bool((difference > 8 / 255).mean() > 0.002 or difference.mean() > 2 / 255)
    assert wrong <= 5, wrong


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [64, 128, 256])
def test_no_phantom_has_seams(mode: str, size: int) -> None:
    for seed in range(4):
        image = render(sample_parameters(seed, size=size, spacing=21 / size)).image
        pixels = (255.0 * image[0]).round().byte().numpy()
        for quality in (50, 75, 95):
            decode_picture(jpeg(pixels, mode, quality=quality), f"{seed}.jpg")
