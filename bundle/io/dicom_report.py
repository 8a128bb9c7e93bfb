"""Measurements of a joint as a DICOM structured report (TID 1500).

Codes come from pydicom's dictionaries. What these lack is coded by the private scheme :data:`SCHEME`, listed in
docs/radiographs.md. Not imported by ``bundle.io``: highdicom needs pydicom 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import highdicom as hd
from bundle.io.dicom_writing import MANUFACTURER, MODEL, DicomStudy
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

SCHEME = "99FJLS"
"""Designator of the private coding scheme; 99 marks private schemes."""

PRIVATE = {
    "joint_space_mm": ("JSW", "Joint space width between the joint surfaces"),
    "joint_space_min_mm": ("JSWMIN", "Minimum joint space width between the joint surfaces"),
    "joint_space_sd_mm": ("JSWSD", "Expected standard deviation of the joint space width"),
    "grade": ("JSNGRADE", "Grade of joint space narrowing, Sharp/van der Heijde-like"),
    "refused": ("REFUSED", "Reason for which no joint space width is given"),
}
"""Value and meaning of the private codes, by the columns of ``joints.csv``."""

_LENGTHS = ("joint_space_mm", "joint_space_min_mm", "joint_space_sd_mm")
_SIDES = {"L": codes.SCT.Left, "R": codes.SCT.Right}


def private_code(name: str) -> hd.sr.CodedConcept:
    """Return the code of a column of ``joints.csv`` in the private scheme."""
    value, meaning = PRIVATE[name]
    return hd.sr.CodedConcept(value, SCHEME, meaning)


def measurement_report(study: DicomStudy, image: Dataset, row: Mapping[str, object], method: str) -> Dataset:
    """Make the structured report of a measured joint.

    Args:
        study: study of the results.
        image: the joint's radiograph in this study (:meth:`DicomStudy.image`).
        row: row of ``joints.csv``; values that are None are left out.
        method: name and version of the algorithm.
    """
    lengths = [name for name in _LENGTHS if row.get(name) is not None]
    numbers = [hd.sr.Measurement(private_code(name), float(str(row[name])), codes.UCUM.Millimeter) for name in lengths]
    if row.get("grade") is not None:
        numbers.append(hd.sr.Measurement(private_code("grade"), float(str(row["grade"])), codes.UCUM.NoUnits))
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(study.uid("joint"), str(row["name"])[:64]),
        algorithm_id=hd.sr.AlgorithmIdentification(MODEL, method.removeprefix(f"{MODEL} ")),
        finding_sites=[hd.sr.FindingSite(codes.SCT.FingerJoint, laterality=_SIDES.get(str(row.get("side"))))],
        measurements=numbers,
        source_images=[hd.sr.SourceImageForMeasurementGroup.from_source_image(image)],
    )
    if row.get("refused"):
        group[0].ContentSequence.append(_text("refused", str(row.get("reasons"))))
    report = study.stated(_document(study, image, group))
    del report.PatientOrientation  # a report has none
    return report


def _text(name: str, value: str) -> hd.sr.TextContentItem:
    relation = hd.sr.RelationshipTypeValues.CONTAINS
    return hd.sr.TextContentItem(private_code(name), value, relation)


def _document(study: DicomStudy, image: Dataset, group: hd.sr.MeasurementsAndQualitativeEvaluations) -> Dataset:
    """Put a group of measurements into a document."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(study.uid("device"), MODEL, MANUFACTURER, MODEL)
    observer = hd.sr.ObserverContext(codes.DCM.Device, device)
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.PlainRadiography,
        imaging_measurements=[group],
    )
    report = hd.sr.EnhancedSR(
        evidence=[image],
        content=content[0],
        series_instance_uid=study.uid("report"),
        series_number=200,
        sop_instance_uid=study.uid("report of", str(image.SOPInstanceUID)),
        instance_number=1,
        manufacturer=MANUFACTURER,
    )
    report.CodingSchemeIdentificationSequence = [_scheme()]
    return report


def _scheme() -> Dataset:
    """Describe the private coding scheme."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "Finger joint layer separation"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme
