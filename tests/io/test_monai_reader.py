"""MONAI's LoadImaged with the project's reader: intensity, spacing and laterality of every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from bundle.errors import InputError, input_message
from bundle.io.monai_reader import RadiographReader
from monai.transforms import LoadImage, LoadImaged
from PIL import Image

Make = Callable[..., Path]
GREY = (np.arange(40 * 30).reshape(40, 30) % 251).astype(np.uint8)


def picture(folder: Path, suffix: str) -> Path:
    path = folder / f"a{suffix}"
    if suffix == ".nii.gz":
        image = nib.Nifti1Image((GREY / np.float32(255)).T, np.diag([0.2, 0.1, 1.0, 1.0]))
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
    else:
        Image.fromarray(GREY).save(path)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".nii.gz"])
def test_every_format_gives_rows_first_with_its_spacing(tmp_path: Path, suffix: str) -> None:
    reader = RadiographReader(0.0 if suffix == ".nii.gz" else (0.1, 0.2))
    loaded = LoadImaged("image", reader=reader)({"image": picture(tmp_path, suffix)})["image"]
    np.testing.assert_allclose(loaded.numpy(), GREY / 255, atol=1e-6)
    assert loaded.pixdim.tolist()[:2] == pytest.approx([0.1, 0.2])


def test_a_dicom_file_brings_spacing_laterality_and_modality_and_no_patient(make: Make) -> None:
    path = make(GREY.astype(np.uint16), 8, ImageLaterality="R", PatientID="planted")
    loaded = LoadImage(reader=RadiographReader())(path)
    assert loaded.shape == (40, 30)
    assert loaded.pixdim.tolist()[:2] == pytest.approx([0.1, 0.2])
    assert loaded.meta["laterality"] == "R" and loaded.meta["modality"] == "CR"
    assert not any("planted" in str(value).lower() for value in loaded.meta.values())


def test_a_channel_axis_is_added_as_monai_does(tmp_path: Path) -> None:
    loaded = LoadImage(reader=RadiographReader(0.1), ensure_channel_first=True)(picture(tmp_path, ".png"))
    assert loaded.shape == (1, 40, 30)
    two = LoadImage(reader=RadiographReader(0.1), ensure_channel_first=True)([picture(tmp_path, ".png")] * 2)
    assert two.shape == (2, 40, 30)


def test_a_given_spacing_counts_before_that_of_the_file(make: Make) -> None:
    """One number is the width, and the ratio of the file is kept; a pair is both."""
    path = make(GREY)
    assert LoadImage(reader=RadiographReader(0.3))(path).pixdim.tolist()[:2] == pytest.approx([0.15, 0.3])
    assert LoadImage(reader=RadiographReader((0.3, 0.3)))(path).pixdim.tolist()[:2] == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize("suffix", [".png", ".dcm", ".nii.gz"])
def test_a_spacing_that_nobody_knows_is_never_guessed(make: Make, tmp_path: Path, suffix: str) -> None:
    path = picture(tmp_path, suffix) if suffix == ".png" else make(GREY, PixelSpacing=None)
    if suffix == ".nii.gz":
        path = tmp_path / "unit.nii.gz"
        nib.save(nib.Nifti1Image((GREY / np.float32(255)).T, np.eye(4)), path)
    with pytest.raises((InputError, RuntimeError)) as refused:
        LoadImage(reader=RadiographReader())(path)
    message = input_message(refused.value)
    assert message is not None and "Pass RadiographReader(spacing=MM)" in message and str(path) in message


@pytest.mark.parametrize("spacing", [-0.1, (0.1, 0.0), float("nan"), "abc", "0,08", (0.1, 0.1, 0.1), None, {}])
def test_what_is_no_spacing_is_refused(spacing: Any) -> None:
    with pytest.raises(InputError, match="is not a pixel spacing"):
        RadiographReader(spacing)


def test_only_radiographs_are_taken(make: Make, tmp_path: Path) -> None:
    reader = RadiographReader(0.1)
    unnamed = make(GREY).rename(tmp_path / "IM1")
    (tmp_path / "notes").write_text("no")
    assert reader.verify_suffix([unnamed, "a.PNG", "b.nii.gz"])
    assert not reader.verify_suffix(["a.png", tmp_path / "notes"])
    with pytest.raises(InputError, match="one size"):
        Image.fromarray(GREY[:20]).save(tmp_path / "small.png")
        reader.get_data(reader.read([tmp_path / "small.png", picture(tmp_path, ".png")]))
