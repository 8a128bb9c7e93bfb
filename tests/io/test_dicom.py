"""DICOM radiographs: the same picture from every encoding of the same pixels, and a refusal of everything else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from bundle.errors import InputError
from bundle.io.dicom import is_dicom, read_dicom
from bundle.io.identity import private_name
from bundle.io.reading import read_radiograph
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from tests.io.dicom_ramps import Make, lut, ramp

CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
        JPEGLSLossless,
    ],
    ids=lambda syntax: syntax.keyword,
)
def test_every_encoding_of_the_same_pixels_is_the_same_picture(make: Make, syntax: UID) -> None:
    expected = read_dicom(make(ramp())).intensity
    assert expected[0, 0] == 0.0 and expected[-1, -1] == 1.0
    np.testing.assert_array_equal(read_dicom(make(ramp(), syntax=syntax)).intensity, expected)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, (0.1, 0.2)),
        ({"PixelSpacing": None}, None),
        ({"PixelSpacing": ""}, None),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.15, 0.15]}, (0.15, 0.15)),
        ({"ImagerPixelSpacing": [0.15, 0.15]}, (0.1, 0.2)),
        (
            {"PixelSpacing": None, "ImagerPixelSpacing": [0.15, 0.3], "EstimatedRadiographicMagnificationFactor": 1.5},
            (0.1, 0.2),
        ),
        (
            {
                "PixelSpacing": [0.15, 0.15],
                "ImagerPixelSpacing": [0.15, 0.15],
                "EstimatedRadiographicMagnificationFactor": 1.5,
            },
            (0.1, 0.1),
        ),
        (
            {
                "PixelSpacing": [0.15, 0.15],
                "ImagerPixelSpacing": [0.15, 0.15],
                "PixelSpacingCalibrationType": "FIDUCIAL",
                "EstimatedRadiographicMagnificationFactor": 1.5,
            },
            (0.15, 0.15),
        ),
        ({"PixelSpacing": None, "SOPClassUID": SECONDARY, "NominalScannedPixelSpacing": [0.3, 0.3]}, (0.3, 0.3)),
    ],
)
def test_spacing_is_that_of_the_object_and_never_guessed(
    make: Make, attributes: dict[str, Any], expected: tuple[float, float] | None
) -> None:
    found = read_dicom(make(ramp(), **attributes)).spacing
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("attributes", "expected"), [({}, ""), ({"ImageLaterality": "L"}, "L"), ({"Laterality": "R"}, "R")]
)
def test_laterality_is_kept(make: Make, attributes: dict[str, str], expected: str) -> None:
    assert read_dicom(make(ramp(), **attributes)).laterality == expected


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"SOPClassUID": CT, "Modality": "CT"}, "SOP Class UID CT Image Storage"),
        ({"SOPClassUID": SECONDARY, "Modality": "US"}, "Modality US"),
        ({"NumberOfFrames": 2, "Rows": 32}, "Number of Frames 2"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "Photometric Interpretation PALETTE COLOR"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "Samples per Pixel 3"),
        ({"Rows": 65}, "Pixel Data"),
        ({"PixelSpacing": [0.0, 0.1]}, "PixelSpacing"),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095}, "all padding"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "window"),
        ({"ShutterShape": "RECTANGULAR"}, "shutter"),
        ({"CollimatorShape": "CIRCULAR", "RadiusOfCircularCollimator": 3}, "collimator"),
        ({"PixelSpacing": 0.1}, "spacing"),
    ],
)
def test_what_is_no_grey_radiograph_is_refused_by_its_attribute(
    make: Make, attributes: dict[str, Any], named: str
) -> None:
    path = make(ramp(), **attributes)
    with pytest.raises(InputError, match=named) as refused:
        read_dicom(path)
    assert str(path) in str(refused.value)
    assert "Planted" not in str(refused.value)


def test_files_that_are_no_whole_dicom_are_refused(make: Make, tmp_path: Path) -> None:
    whole = make(ramp()).read_bytes()
    broken = {
        "empty.dcm": b"",
        "text.dcm": b"a letter, not an image\n" * 20,
        "cut.dcm": whole[: len(whole) // 2],
        "header.dcm": whole[:132],
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_dicom(tmp_path / name)
    for name in ("absent.dcm", ""):
        with pytest.raises(InputError, match=r"no such file|cannot be read"):
            read_dicom(tmp_path / name)


def test_pixels_are_missing_or_of_no_known_encoding(make: Make, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(make(ramp()))
    del dataset.PixelData
    dataset.save_as(tmp_path / "none.dcm")
    with pytest.raises(InputError, match=r"none\.dcm: Pixel Data none, not pixels"):
        read_dicom(tmp_path / "none.dcm")
    dataset = pydicom.dcmread(make(ramp(), syntax=RLELossless))
    dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    dataset.save_as(tmp_path / "other.dcm")
    with pytest.raises(InputError, match=r"HTJ2K|High-Throughput"):
        read_dicom(tmp_path / "other.dcm")


def test_every_test_file_of_pydicom_is_read_or_refused() -> None:
    files = sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))
    assert len(files) > 50
    read = []
    for path in files:
        try:
            found = read_dicom(path)
        except InputError as error:
            assert path.name in str(error)
            continue
        assert found.intensity.dtype == np.float32 and found.intensity.ndim == 2
        assert float(found.intensity.min()) >= 0.0 and float(found.intensity.max()) <= 1.0
        read.append(path.name)
    assert not [name for name in read if name.startswith("CT")]


def test_a_dicom_file_is_known_by_its_name_or_its_prefix(make: Make, tmp_path: Path) -> None:
    path = make(ramp())
    unnamed = path.rename(tmp_path / "IM0001")
    assert is_dicom(unnamed) and is_dicom("absent.dcm")
    (tmp_path / "image.png").write_bytes(b"no")
    assert not is_dicom(tmp_path / "image.png") and not is_dicom(tmp_path / "absent")
    np.testing.assert_array_equal(read_radiograph(unnamed), read_dicom(unnamed).intensity)


def test_a_damaged_jpeg_in_a_dicom_file_is_refused(make: Make) -> None:
    content = io.BytesIO()
    Image.fromarray((ramp() // 16).astype(np.uint8)).save(content, format="JPEG")
    whole = content.getvalue()
    for data in (whole, whole.replace(b"\xff\xda", b"\xff\xfe\x00\x04ab\xff\xda", 1)[:-40] + b"\xff\xd9"):
        path = make((ramp() // 16).astype(np.uint8), 8)
        dataset = pydicom.dcmread(path)
        dataset.PixelData = encapsulate([data])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.save_as(path)
        if data is whole:
            assert read_dicom(path).intensity.shape == ramp().shape
        else:
            with pytest.raises(InputError, match=r"the Pixel Data \(.*\) cannot be decoded"):
                read_dicom(path)


@pytest.mark.parametrize("bits", [1, 0, 12, 64])
def test_other_bits_allocated_are_refused(make: Make, bits: int) -> None:
    with pytest.raises(InputError, match="Bits Allocated"):
        read_dicom(make(ramp(), BitsAllocated=bits))


@pytest.mark.slow
def test_a_changed_dicom_file_is_read_or_refused_but_never_crashes(make: Make, tmp_path: Path) -> None:
    item = lut(64 * np.arange(64), 0, 12)
    shutter = {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [10, 10], "RadiusOfCircularShutter": 9}
    whole = make(ramp(), VOILUTSequence=[item], PixelPaddingValue=3, **shutter).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "changed.dcm"
    header = len(whole) - 2 * ramp().size
    for _ in range(300):
        changed = bytearray(whole)
        for place in rng.integers(128, header, rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            found = read_dicom(path).intensity
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert np.isfinite(found).all() and 0.0 <= found.min() <= found.max() <= 1.0
        private_name("name", path)
