"""The report of measurements on simulated readers of known error."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bundle.reader_study.measuring_report import COLUMNS, MeasuringReport, measuring_report

JOINTS, ERROR, BIAS = 200, 0.05, 0.1


def record(reader: str, joint: int, value: float | None, repeat: int = 0, grade: int | None = None) -> dict[str, Any]:
    known = {"reader": reader, "joint": f"joint {joint}", "repeat": repeat, "value_mm": value, "grade": grade}
    return {"id": 1, "time": "", "version": "", **known, "seconds": 4.0, "method": "alignment", "displacement_mm": None}


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.RandomState(0).normal(1.5, 0.4, size=JOINTS)


@pytest.fixture(scope="module")
def report(truth: np.ndarray) -> MeasuringReport:
    """Two readers with an error of 0.05 mm, the second 0.1 mm above; grades from the values."""
    random, records = np.random.RandomState(1), []
    for reader, bias in (("A", 0.0), ("B", BIAS)):
        for joint, width in enumerate(truth):
            for repeat in (0, 1) if joint % 2 else (0,):
                value = float(width + bias + ERROR * random.randn())
                records.append(record(reader, joint, value, repeat, int(np.clip(4 - 2 * value, 0, 4))))
    return measuring_report(records, {f"joint {row}": float(width) for row, width in enumerate(truth)})


def test_the_error_within_a_reader_is_recovered(report: MeasuringReport) -> None:
    for found in report.figures["within"].values():
        assert found["joints"] == JOINTS // 2
        assert found["smallest_detectable_change_mm"] == pytest.approx(1.96 * math.sqrt(2) * ERROR, rel=0.15)
        assert found["icc_2_1"] == pytest.approx(0.16 / (0.16 + ERROR**2), abs=0.01)
        assert found["icc_2_1_interval"][0] < found["icc_2_1"] < found["icc_2_1_interval"][1]
        assert abs(found["bias_mm"]) < 0.02


def test_a_bias_between_readers_lowers_agreement_but_not_consistency(report: MeasuringReport) -> None:
    (found,) = report.figures["between"]
    assert found["readers"] == ["A", "B"]
    assert found["bias_mm"] == pytest.approx(BIAS, abs=0.02)
    low, high = found["limits_mm"]
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(2) * ERROR, rel=0.15)
    assert found["icc_2_1"] < found["icc_3_1"] - 0.01
    assert found["smallest_detectable_change_mm"] > 1.96 * math.sqrt(2) * ERROR * 1.3
    assert report.figures["between_all"]["icc_2_1"] == pytest.approx(found["icc_2_1"])


def test_a_reader_is_compared_with_the_automatic_measurement(report: MeasuringReport) -> None:
    found = report.figures["automatic"]["B"]
    assert found["joints"] == JOINTS
    assert found["bias_mm"] == pytest.approx(BIAS, abs=0.02)
    assert found["bias_interval_mm"][0] > 0.0


def test_grades_have_kappa_with_intervals(report: MeasuringReport) -> None:
    within, between = report.figures["within"]["A"], report.figures["between"][0]
    assert within["kappa_linear"] < within["kappa_quadratic"] < 1.0
    assert between["kappa_quadratic"] < within["kappa_quadratic"]
    low, high = within["kappa_quadratic_interval"]
    assert low < within["kappa_quadratic"] < high


def test_the_report_is_json_and_its_table_is_csv(report: MeasuringReport) -> None:
    assert json.loads(json.dumps(report.figures, allow_nan=False)) == report.figures
    table = pd.read_csv(io.StringIO(report.csv))
    assert list(table.columns) == list(COLUMNS)
    counts = table["comparison"].value_counts().to_dict()
    assert counts == {"first and repeat": 2, "automatic and reader": 2, "all readers": 1, "two readers": 1}
    row = table[table["comparison"] == "two readers"].iloc[0]
    assert row["bias_mm"] == pytest.approx(report.figures["between"][0]["bias_mm"])
    assert [row["bias_low_mm"], row["bias_high_mm"]] == pytest.approx(report.figures["between"][0]["bias_interval_mm"])
    assert row["kappa_linear_low"] < row["kappa_linear"] < row["kappa_linear_high"]


def test_a_name_is_no_formula_in_a_spreadsheet() -> None:
    records = [record("=1+1", joint, 1.0 + joint) for joint in range(4)]
    found = measuring_report(records, {f"joint {row}": 1.1 + row for row in range(4)})
    assert set(found.figures["readers"]) == {"=1+1"}
    assert "'=1+1" in found.csv and ",=1+1" not in found.csv


def test_too_few_joints_have_a_reason_instead_of_a_number() -> None:
    records = [record("A", joint, 1.0 + joint) for joint in range(2)]
    found = measuring_report(records, {"joint 0": 1.0})
    assert found.figures["automatic"]["A"] == {"joints": 1, "not_computed": "1 joints in common; at least 3 are needed"}
    assert "at least 2 are needed" in found.figures["between_all"]["not_computed"]
    assert found.table["icc_2_1"].isna().all()


def test_no_records_and_equal_values_have_reasons() -> None:
    assert measuring_report([], {}).figures["between_all"]["readers"] == 0
    records = [record("A", joint, 1.0) for joint in range(5)]
    found = measuring_report(records, {f"joint {row}": 1.0 for row in range(5)})
    assert found.figures["automatic"]["A"]["not_computed"] == "all values are equal"


def test_joints_that_cannot_be_measured_are_counted_and_left_out() -> None:
    records = [record("A", joint, None if joint == 0 else 1.0 + 0.1 * joint) for joint in range(6)]
    automatic = {f"joint {row}": None if row == 1 else 1.0 + 0.1 * row for row in range(6)}
    found = measuring_report(records, automatic)
    assert found.figures["not_measurable"] == found.figures["readers"]["A"]["not_measurable"] == 1
    assert found.figures["automatic"]["A"]["joints"] == 4


def test_the_last_record_of_a_joint_counts() -> None:
    records = [record("A", joint, 9.0) for joint in range(4)] + [record("A", joint, 1.0 + joint) for joint in range(4)]
    found = measuring_report(records, {f"joint {row}": 1.0 + row for row in range(4)})
    assert found.figures["automatic"]["A"]["bias_mm"] == 0.0
