"""Report of measuring sessions: agreement within readers, between readers, and with the automatic measurement."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from bundle.errors import seed_argument
from bundle.io import plain
from bundle.reader_study.fields import csv_of, line_named
from bundle.reader_study.measuring import HIGHEST_GRADE, validated
from bundle.statistics import (
    absolute_agreement,
    bland_altman,
    bootstrap_interval,
    consistency,
    repeatability,
    weighted_kappa,
)
from numpy.typing import NDArray

FEWEST_JOINTS = 3
"""Smallest number of joints from which agreement is computed."""

_FIELDS = ("reader", "joint", "value_mm", "grade", "seconds", "repeat", "method", "displacement_mm")
_WEIGHTS = {"kappa_linear": 1, "kappa_quadratic": 2}

Values = dict[tuple[str, int], dict[str, Any]]
"""A value of each joint, by reader and repeat."""


@dataclass(frozen=True)
class MeasuringReport:
    """Agreement of measurements.

    Attributes:
        figures: the whole report, for JSON.
        table: one row per comparison, with the columns of :data:`COLUMNS`.
    """

    figures: dict[str, Any]
    table: pd.DataFrame

    @property
    def csv(self) -> str:
        """The table as CSV."""
        return csv_of(self.table)


COLUMNS = (
    *("comparison", "reader", "other", "joints", "icc_2_1", "icc_2_1_low", "icc_2_1_high"),
    *("icc_3_1", "icc_3_1_low", "icc_3_1_high", "bias_mm", "bias_low_mm", "bias_high_mm"),
    *("limits_low_mm", "limits_high_mm", "mae_mm", "smallest_detectable_change_mm"),
    *("kappa_joints", "kappa_linear", "kappa_linear_low", "kappa_linear_high"),
    *("kappa_quadratic", "kappa_quadratic_low", "kappa_quadratic_high", "not_computed"),
)
"""Columns of the table; cells are empty where a figure does not apply."""


def measuring_report(
    records: Iterable[Mapping[str, Any]], automatic: Mapping[str, float | None], *, seed: int = 0
) -> MeasuringReport:
    """Compute the agreement of measurements within readers, between readers, and with the automatic measurement.

    Each comparison has the number of ``joints`` measured by both sides, ICC(2,1) and ICC(3,1) with intervals,
    Bland-Altman bias with interval and limits of agreement, second minus first, and the smallest detectable change,
    ``1.96 sqrt(2)`` standard deviations within joints. Grades have Cohen's kappa with linear and quadratic weights.
    All intervals are 95 %. Below :data:`FEWEST_JOINTS` joints ``not_computed`` gives the reason instead. The last
    effective record of a reader, joint and repeat counts.

    Args:
        records: effective records of measurements (:meth:`bundle.reader_study.ReadingLog.effective`).
        automatic: automatic joint space width of each joint in mm; None where the measurement was refused.
        seed: random seed of the bootstrap intervals of kappa.

    Raises:
        InputError: a record is not a measurement.
    """
    seed = seed_argument("seed", seed)
    known = [_checked(record) for record in records]
    values, grades = _by_reader(known, "value_mm"), _by_reader(known, "grade")
    readers = sorted({record["reader"] for record in known})
    found = {
        "seed": seed,
        "level": 0.95,
        "measurements": len(known),
        "not_measurable": sum(record["value_mm"] is None for record in known),
        "readers": {reader: _workload(known, reader) for reader in readers},
        "within": {reader: _repeats(reader, values, grades, seed) for reader in readers},
        "between_all": _between_all(readers, values),
        "between": [_pair(pair, values, grades, seed) for pair in itertools.combinations(readers, 2)],
        "automatic": {reader: _with_automatic(values, reader, automatic) for reader in readers},
    }
    return MeasuringReport(plain(found), _table(found))


def _checked(record: Mapping[str, Any]) -> dict[str, Any]:
    with line_named(record):
        return validated({name: record.get(name) for name in _FIELDS})


def _by_reader(records: Iterable[Mapping[str, Any]], field: str) -> Values:
    found: Values = {}
    for record in records:
        found.setdefault((record["reader"], record["repeat"]), {})[record["joint"]] = record[field]
    return {key: {joint: value for joint, value in one.items() if value is not None} for key, one in found.items()}


def _workload(records: Sequence[Mapping[str, Any]], reader: str) -> dict[str, Any]:
    own = [record for record in records if record["reader"] == reader]
    return {
        "measurements": len(own),
        "joints": len({record["joint"] for record in own}),
        "repeats": sum(record["repeat"] for record in own),
        "not_measurable": sum(record["value_mm"] is None for record in own),
        "median_seconds": float(np.median([record["seconds"] for record in own])),
    }


def _repeats(reader: str, values: Values, grades: Values, seed: int) -> dict[str, Any]:
    first, second = ([found.get((reader, repeat), {}) for repeat in (0, 1)] for found in (values, grades))
    return {**agreement(first), **graded_agreement(second, seed)}


def _between_all(readers: Sequence[str], values: Values) -> dict[str, Any]:
    if len(readers) < 2:
        return {"readers": len(readers), "not_computed": f"{len(readers)} reader; at least 2 are needed"}
    return {"readers": len(readers), **agreement([values.get((reader, 0), {}) for reader in readers])}


def _pair(pair: tuple[str, str], values: Values, grades: Values, seed: int) -> dict[str, Any]:
    first, second = ([found.get((reader, 0), {}) for reader in pair] for found in (values, grades))
    return {"readers": list(pair), **agreement(first), **graded_agreement(second, seed)}


def _with_automatic(values: Values, reader: str, automatic: Mapping[str, float | None]) -> dict[str, Any]:
    known = {joint: value for joint, value in automatic.items() if value is not None and math.isfinite(value)}
    return agreement([known, values.get((reader, 0), {})])


def agreement(columns: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Compute the agreement of two or more measurements of the joints that all of them have.

    Args:
        columns: measurements in mm by joint, one mapping per rater; at least two.
    """
    joints = sorted(set.intersection(*(set(column) for column in columns)))
    ratings = np.array([[column[joint] for column in columns] for joint in joints], np.float64)
    if reason := _too_little(len(joints), ratings):
        return {"joints": len(joints), "not_computed": reason}
    both, fixed = absolute_agreement(ratings), consistency(ratings)
    found = {
        "joints": len(joints),
        "icc_2_1": both.value,
        "icc_2_1_interval": list(both.interval),
        "icc_3_1": fixed.value,
        "icc_3_1_interval": list(fixed.interval),
        "smallest_detectable_change_mm": repeatability(ratings.ravel(), np.repeat(joints, len(columns))),
    }
    return {**found, **_differences(ratings)} if len(columns) == 2 else found


def _differences(ratings: NDArray[np.float64]) -> dict[str, Any]:
    differences = bland_altman(ratings[:, 0], ratings[:, 1])
    return {
        "bias_mm": differences.bias,
        "bias_interval_mm": list(differences.bias_interval),
        "limits_mm": list(differences.limits),
        "limits_low_interval_mm": list(differences.lower_interval),
        "limits_high_interval_mm": list(differences.upper_interval),
        "mae_mm": differences.mae,
    }


def _too_little(joints: int, ratings: NDArray[np.float64]) -> str:
    if joints < FEWEST_JOINTS:
        return f"{joints} joints in common; at least {FEWEST_JOINTS} are needed"
    return "all values are equal" if np.ptp(ratings) == 0.0 else ""


def graded_agreement(columns: Sequence[Mapping[str, int]], seed: int) -> dict[str, Any]:
    """Compute Cohen's kappa of the grades of two raters, with bootstrap intervals over joints.

    Args:
        columns: grades 0 to 4 by joint of the two raters.
        seed: random seed of the bootstrap.
    """
    first, second = columns
    joints = sorted(set(first) & set(second))
    if len(joints) < FEWEST_JOINTS:
        return {"kappa_joints": len(joints)}
    grades = np.array([[first[joint], second[joint]] for joint in joints])
    found: dict[str, Any] = {"kappa_joints": len(joints)}
    for name, power in _WEIGHTS.items():

        def kappa(rows: NDArray[np.int64], power: int = power) -> float:
            return weighted_kappa(_counted(grades[rows]), power)

        value = kappa(np.arange(len(joints)))
        interval = bootstrap_interval(kappa, joints, seed=seed) if math.isfinite(value) else (math.nan, math.nan)
        found |= {name: value, f"{name}_interval": list(interval)}
    return found


def _counted(grades: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = np.zeros((HIGHEST_GRADE + 1,) * 2, np.int64)
    np.add.at(counts, (grades[:, 0], grades[:, 1]), 1)
    return counts


def _table(found: Mapping[str, Any]) -> pd.DataFrame:
    rows = [_row("first and repeat", reader, "", part) for reader, part in found["within"].items()]
    rows.append(_row("all readers", "", "", found["between_all"]))
    rows += [_row("two readers", part["readers"][0], part["readers"][1], part) for part in found["between"]]
    rows += [_row("automatic and reader", "automatic", reader, part) for reader, part in found["automatic"].items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(comparison: str, reader: str, other: str, part: Mapping[str, Any]) -> dict[str, Any]:
    row = {"comparison": comparison, "reader": reader, "other": other, **part}
    for name, value in part.items():
        if isinstance(value, list) and "interval" in name:
            stem, unit = name.split("_interval")
            row |= {f"{stem}_low{unit}": value[0], f"{stem}_high{unit}": value[1]}
    limits = part.get("limits_mm", (None, None))
    row |= {"limits_low_mm": limits[0], "limits_high_mm": limits[1]}
    return {name: row.get(name) for name in COLUMNS}
