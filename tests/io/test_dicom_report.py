"""Structured reports of a joint: read back, checked by a validator, and without a trace of the patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from bundle.io.dicom_report import PRIVATE, SCHEME, measurement_report, private_code
from bundle.io.dicom_writing import DicomStudy, write_dicom
from pydicom.dataset import Dataset

ROW = {
    "name": "a",
    "side": "L",
    "joint_space_mm": 1.234,
    "joint_space_min_mm": 1.1,
    "joint_space_sd_mm": 0.05,
    "grade": 2,
    "refused": False,
    "reasons": None,
}
REFUSED = {"name": "b", "side": None, "refused": True, "reasons": "joint space: the articular floor is unclear"}


def report(row: dict[str, Any]) -> Dataset:
    study = DicomStudy("1.2.3", str(row["name"]), str(row["side"] or ""))
    image = study.image(np.full((16, 16), 0.5), (0.1, 0.1), "the radiograph", synthetic=False)
    return measurement_report(study, image, row, "finger_joint_layer_separation 1.2.3")


def items(node: Dataset) -> list[Dataset]:
    """All content items of a report."""
    below = list(node.get("ContentSequence", []))
    return below + [item for one in below for item in items(one)]


def numbers(made: Dataset) -> dict[str, float]:
    return {
        item.ConceptNameCodeSequence[0].CodeValue: float(item.MeasuredValueSequence[0].NumericValue)
        for item in items(made)
        if item.ValueType == "NUM"
    }


@pytest.mark.slow
def test_the_values_come_back_under_their_codes(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", report(ROW))
    read = pydicom.dcmread(tmp_path / "a.dcm")
    assert numbers(read) == {"JSW": 1.234, "JSWMIN": 1.1, "JSWSD": 0.05, "JSNGRADE": 2.0}
    values = [item.MeasuredValueSequence[0] for item in items(read) if item.ValueType == "NUM"]
    assert {value.MeasurementUnitsCodeSequence[0].CodeValue for value in values} == {"mm", "1"}
    assert read.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == SCHEME
    assert "Left" in [item.ConceptCodeSequence[0].CodeMeaning for item in items(read) if item.ValueType == "CODE"]


def test_a_refused_joint_has_a_reason_and_no_number() -> None:
    made = report(REFUSED)
    assert numbers(made) == {}
    texts = [item for item in items(made) if item.ValueType == "TEXT"]
    said = {item.ConceptNameCodeSequence[0].CodeValue: item.TextValue for item in texts}
    assert said["REFUSED"] == REFUSED["reasons"]


@pytest.mark.parametrize("row", [ROW, REFUSED], ids=["measured", "refused"])
def test_the_validator_finds_no_error(row: dict[str, Any], tmp_path: Path, dicom_errors: Callable[[Path], Any]) -> None:
    write_dicom(tmp_path / "a.dcm", report(row))
    assert not dicom_errors(tmp_path / "a.dcm")


def test_a_report_refers_to_its_radiograph_and_states_no_patient() -> None:
    made = report(ROW)
    assert made.PatientIdentityRemoved == "YES" and not made.PatientName and not made.PatientID
    assert made.CurrentRequestedProcedureEvidenceSequence


def test_the_meanings_of_the_codes_fit_their_representation() -> None:
    assert all(
        len(private_code(name).CodeMeaning) <= 64 and len(private_code(name).CodeValue) <= 16 for name in PRIVATE
    )
