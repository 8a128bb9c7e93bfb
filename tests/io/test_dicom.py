"""DICOM radiographs: the same picture from every encoding of the same pixels, and a refusal of everything else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from bundle.errors import InputError
from bundle.io.dicom import is_dicom, read_dicom
from bundle.io.dicom_pixels import LOG_SPAN
from bundle.io.identity import private_name
from bundle.io.reading import read_radiograph
from PIL import Image
from pydicom.dataset import Dataset
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

CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
Make = Callable[..., Path]
SHAPE = (64, 48)


def ramp(bits: int = 12, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Stored values from 0 to full scale, no two rows alike."""
    return np.linspace(0, 2**bits - 1, np.prod(shape)).round().reshape(shape)


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


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_any_depth_is_the_same_picture_up_to_rounding(make: Make, bits: int) -> None:
    shown = read_dicom(make(ramp(bits), bits)).intensity
    np.testing.assert_allclose(shown, np.linspace(0, 1, np.prod(SHAPE)).reshape(SHAPE), atol=0.51 / (2**bits - 1))


def test_signed_values_with_a_rescale_are_the_same_picture(make: Make) -> None:
    signed = make(ramp() - 2048, RescaleSlope=0.5, RescaleIntercept=1024)
    np.testing.assert_allclose(read_dicom(signed).intensity, read_dicom(make(ramp())).intensity, atol=1e-6)


@pytest.mark.parametrize("slope", [1.0, 2.0, -1.0])
def test_a_window_is_applied_after_the_rescale_as_in_the_standard(make: Make, slope: float) -> None:
    center, width = 1500.0, 800.0
    window = {"WindowCenter": center, "WindowWidth": width, "RescaleSlope": slope, "RescaleIntercept": 10.0}
    rescaled = ramp() * slope + 10.0
    linear = ((rescaled - (center - 0.5)) / (width - 1) + 0.5).clip(0.0, 1.0)
    np.testing.assert_allclose(read_dicom(make(ramp(), **window)).intensity, linear, atol=1e-6)


def test_of_several_windows_the_first_counts(make: Make) -> None:
    several = make(ramp(), WindowCenter=[1500, 300], WindowWidth=[800, 100])
    one = make(ramp(), WindowCenter=1500, WindowWidth=800)
    np.testing.assert_array_equal(read_dicom(several).intensity, read_dicom(one).intensity)


def lut(values: np.ndarray, first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.LUTData = values.astype("<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return item


def test_a_voi_lut_goes_before_a_window(make: Make) -> None:
    table = np.linspace(0, 1, 4096) ** 2 * 1023
    path = make(ramp(), VOILUTSequence=[lut(table, 0, 10)], WindowCenter=5, WindowWidth=3)
    expected = table.astype(int)[ramp().astype(int)] / 1023
    np.testing.assert_allclose(read_dicom(path).intensity, expected, atol=1e-6)


def test_a_modality_lut_and_a_presentation_lut_are_applied(make: Make) -> None:
    modality = make(ramp(), ModalityLUTSequence=[_typed(lut(np.arange(4096)[::-1] * 16, 0, 16))])
    np.testing.assert_allclose(read_dicom(modality).intensity, 1.0 - ramp() / 4095, atol=1e-6)
    squares = np.linspace(0, 1, 256) ** 2 * 65535
    presented = make(ramp(), PresentationLUTSequence=[lut(squares, 0, 16)])
    np.testing.assert_allclose(read_dicom(presented).intensity, (ramp() / 4095) ** 2, atol=0.006)


def _typed(item: Dataset) -> Dataset:
    item.ModalityLUTType = "US"
    return item


def test_monochrome1_is_inverted_after_its_window(make: Make) -> None:
    window = {"WindowCenter": 1000, "WindowWidth": 600}
    bright = read_dicom(make(ramp(), **window)).intensity
    dark = read_dicom(make(ramp(), PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE", **window))
    np.testing.assert_allclose(dark.intensity, 1.0 - bright, atol=1e-6)


@pytest.mark.parametrize(("sign", "rising"), [(-1, True), (1, False)])
@pytest.mark.parametrize("shown", ["MONOCHROME1", "MONOCHROME2"])
def test_where_the_sign_of_the_detector_is_known_bone_is_bright(
    make: Make, sign: int, rising: bool, shown: str
) -> None:
    path = make(ramp(), PhotometricInterpretation=shown, PixelIntensityRelationshipSign=sign)
    assert (read_dicom(path).intensity[-1, -1] == 1.0) == rising


def test_the_sign_of_the_detector_is_that_of_the_stored_values(make: Make) -> None:
    path = make(ramp(), PixelIntensityRelationshipSign=1, RescaleSlope=-1, RescaleIntercept=4095)
    np.testing.assert_allclose(read_dicom(path).intensity, 1.0 - ramp() / 4095, atol=1e-6)


def test_a_logarithmic_detector_gives_attenuation_a_linear_one_the_absorbed_fraction(make: Make) -> None:
    linear = read_dicom(make(ramp(), PixelIntensityRelationship="LIN")).intensity
    logarithmic = read_dicom(make(ramp(), PixelIntensityRelationship="LOG")).intensity
    np.testing.assert_allclose(linear, ramp() / 4095, atol=1e-6)
    np.testing.assert_allclose(-np.log1p(-logarithmic.astype(float)), LOG_SPAN * linear, atol=1e-5)


def test_padding_is_no_image_and_does_not_stretch_the_grey_values(make: Make) -> None:
    pixels = 1000 + ramp(10)
    pixels[:5] = 4000
    found = read_dicom(make(pixels, PixelPaddingValue=3900, PixelPaddingRangeLimit=4095))
    assert not found.valid[:5].any() and found.valid[5:].all()
    assert (found.intensity[:5] == 0.0).all()
    assert found.intensity[5:].min() == 0.0 and found.intensity[5:].max() == 1.0


@pytest.mark.parametrize("what", ["Shutter", "Collimator"])
def test_what_lies_beyond_a_rectangular_shutter_or_collimator_is_no_image(make: Make, what: str) -> None:
    edges = {"LeftVerticalEdge": 4, "RightVerticalEdge": 20, "UpperHorizontalEdge": 3, "LowerHorizontalEdge": 30}
    found = read_dicom(make(ramp(), **{f"{what}Shape": "RECTANGULAR", **{what + k: v for k, v in edges.items()}}))
    expected = np.zeros(SHAPE, bool)
    expected[2:30, 3:20] = True
    np.testing.assert_array_equal(found.valid, expected)


def test_round_and_polygonal_shutters_are_met(make: Make) -> None:
    circle = {"CenterOfCircularShutter": [20, 15], "RadiusOfCircularShutter": 8}
    corners = {"VerticesOfThePolygonalShutter": [3, 3, 3, 28, 38, 28]}
    row, column = np.mgrid[1:65, 1:49]
    round_ = np.hypot(row - 20, column - 15) < 8.5
    np.testing.assert_array_equal(read_dicom(make(ramp(), ShutterShape="CIRCULAR", **circle)).valid, round_)
    below = read_dicom(make(ramp(), ShutterShape="POLYGONAL", **corners)).valid
    assert below[5, 25] and not below[30, 5] and not below[0].any()
    both = read_dicom(make(ramp(), ShutterShape=["CIRCULAR", "POLYGONAL"], **circle, **corners)).valid
    np.testing.assert_array_equal(both, round_ & below)


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


@pytest.mark.parametrize("kind", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_table_of_8_bits_on_12_bit_pixels_is_followed(make: Make, kind: str, packed: bool) -> None:
    item = lut(np.arange(4096) // 16, 0, 8)
    if packed:
        item.LUTData = (np.arange(4096) // 16).astype(np.uint8).tobytes()
    expected = (ramp() // 16).astype(float)
    found = read_dicom(make(ramp(), **{kind: [item]})).intensity
    np.testing.assert_allclose(found, (expected - expected.min()) / 255.0, atol=2e-3)


@pytest.mark.parametrize("kind", ["VOILUTSequence", "ModalityLUTSequence", "PresentationLUTSequence"])
@pytest.mark.parametrize(("bits", "count"), [(0, 4096), (20, 4096), (16, 5000), (9, 4096)])
def test_a_table_that_contradicts_its_descriptor_is_refused(make: Make, kind: str, bits: int, count: int) -> None:
    item = lut(np.arange(4096), 0, 12)
    item.LUTDescriptor = [count, 0, bits]
    with pytest.raises(InputError, match="look-up table"):
        read_dicom(make(ramp(), **{kind: [item]}))


@pytest.mark.parametrize(("colours", "shape"), [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")])
def test_a_presentation_shape_against_the_photometric_interpretation_is_refused(
    make: Make, colours: str, shape: str
) -> None:
    with pytest.raises(InputError, match="Presentation LUT Shape"):
        read_dicom(make(ramp(), PhotometricInterpretation=colours, PresentationLUTShape=shape))


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
