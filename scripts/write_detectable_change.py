"""Write the smallest detectable change of the joint space by finger, as a table that measurements read.

    python scripts/write_detectable_change.py docs/results/public_joints.csv \\
      --retakes docs/results/joint_space.json --output models/detectable_change.json

``detectable_mm`` is 1.96 sqrt(2) times the standard deviation within joints over the visits in a table of
scripts/measure_joints.py, an upper limit. ``retaken_phantoms_mm`` is the same over re-takes of phantoms (shifted,
rotated, tilted, with other noise and dose), by measure joint_space_phantoms of an evaluation: a lower limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import pandas as pd
from bundle.base import parse_json
from bundle.errors import InputError, report_plainly
from bundle.io import check_destination, write_bytes
from bundle.joint import FINGERS
from bundle.statistics import repeatability

DEFINITION = "1.96 sqrt(2) times the standard deviation within joints over their visits; includes true changes"
DIGITS = 4


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write the smallest detectable change of the joint space by finger.")
    parser.add_argument("table", type=Path)
    parser.add_argument("--retakes", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    report_plainly()
    check_destination(given.output)
    write_bytes(given.output, (json.dumps(content(given.table, given.retakes), indent=1) + "\n").encode())


def content(table: Path, retakes: Path) -> dict[str, Any]:
    """Return the content of the file; raises :class:`InputError` if a finger has no joint with two measurements."""
    rows, phantoms = _rows(table), _phantoms(retakes)
    fingers = {finger: {**of_finger(rows[rows["finger"] == finger]), **phantoms(finger)} for finger in FINGERS}
    absent = [finger for finger, found in fingers.items() if not found["joints"]]
    if absent:
        msg = f"{table}: no joint with two measurements of the {', '.join(absent)} finger. Measure more joints."
        raise InputError(msg)
    return {"definition": DEFINITION, "visits": table.name, "retakes": retakes.name, "fingers": fingers}


def of_finger(rows: pd.DataFrame) -> dict[str, Any]:
    """Describe the repeatability over the visits of a finger's joints."""
    measured = rows.dropna(subset=["joint_space_mm"])
    several = measured[measured.groupby("joint")["joint_space_mm"].transform("size") > 1]
    found = repeatability(several["joint_space_mm"], several["joint"]) if len(several) else float("nan")
    counts = {"joints": several["joint"].nunique(), "radiographs": len(several)}
    return {"detectable_mm": round(found, DIGITS), **counts}


def _rows(table: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(table)[["joint", "finger", "joint_space_mm"]]
    except (OSError, ValueError, KeyError) as error:
        msg = f"{table}: not a table of measured joints ({type(error).__name__}). Run scripts/measure_joints.py."
        raise InputError(msg) from error


def _phantoms(retakes: Path) -> Any:
    """Return a function from a finger to ``retaken_phantoms_mm``."""
    try:
        measure = parse_json(retakes.read_bytes())["measures"]["joint_space_phantoms"]["figures"]["surfaces"]
        by_finger: Mapping[str, float] = measure["sdd_by_finger"]
        return lambda finger: {"retaken_phantoms_mm": round(float(by_finger[finger]), DIGITS)}
    except (OSError, ValueError, LookupError, TypeError) as error:
        msg = (
            f"{retakes}: no re-takes by finger ({type(error).__name__}: {error}). Write it by an evaluation with the "
            "measure joint_space_phantoms."
        )
        raise InputError(msg) from error


if __name__ == "__main__":
    main()
