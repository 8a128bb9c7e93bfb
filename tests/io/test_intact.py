"""Damage of PNG and TIFF files that the decoder does not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle.errors import InputError
from bundle.io.reading import read_radiograph
from PIL import Image

DEFLATE = {"compression": "tiff_adobe_deflate"}
FORMATS: dict[str, dict[str, Any]] = {"a.png": {}, "b.tif": DEFLATE, "c.tif": {}, "d.tif": {"compression": "tiff_lzw"}}


@pytest.fixture
def pixels() -> Any:
    noise = np.random.default_rng(0).normal(0.0, 4.0, (90, 70))
    return (100 + np.mgrid[0:90, 0:70].sum(axis=0) * 0.5 + noise).astype(np.uint8)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB", "1", "I;16"])
def test_whole_files_are_read(tmp_path: Path, pixels: Any, name: str, mode: str) -> None:
    deep = Image.fromarray(pixels.astype(np.uint16) * 257)
    image = deep if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / name, **FORMATS[name])
    assert read_radiograph(tmp_path / name).shape == (90, 70)


@pytest.mark.parametrize("name", ["a.png", "b.tif"])
def test_no_changed_byte_of_a_file_with_checksums_gives_another_image(tmp_path: Path, pixels: Any, name: str) -> None:
    path, damaged = tmp_path / name, tmp_path / f"damaged_{name}"
    Image.fromarray(pixels).save(path, **FORMATS[name])
    whole, data = read_radiograph(path), path.read_bytes()
    first, last = 0, len(data)
    if name == "b.tif":  # the tags of a TIFF have no checksum
        with Image.open(path) as image:
            first, length = image.tag_v2[273][0], image.tag_v2[279][0]  # type: ignore[attr-defined]
        last = first + length
    places = {*range(last - 250, last), *range(first, last, 37)}
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 0x41
        damaged.write_bytes(changed)
        try:
            assert np.array_equal(read_radiograph(damaged), whole), place
        except InputError as error:
            assert "cannot be read" in str(error) or "Convert" in str(error) or "samples" in str(error)


@pytest.mark.parametrize(("tag", "value"), [(256, 60), (257, 80), (279, 60 * 90), (278, 40)])
def test_a_tiff_whose_strips_do_not_fit_its_size_is_refused(tmp_path: Path, pixels: Any, tag: int, value: int) -> None:
    path = tmp_path / "c.tif"
    Image.fromarray(pixels).save(path)
    data = bytearray(path.read_bytes())
    entry = next(at for at in range(10, len(data), 12) if int.from_bytes(data[at : at + 2], "little") == tag)
    count = 2 if data[entry + 2] == 3 else 4
    data[entry + 8 : entry + 8 + count] = value.to_bytes(count, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"c\.tif: the image cannot be read \(strips of"):
        read_radiograph(path)


def test_a_png_without_its_end_is_refused(tmp_path: Path, pixels: Any) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-12])
    with pytest.raises(InputError, match="or the end is missing"):
        read_radiograph(tmp_path / "a.png")
