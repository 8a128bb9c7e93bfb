"""What is read is what was written; what cannot be used is refused by name with the reason."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from bundle.errors import InputError
from bundle.io import nifti
from bundle.io.points import read_places
from bundle.io.reading import read_mask, read_radiograph, read_stated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile
from tests.io.pictures import SIZE, radiograph, save, square
from tests.io.refusals import refusal


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_lossless_grey_is_read_exactly(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(radiograph()).convert(mode).save(path)
    np.testing.assert_array_equal(read_radiograph(path), radiograph() / np.float32(255))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_grey_jpeg_is_read(tmp_path: Path, mode: str) -> None:
    Image.fromarray(radiograph()).convert(mode).save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(read_radiograph(tmp_path / "a.jpg"), radiograph() / 255, atol=3 / 255)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_intensity_is_transposed_and_not_scaled(tmp_path: Path, suffix: str) -> None:
    values = radiograph() / np.float32(300)
    np.testing.assert_array_equal(read_radiograph(save(tmp_path / f"a{suffix}", values)), values)


def test_a_float_tiff_holds_the_intensity_itself(tmp_path: Path) -> None:
    values = radiograph() / np.float32(300)
    np.testing.assert_array_equal(read_radiograph(save(tmp_path / "a.tif", values)), values)


def test_a_palette_of_greys_is_grey(tmp_path: Path) -> None:
    Image.fromarray(square(3, 9)).convert("P").save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.bmp"), square(3, 9) / np.float32(255))


def test_channels_may_differ_by_two_of_255_and_no_more(tmp_path: Path) -> None:
    pixels = np.repeat(radiograph()[..., None], 3, axis=-1)
    pixels[5, 5, 0] += 2
    within = read_radiograph(save(tmp_path / "within.png", pixels))
    np.testing.assert_allclose(within, radiograph() / 255, atol=1 / 255)
    pixels[5, 5, 0] += 1
    message = refusal(read_radiograph, save(tmp_path / "beyond.png", pixels))
    assert "colour image" in message and "differ by up to 3" in message and "beyond.png" in message


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_other_colour_spaces_are_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(radiograph()).convert("RGB").convert(mode).save(tmp_path / "a.tif")
    assert mode in refusal(read_radiograph, tmp_path / "a.tif")


def test_transparency_is_refused(tmp_path: Path) -> None:
    pixels = np.full((SIZE, SIZE, 4), 200, np.uint8)
    assert "alpha channel" in refusal(read_radiograph, save(tmp_path / "a.png", pixels))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_read_by_its_full_scale(tmp_path: Path, suffix: str) -> None:
    values = radiograph().astype(np.uint16) * 257
    values[0, :3] = [32768, 40001, 65535]
    found = read_radiograph(save(tmp_path / f"a{suffix}", values))
    np.testing.assert_array_equal(found, values.astype(np.float32) / np.float32(65535))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [10, 12, 15])
def test_fewer_bits_in_a_sixteen_bit_file_are_refused_with_the_conversion(
    tmp_path: Path, suffix: str, bits: int
) -> None:
    path = save(tmp_path / f"a{suffix}", np.minimum(radiograph().astype(np.uint16) * 257, 2**bits - 1))
    message = refusal(read_radiograph, path)
    assert "16-bit" in message and f"up to {2**bits - 1:g}" in message and str(path) in message
    assert "0 to 65535" in message and "float NIfTI" in message and "absorbed fraction" in message


def test_sixteen_bit_colour_is_refused_although_pillow_shortens_it(tmp_path: Path) -> None:
    pixels = np.repeat(radiograph().astype(">u2")[..., None] * 257, 3, axis=-1)
    (tmp_path / "a.png").write_bytes(sixteen_bit_colour_png(pixels))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "RGB"
    assert "16-bit" in refusal(read_radiograph, tmp_path / "a.png")
    assert "16-bit" in refusal(read_mask, tmp_path / "a.png")


def sixteen_bit_colour_png(pixels: NDArray[np.uint16]) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nifti_that_is_not_finite_is_refused(tmp_path: Path, bad: float) -> None:
    values = radiograph() / np.float32(300)
    values[3, 4] = bad
    path = save(tmp_path / "a.nii.gz", values)
    message = refusal(read_radiograph, path)
    assert "1 NaN or infinite" in message and str(path) in message
    assert "NaN" in refusal(read_mask, path)


@pytest.mark.parametrize(("bad", "range_"), [(1.5, "to 1.5"), (-0.25, "from -0.25")])
def test_nifti_outside_the_unit_range_is_refused(tmp_path: Path, bad: float, range_: str) -> None:
    values = radiograph() / np.float32(300)
    values[3, 4] = bad
    message = refusal(read_radiograph, save(tmp_path / "a.nii", values))
    assert range_ in message and "absorbed fraction" in message


@pytest.mark.parametrize("shape", [(8, 8, 2), (8, 8, 1, 3), (8,)])
def test_nifti_of_more_than_one_slice_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), tmp_path / "a.nii")
    assert "not one 2D image" in refusal(read_radiograph, tmp_path / "a.nii")


def test_a_nifti_with_trailing_axes_of_one_is_two_dimensional(tmp_path: Path) -> None:
    values = radiograph() / np.float32(300)
    nib.save(nib.Nifti1Image(values.T[:, :, None, None], np.eye(4)), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.nii.gz"), values)


def test_a_file_of_several_images_is_refused(tmp_path: Path) -> None:
    frame = Image.fromarray(radiograph())
    frame.save(tmp_path / "a.tif", save_all=True, append_images=[frame])
    assert "2 images in one file" in refusal(read_radiograph, tmp_path / "a.tif")


@pytest.mark.parametrize("tolerant", [False, True])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.999])
def test_a_truncated_jpeg_is_refused_even_where_pillow_would_fill_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: float, tolerant: bool
) -> None:
    path = save(tmp_path / "a.jpg", radiograph(), quality=95)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    message = refusal(read_radiograph, path)
    assert "truncated" in message and str(path) in message


def test_bytes_after_the_end_of_a_jpeg_do_not_matter(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", radiograph())
    whole = read_radiograph(path)
    path.write_bytes(path.read_bytes() + b"made by a camera")
    np.testing.assert_array_equal(read_radiograph(path), whole)


def test_a_nifti_file_is_not_unpacked_beyond_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(10**6)))
    monkeypatch.setattr(nifti, "LARGEST", 10**5)
    with pytest.raises(InputError, match=r"a\.nii\.gz: the image cannot be read \(more than 100000 bytes unpacked\)"):
        read_radiograph(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5])
def test_other_truncated_files_are_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    path = save(tmp_path / f"a{suffix}", pixels)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    message = refusal(read_radiograph, path)
    assert "cannot be read" in message and str(path) in message


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert refusal(read_radiograph, tmp_path / "a.png") == f"{tmp_path / 'a.png'}: no such file. Correct the path."
    assert refusal(read_mask, tmp_path / "a.nii") == f"{tmp_path / 'a.nii'}: no such file. Correct the path."
    assert str(tmp_path) in refusal(read_radiograph, tmp_path)


def test_a_text_file_is_no_image_and_the_message_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    messages = {refusal(read_radiograph, tmp_path / "a.png") for _ in range(2)}
    assert len(messages) == 1
    assert "neither PNG, JPEG, BMP, TIFF nor NIfTI" in messages.pop()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, 600), junk=st.binary(min_size=1, max_size=40), suffix=st.sampled_from(["png", "jpg", "tif"])
)
def test_a_damaged_file_is_read_or_refused_but_never_crashes(
    tmp_path: Path, start: int, junk: bytes, suffix: str
) -> None:
    path = save(tmp_path / f"a.{suffix}", radiograph())
    data = path.read_bytes()
    path.write_bytes(data[:start] + junk + data[start + len(junk) :])
    try:
        values = read_radiograph(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert values.ndim == 2 and 0.0 <= values.min() <= values.max() <= 1.0


@pytest.mark.parametrize("format_", ["EPS", "GIF", "WEBP", "PPM", "PCX", "TGA", "ICO"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_other_formats_are_refused_whatever_they_are_named(tmp_path: Path, name: str, format_: str) -> None:
    """An EPS would start Ghostscript."""
    Image.fromarray(radiograph()).save(tmp_path / name, format=format_)
    for read in (read_radiograph, read_mask):
        assert "neither PNG, JPEG, BMP, TIFF nor NIfTI" in refusal(read, tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.nii", "a.nii.gz", "a.dcm", "a"])
def test_a_fifo_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    for read in (read_radiograph, read_mask):
        assert f"{tmp_path / name} is a FIFO" in refusal(read, tmp_path / name)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_behind_a_link_is_refused(tmp_path: Path, device: str) -> None:
    (tmp_path / "a.png").symlink_to(device)
    assert "a device" in refusal(read_radiograph, tmp_path / "a.png")
    assert "a device" in refusal(read_places, tmp_path / "a.png", (1.0, 1.0))


def turned(number: int, pixels: NDArray[Any]) -> NDArray[Any]:
    """Pixels as a viewer shows them that follows an EXIF orientation (TIFF 6.0, tag 274)."""
    shown = pixels.T if number >= 5 else pixels
    shown = shown[:, ::-1] if number in (2, 3, 6, 7) else shown
    return shown[::-1] if number in (3, 4, 7, 8) else shown


def oriented(path: Path, pixels: NDArray[Any], number: int, **options: Any) -> Path:
    exif = Image.Exif()
    exif[274] = number
    Image.fromarray(pixels).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("number", range(1, 9))
def test_the_orientation_of_exif_is_applied_to_radiographs_and_masks(tmp_path: Path, suffix: str, number: int) -> None:
    """Orientation 2 is a mirror image: the other hand."""
    options = {"quality": 100} if suffix == ".jpg" else {}
    image = oriented(tmp_path / f"a{suffix}", radiograph()[:50], number, **options)
    expected = turned(number, radiograph()[:50]) / np.float32(255)
    np.testing.assert_allclose(read_radiograph(image), expected, atol=3 / 255 if options else 0.0)
    mask = oriented(tmp_path / f"mask{suffix}", square(10, 30), number, **options)
    np.testing.assert_array_equal(read_mask(mask), turned(number, square(10, 30)) > 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_the_ratio_of_pixels_is_turned_with_them(tmp_path: Path, suffix: str) -> None:
    upright = oriented(tmp_path / f"a{suffix}", radiograph(), 3, dpi=(72, 96))
    lying = oriented(tmp_path / f"b{suffix}", radiograph(), 6, dpi=(72, 96))
    assert read_stated(upright).ratio == pytest.approx(0.75, rel=1e-3)
    assert read_stated(lying).ratio == pytest.approx(4 / 3, rel=1e-3)
