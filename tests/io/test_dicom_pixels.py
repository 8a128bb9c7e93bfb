"""Grey values of DICOM radiographs: rescale, windows, tables, the detector, padding and shutters."""

from __future__ import annotations

import numpy as np
import pytest
from bundle.errors import InputError
from bundle.io.dicom import read_dicom
from bundle.io.dicom_pixels import LOG_SPAN
from pydicom.dataset import Dataset
from tests.io.dicom_ramps import SHAPE, Make, lut, ramp


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
