"""The order of the pixels of a label map of a radiograph with an EXIF orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundle.io.reading import exif_orientation, read_radiograph
from PIL import Image
from scripts.monai_label.orientation import as_stored, upright

STORED = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9) * 4


def turned(path: Path, orientation: int) -> Path:
    """A picture with an EXIF orientation."""
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(STORED).save(path, exif=exif, quality=100)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_stored_pixels_become_those_that_the_separator_reads(tmp_path: Path, orientation: int, ending: str) -> None:
    path = turned(tmp_path / f"a.{ending}", orientation)
    assert exif_orientation(path) == orientation
    read = read_radiograph(path) * 255
    assert np.abs(upright(STORED, path) - read).max() < 3
    assert np.array_equal(as_stored(upright(STORED, path), path), STORED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_itk_itself_reverses_the_rows_and_columns_of_a_tiff_file(tmp_path: Path, orientation: int) -> None:
    path = turned(tmp_path / "a.tif", orientation)
    axes = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    read_by_itk = np.flip(STORED, axes)
    assert np.abs(upright(read_by_itk, path) - read_radiograph(path) * 255).max() < 0.01
    assert np.array_equal(as_stored(upright(read_by_itk, path), path), read_by_itk)


@pytest.mark.parametrize(("name", "content"), [("a.png", b"no picture"), ("a.dcm", b""), ("a.nii.gz", b"x")])
def test_other_files_have_no_orientation(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert exif_orientation(tmp_path / name) == 1
    assert exif_orientation(turned(tmp_path / "b.png", 9)) == 1
