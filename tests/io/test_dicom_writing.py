"""DICOM results: read back and compared, checked by a validator, and without a trace of the patient."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from bundle.errors import InputError
from bundle.io.dicom import read_dicom
from bundle.io.dicom_writing import IDENTITY, DicomStudy, dicom_bytes, write_dicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

Make = Callable[..., Path]
RANDOM = np.random.RandomState(0)
INTENSITY = RANDOM.rand(48, 40).astype(np.float32)
MASKS = np.stack([np.arange(48)[:, None] + np.zeros(40) > 20, np.arange(48)[:, None] + np.zeros(40) < 24])
SPACING = (0.082, 0.1)
PLANTED = {
    "PatientName": "Planted^Name",
    "PatientID": "planted-id",
    "PatientBirthDate": "19010203",
    "StudyDate": "19040506",
    "StudyTime": "070809",
    "StudyID": "planted-study",
    "AccessionNumber": "planted-acc",
    "ReferringPhysicianName": "Planted^Doctor",
    "InstitutionName": "planted hospital",
    "StudyInstanceUID": "1.2.3.4.5.6789",
    "SeriesInstanceUID": "1.2.3.4.5.6789.1",
}


@pytest.fixture
def source(make: Make) -> Dataset:
    dataset = pydicom.dcmread(make(np.round(INTENSITY * 4095), **PLANTED))
    dataset.private_block(0x0011, "planted", create=True).add_new(1, "LO", "planted secret")
    return dataset


def study(**options: Any) -> DicomStudy:
    return DicomStudy(**{"version": "1.2.3", "key": "joint", "laterality": "R", **options})


def image(given: DicomStudy, synthetic: bool = True, **options: Any) -> Dataset:
    return given.image(INTENSITY, SPACING, "moved by 0.5 mm", synthetic, **options)


def test_an_image_comes_back_within_half_a_grey_level_with_spacing_and_side(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", image(study()))
    found = read_dicom(tmp_path / "a.dcm")
    np.testing.assert_allclose(found.intensity, INTENSITY, atol=0.51 / 65535)
    assert found.spacing == pytest.approx(SPACING)
    assert found.laterality == "R"


@pytest.mark.parametrize("synthetic", [True, False])
def test_an_image_says_what_it_is(synthetic: bool) -> None:
    made = image(study(), synthetic)
    assert list(made.ImageType) == ["DERIVED", "SECONDARY"]
    assert made.DerivationDescription == "moved by 0.5 mm"
    assert made.SyntheticData == ("YES" if synthetic else "NO")
    assert made.BurnedInAnnotation == "NO" and made.BitsStored == 16
    purposes = [item.PurposeOfReferenceCodeSequence[0].CodeMeaning for item in made.ContributingEquipmentSequence]
    assert ("Synthesizing Equipment" in purposes) == synthetic
    assert "1.2.3" in [item.SoftwareVersions for item in made.ContributingEquipmentSequence]


def test_nothing_of_the_patient_is_kept_by_default(source: Dataset, tmp_path: Path) -> None:
    given = study(source=source)
    made = image(given)
    write_dicom(tmp_path / "a.dcm", made)
    write_dicom(tmp_path / "seg.dcm", given.masks(MASKS, made))
    assert made.PatientIdentityRemoved == "YES" and made.DeidentificationMethod
    for path in tmp_path.glob("*.dcm"):
        if path.name in ("a.dcm", "seg.dcm"):
            content = path.read_bytes().lower()
            for planted in (*PLANTED.values(), "planted", str(source.SOPInstanceUID)):
                assert planted.lower().encode() not in content
    assert "planted" not in repr(given).lower()


def test_identity_is_kept_where_it_is_asked_for_with_the_study_and_a_new_series(source: Dataset) -> None:
    given = study(source=source, keep_identity=True)
    made = image(given)
    for attribute in IDENTITY.values():
        assert str(made.get(attribute) or "") == str(source.get(attribute) or "")
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert made.SeriesInstanceUID != source.SeriesInstanceUID and made.SOPInstanceUID != source.SOPInstanceUID
    assert made.PatientIdentityRemoved == "NO"
    assert given.masks(MASKS, made).PatientID == "planted-id"


def test_identity_without_a_source_and_text_in_the_pixels_are_refused(source: Dataset) -> None:
    with pytest.raises(InputError, match="not a DICOM file"):
        study(keep_identity=True)
    source.BurnedInAnnotation = "YES"
    with pytest.raises(InputError, match="Burned In Annotation YES"):
        study(source=source)
    assert study(source=source, keep_identity=True).keep_identity


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("StudyInstanceUID", None),
        ("StudyInstanceUID", "no uid"),
        ("PatientBirthDate", "1.2.1901"),
        ("StudyDate", "19041399999"),
        ("StudyTime", "noon"),
        ("PatientSex", "X"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value")
def test_an_identity_that_cannot_be_kept_is_refused_by_its_attribute_without_its_value(
    source: Dataset, attribute: str, value: str | None
) -> None:
    with disable_value_validation():
        setattr(source, attribute, value) if value is not None else delattr(source, attribute)
        with pytest.raises(InputError, match=rf"no valid {attribute}, so .*\. Correct the header") as caught:
            study(source=source, keep_identity=True)
        assert value is None or len(value) < 2 or value not in str(caught.value)
        study(source=source)


def test_the_same_content_has_the_same_uids_and_another_one_others() -> None:
    first, again = image(study()), image(study())
    assert first.SOPInstanceUID == again.SOPInstanceUID
    others = [image(study(key="other")), image(study(), number=2), image(study(), series=2)]
    assert len({made.SOPInstanceUID for made in [first, *others]}) == 4
    assert {made.StudyInstanceUID for made in others[1:]} == {first.StudyInstanceUID}
    assert others[1].SeriesInstanceUID == first.SeriesInstanceUID != others[2].SeriesInstanceUID


def test_masks_come_back_as_they_were_also_where_they_overlap(tmp_path: Path) -> None:
    given = study()
    write_dicom(tmp_path / "seg.dcm", given.masks(MASKS, image(given)))
    found = pydicom.dcmread(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(found.pixel_array, MASKS)
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == ["lower bone", "upper bone"]
    assert found.SegmentsOverlap != "NO"


@pytest.mark.parametrize("laterality", ["R", ""])
@pytest.mark.parametrize("keep", [True, False])
def test_a_validator_finds_no_error(
    source: Dataset, tmp_path: Path, dicom_errors: Callable[[Path], list[str]], keep: bool, laterality: str
) -> None:
    given = study(source=source, keep_identity=keep, laterality=laterality)
    made = image(given)
    for name, dataset in (("a.dcm", made), ("seg.dcm", given.masks(MASKS, made))):
        write_dicom(tmp_path / name, dataset)
        assert dicom_errors(tmp_path / name) == [], name


@pytest.mark.parametrize("wrong", [INTENSITY + 1.0, INTENSITY[None], np.full((4, 4), np.nan)])
def test_what_is_no_image_is_not_written(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"\(H, W\) in \[0, 1\]"):
        study().image(wrong, SPACING, "nothing", False)


def test_a_stated_moment_makes_the_same_bytes() -> None:
    moment = datetime(2001, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
    one, other = (image(DicomStudy("1", "key", "L", moment=moment)) for _ in range(2))
    assert dicom_bytes(one) == dicom_bytes(other)
    assert (one.ContentDate, one.ContentTime) == ("20010203", "040506")
    masks = np.ones((2, *INTENSITY.shape))
    first, second = (DicomStudy("1", "key", "L", moment=moment).masks(masks, one) for _ in range(2))
    assert dicom_bytes(first) == dicom_bytes(second)
