"""Results as DICOM: layers and synthetic radiographs as 16-bit secondary captures, bone masks as a segmentation.

The objects are new: they keep the pixel size and the side of their radiograph, and no identity unless
``keep_identity`` is set. Not imported by ``bundle.io``: highdicom needs pydicom 3.
"""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from bundle.errors import InputError
from bundle.io.writing import write_bytes
from numpy.typing import NDArray
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import validate_value

logging.getLogger("highdicom").setLevel(logging.WARNING)  # it logs the UIDs of its input

MANUFACTURER = "The finger joint layer separation developers"
MODEL = "finger_joint_layer_separation"

DEIDENTIFIED = "New object: keeps pixels, their size and the side, no more"
"""Value of De-identification Method; at most 64 characters."""

IDENTITY = {
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "patient_birth_date": "PatientBirthDate",
    "patient_sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_id": "StudyID",
    "study_date": "StudyDate",
    "study_time": "StudyTime",
    "referring_physician_name": "ReferringPhysicianName",
}
"""Attributes kept with the identity of the referenced instance, by highdicom's names."""

_MADE = (
    *("InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime"),
    *("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
)
"""Attributes of the creation date and time."""

_FULL = 65535
_BONE = hd.sr.CodedConcept("272673000", "SCT", "Bone")
_STRUCTURE = hd.sr.CodedConcept("91723000", "SCT", "Anatomical structure")
_SEGMENTATION = hd.sr.CodedConcept("113076", "DCM", "Segmentation")
_PURPOSES = {
    False: hd.sr.CodedConcept("109102", "DCM", "Processing Equipment"),
    True: hd.sr.CodedConcept("109100", "DCM", "Synthesizing Equipment"),
}


@dataclass(frozen=True)
class DicomStudy:
    """Study of the results of one radiograph.

    Attributes:
        version: version of the bundle.
        key: identifier of the study; the same key and content give the same UIDs.
        laterality: "L", "R" or "".
        source: referenced instance, the radiograph; its patient and study are kept with ``keep_identity``.
        keep_identity: whether results belong to the patient and study of the referenced instance.
        moment: creation date and time of the objects; None for now.

    Raises:
        InputError: ``keep_identity`` without a referenced instance, or not set although the pixels contain burned-in
            identity.
    """

    version: str
    key: str
    laterality: str = ""
    source: Dataset | None = field(default=None, repr=False)
    keep_identity: bool = False
    moment: datetime | None = None

    def __post_init__(self) -> None:
        if self.keep_identity and self.source is None:
            msg = "keep_identity: the radiograph is not a DICOM file and has no identity. Remove keep_identity."
            raise InputError(msg)
        burned = self.source is not None and str(self.source.get("BurnedInAnnotation", "")).upper() == "YES"
        if burned and not self.keep_identity:
            msg = (
                "The radiograph has Burned In Annotation YES: its pixels contain text. Remove the text, or pass "
                "--keep_identity true."
            )
            raise InputError(msg)
        if self.keep_identity and self.source is not None:
            _check_identity(self.source)

    def image(
        self,
        intensity: NDArray[Any],
        spacing: tuple[float, float],
        description: str,
        synthetic: bool,
        series: int = 1,
        number: int = 1,
    ) -> Dataset:
        """Make the object of a radiograph or a layer.

        Args:
            intensity: (H, W) in [0, 1]; stored in 16 bits, 1 is white.
            spacing: height and width of a pixel in mm.
            description: derivation of the image, with everything needed to reproduce it.
            synthetic: whether the pixels are synthetic.
            series: number of the series, the same for images of one kind.
            number: number of the image in its series.

        Raises:
            ValueError: the intensity is not an image in [0, 1].
        """
        stored = _stored(intensity)
        made = hd.sc.SCImage(
            stored,
            "MONOCHROME2",
            bits_allocated=16,
            coordinate_system="PATIENT",
            study_instance_uid=self._study_uid,
            series_instance_uid=self.uid("series", series),
            series_number=series,
            sop_instance_uid=self.uid("image", series, number, description, stored.tobytes()),
            instance_number=number,
            manufacturer=MANUFACTURER,
            pixel_spacing=spacing,
            laterality=self.laterality or None,
            patient_orientation=("L", "F"),
            contributing_equipment=[self._equipment(synthetic)],
            **self._identity,
        )
        return self._described(made, description, synthetic)

    def masks(
        self,
        masks: NDArray[Any],
        image: Dataset,
        predicted: bool = False,
        names: tuple[str, ...] = ("lower bone", "upper bone"),
    ) -> Dataset:
        """Make the segmentation of an image of this study.

        Args:
            masks: masks of 0 and 1, (C, H, W); they may overlap.
            image: image of :meth:`image`, (H, W).
            predicted: whether a network alone predicted the masks.
            names: names of the C masks.
        """
        kinds = hd.seg.SegmentAlgorithmTypeValues
        kind = kinds.AUTOMATIC if predicted else kinds.SEMIAUTOMATIC
        algorithm = hd.AlgorithmIdentificationSequence(MODEL, _SEGMENTATION, self.version)
        segments = [
            hd.seg.SegmentDescription(index, name, _STRUCTURE, _BONE, kind, algorithm)
            for index, name in enumerate(names, start=1)
        ]
        made = hd.seg.Segmentation(
            [image],
            np.moveaxis(np.asarray(masks) > 0, 0, -1)[None],
            hd.seg.SegmentationTypeValues.BINARY,
            segments,
            series_instance_uid=self.uid("masks of", str(image.SOPInstanceUID)),
            series_number=int(image.SeriesNumber) + 100,
            sop_instance_uid=self.uid("masks", str(image.SOPInstanceUID), np.packbits(masks > 0).tobytes()),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL,
            software_versions=self.version,
            device_serial_number="none",
            omit_empty_frames=False,
        )
        for dimension in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
            dimension.DimensionOrganizationUID = self.uid("dimensions", str(image.SOPInstanceUID))
        return self.stated(made)

    @property
    def _study_uid(self) -> UID:
        if self.keep_identity and self.source is not None:
            return UID(self.source.StudyInstanceUID)
        return self.uid("study")

    @property
    def _identity(self) -> dict[str, Any]:
        if not self.keep_identity or self.source is None:
            return {}
        return {name: self.source.get(attribute) or None for name, attribute in IDENTITY.items()}

    def uid(self, *parts: str | int | bytes) -> UID:
        """Return a UID of this study, the same for the same parts."""
        digest = hashlib.sha256()
        for part in (self.version, self.key, *parts):
            data = part if isinstance(part, bytes) else str(part).encode()
            digest.update(len(data).to_bytes(8, "little") + data)
        return generate_uid(entropy_srcs=[digest.hexdigest()])

    def _equipment(self, synthetic: bool) -> hd.ContributingEquipment:
        return hd.ContributingEquipment(
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL,
            software_versions=self.version,
            purpose_of_reference=_PURPOSES[synthetic],
            contribution_description="synthesised the pixels" if synthetic else "separated the layers",
        )

    def _described(self, made: Dataset, description: str, synthetic: bool) -> Dataset:
        made.ImageType = ["DERIVED", "SECONDARY"]
        made.DerivationDescription = description
        made.SyntheticData = "YES" if synthetic else "NO"
        made.BurnedInAnnotation = "NO"
        made.WindowCenter, made.WindowWidth = (_FULL + 1) // 2, _FULL + 1
        made.PresentationLUTShape = "IDENTITY"
        if not self.laterality:
            made.Laterality = None
        return self.stated(made)

    def stated(self, made: Dataset) -> Dataset:
        """Set the attributes of de-identification; the patient orientation of an upright frame is unknown."""
        made.PatientOrientation = None
        made.PatientIdentityRemoved = "NO" if self.keep_identity else "YES"
        if not self.keep_identity:
            made.DeidentificationMethod = DEIDENTIFIED
        if self.moment is not None:
            _set_creation(made, self.moment)
        return made


def _check_identity(source: Dataset) -> None:
    """Reject a header whose identity cannot be kept; its values, which identify the patient, are not quoted."""
    faulty = [name for name in ("StudyInstanceUID", *IDENTITY.values()) if not _is_valid(source, name)]
    if faulty:
        msg = (
            f"The radiograph's DICOM header has no valid {', '.join(faulty)}, so its identity cannot be kept. Correct "
            "the header, or remove keep_identity."
        )
        raise InputError(msg)


def _is_valid(source: Dataset, keyword: str) -> bool:
    """Whether the value of an attribute fits its representation; only the study UID is required."""
    value = str(source.get(keyword) or "")
    if not value:
        return keyword != "StudyInstanceUID"
    try:
        validate_value(dictionary_VR(keyword), value, RAISE)
        return keyword != "PatientSex" or value in ("M", "F", "O")
    except (ValueError, TypeError):
        return False


def _set_creation(made: Dataset, moment: datetime) -> None:
    """Set the creation date and time of an object and of its contributing equipment."""
    for keyword in filter(made.__contains__, _MADE):
        setattr(made, keyword, moment.strftime("%Y%m%d" if "Date" in keyword else "%H%M%S"))
    for equipment in made.get("ContributingEquipmentSequence", []):
        if "ContributionDateTime" in equipment:
            equipment.ContributionDateTime = moment.strftime("%Y%m%d%H%M%S")


def write_dicom(path: str | Path, dataset: Dataset) -> None:
    """Write a DICOM file atomically; raises as :func:`bundle.io.replacing`."""
    write_bytes(path, dicom_bytes(dataset))


def dicom_bytes(dataset: Dataset) -> bytes:
    """Encode a DICOM file."""
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def _stored(intensity: NDArray[Any]) -> NDArray[np.uint16]:
    values = np.asarray(intensity, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all() or values.min() < 0.0 or values.max() > 1.0:
        msg = f"the image must be (H, W) in [0, 1] without NaN, but has the shape {values.shape} or other values"
        raise ValueError(msg)
    stored: NDArray[np.uint16] = np.round(values * _FULL).astype(np.uint16)
    return stored
