"""Measure the joint spaces and surfaces of lists of joints, and write them to one CSV file without pixels.

    python scripts/measure_joints.py DATA --datalists LS_K1_all_train LS_K1_all_test \
      --output docs/results/public_joints.csv

A summary by finger goes into a JSON file beside it. Rerun the command to resume. Curves are in mm from the frame's
centre, along (y) and across (x) the joint's axis.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import pandas as pd
import torch
from bundle import Joint, separate
from bundle.errors import InputError, report_plainly
from bundle.evaluation.measures.joint_space import over_visits
from bundle.inference import described_space
from bundle.io import check_destination, write_bytes
from bundle.io.lists import read_datalist
from bundle.measurement import JointSpace, curve_positions, narrowing_grade, outline_gap_along_axis
from bundle.statistics import deviation_within, repeatability
from tqdm import tqdm

STEP = 5
"""Every fifth column of a curve is written, 0.5 mm apart."""

COLUMNS = (
    *("name", "joint", "finger", "side", "datalist", "joint_space_mm", "joint_space_sd_mm", "joint_space_min_mm"),
    *("outline_gap_mm", "grade", "doubt", "refused", "axis_deg", "x_mm", "head_mm", "floor_mm", "separator"),
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure the joint space of the joints of lists.")
    parser.add_argument("dataset_dir")
    parser.add_argument("--datalists", nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    report_plainly()
    check_destination(given.output)
    torch.set_num_threads(1)
    done = written(given.output)
    items = [(name, item) for name in given.datalists for item in read_datalist(given.dataset_dir, name)]
    left = [(name, item) for name, item in items if str(item["name"]) not in done]
    append(given.output, (row(name, item) for name, item in tqdm(left, unit="joint")))
    sort(given.output, [str(item["name"]) for _, item in items])
    figures = json.dumps(summary(pd.read_csv(given.output)), indent=1) + "\n"
    write_bytes(given.output.with_suffix(".json"), figures.encode())


def written(path: Path) -> set[str]:
    """Return the names of the joints that a file has; an unfinished last row, left by a kill, is removed.

    Raises:
        InputError: the file is not a table of this script.
    """
    if not path.is_file():
        return set()
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    rows = list(csv.reader(io.StringIO(whole.decode(errors="replace"))))
    if any(len(row) != len(COLUMNS) for row in rows) or (rows and tuple(rows[0]) != COLUMNS):
        msg = f"{path}: not a table of measured joints. Choose another --output, or delete the file."
        raise InputError(msg)
    if whole != content:
        write_bytes(path, whole)
    return {row[0] for row in rows[1:]}


def append(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append rows to a file, each as soon as it is made; a new file begins with the column names."""
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not file.tell():
            table.writeheader()
        for one in rows:
            table.writerow(one)
            file.flush()


def sort(path: Path, names: list[str]) -> None:
    """Write the rows in the order of the lists."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("name").loc[names].reset_index()
    write_bytes(path, rows.to_csv(index=False, lineterminator="\n").encode())


def summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Summarize the rows of each finger and of all."""
    groups = {"all": rows, **dict(iter(rows.groupby("finger")))}
    return {str(finger): figures(group) for finger, group in groups.items()}


def figures(rows: pd.DataFrame) -> dict[str, Any]:
    """Summarize joints: lengths in mm.

    ``visits_sd`` is the median over joints of the standard deviation over a joint's visits, that of a typical joint.
    ``detectable``, the smallest detectable change, is :func:`bundle.statistics.repeatability`: ``1.96 sqrt(2)`` times
    the pooled standard deviation within joints, to which less repeatable joints contribute fully. Because visits are
    months apart, it includes true changes and is an upper limit.
    """
    width = rows["joint_space_mm"]
    found = {"radiographs": len(rows), "refused": float(width.isna().mean()), "median": float(width.median())}
    visits = over_visits(rows, "joint_space_mm")
    measured = rows.dropna(subset=["joint_space_mm"])
    if not visits:
        return found
    return {**found, **visits, "detectable": repeatability(width.dropna(), measured["joint"]), **changes(measured)}


def changes(rows: pd.DataFrame) -> dict[str, float]:
    """Compare how joint space and rim change between the visits of a joint; standard deviations within joints in mm.

    The rim covers ``joint_space_mm - outline_gap_mm`` of the joint space. A tilt of the joint out of the plane of the
    radiograph changes this distance and the gap of the outlines, but not the joint space. ``gap_correlation`` is the
    correlation of gap and joint space within joints, ``covered_correlation`` that of the covered part and the joint
    space over the means of joints.
    """
    lengths = rows.assign(covered=rows["joint_space_mm"] - rows["outline_gap_mm"]).dropna(subset=["covered"])
    columns = ["joint_space_mm", "outline_gap_mm", "covered"]
    joints = lengths.groupby("joint")[columns]
    means, within = joints.mean(), lengths[columns] - joints.transform("mean")
    return {
        "joint_space_within": deviation_within(lengths["joint_space_mm"], lengths["joint"]),
        "covered_within": deviation_within(lengths["covered"], lengths["joint"]),
        "gap_correlation": float(within["joint_space_mm"].corr(within["outline_gap_mm"])),
        "covered_correlation": float(means["joint_space_mm"].corr(means["covered"])),
    }


def row(datalist: str, item: dict[str, Any]) -> dict[str, Any]:
    """Measure a joint; if it cannot be read, state only the reason."""
    known = {**{key: item[key] for key in ("name", "joint", "finger", "side")}, "datalist": datalist}
    try:
        joint = Joint.read(item["image"], lower=item["lower"], upper=item["upper"])
        layers = separate(joint)
    except InputError as error:
        return {**known, "refused": _reason(error, item)}
    space, gap = layers.joint_space, float(outline_gap_along_axis(joint.masks[None], joint.spacing_mm).mean)
    grade = int(narrowing_grade(space.mean)[0])
    measured = {**described_space(space), "grade": grade if grade >= 0 else "", "doubt": round(float(space.doubt), 2)}
    measured["outline_gap_mm"] = "" if math.isnan(gap) else round(gap, 3)
    return {**known, **measured, "refused": space.refused[0], **curves(space), "separator": layers.separator}


def _reason(error: InputError, item: dict[str, Any]) -> str:
    """The message of an error in one line, without the folder of the joint."""
    return " ".join(str(error).replace(str(Path(item["image"]).parent), "").split())[-200:]


def curves(space: JointSpace) -> dict[str, Any]:
    """Describe the surfaces of one joint in columns around the measured ones; empty without an axis."""
    surfaces = space.surfaces
    if not bool(surfaces.axis.isfinite()):
        return {}
    x = curve_positions() + float(surfaces.middle)
    lines = {"x_mm": x, "head_mm": surfaces.head[0], "floor_mm": surfaces.floor[0]}
    described = {name: ";".join(f"{value:.2f}" for value in line[::STEP].tolist()) for name, line in lines.items()}
    return {"axis_deg": round(float(surfaces.axis), 2), **described}


if __name__ == "__main__":
    main()
