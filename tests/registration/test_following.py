"""Joints over visits: a line per radiograph, changes from the first visit, and nothing where it is not known."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.inference.joint_table import COLUMNS as MEASURED
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.registration.following import COLUMNS, FollowUp, in_order
from bundle.registration.following_plot import plot_joints
from bundle.registration.gauss_newton import BoneShift
from bundle.registration.method import Registration
from bundle.registration.report import PairQuality
from bundle.workflow.weights import NetworkWeights
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
SPACING = 21 / 64
FILES = [str(ROOT / "models" / f"{name}.json") for name in ("plausibility", "detectable_change")]


class Shifts(Registration):
    """A method that finds the upper bone 0.4 mm lower, or no bone."""

    name = "shifts"

    def __init__(self, finds: bool = True) -> None:
        self.finds = finds

    def __call__(
        self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, *, after_masks: Tensor | None = None
    ) -> tuple[BoneShift, BoneShift]:
        return BoneShift(0.0, 0.0, 0.0, 1.0, self.finds), BoneShift(0.0, 0.4, 0.0, 1.0, self.finds)


class Table:
    """Measured joint spaces, 1.5 mm at first and then 0.1 mm less at each radiograph."""

    def __init__(self, joints: list[dict[str, Any]], **more: Any) -> None:
        self.joints, self.more = joints, more

    def rows(self) -> list[dict[str, Any]]:
        known = {"side": "R", "finger": "ring", "joint": "MCP", "refused": False, "plausible": True}
        return [
            {
                **dict.fromkeys(MEASURED),
                **known,
                "name": joint["name"],
                "visit": int(joint["visit"]) if joint["visit"] else None,
                "joint_space_mm": round(1.5 - 0.1 * row, 3),
                "joint_space_sd_mm": 0.05,
                **self.more,
            }
            for row, joint in enumerate(self.joints)
        ]


def joints(*visits: str, **more: Any) -> list[dict[str, Any]]:
    known = {"finger": "ring", "side": "right", "patient": "patient_1", "series": "s", "joint": "j", **more}
    return [{**known, "name": f"{known['series']}{row}", "visit": visit} for row, visit in enumerate(visits)]


@pytest.fixture(scope="module")
def load() -> Callable[[dict[str, Any]], dict[str, Any]]:
    made = render(sample_parameters(3, size=64, spacing=SPACING))
    image = torch.cat([made.image, (made.masks > 0.5).float()])
    return lambda joint: {**joint, "image": image, "spacing": torch.tensor([SPACING * joint.get("scale", 1.0)])}


def writer(folder: Path, finds: bool = True) -> FollowUp:
    weights = NetworkWeights(torch.nn.Identity(), "")
    return FollowUp(str(folder), {}, Shifts(finds), weights, PairQuality(*FILES))


def followed(folder: Path) -> list[dict[str, str]]:
    with (folder / "narrowing.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    return rows


def test_the_visits_of_a_joint_are_registered_to_the_first_day(tmp_path: Path, load: Any) -> None:
    given = joints("400", "0", "30")
    writer(tmp_path).follow(given, load, Table(given))
    rows = followed(tmp_path)
    assert [row["days"] for row in rows] == ["0", "30", "400"]
    assert [row["change_mm"] for row in rows] == ["", "-0.1", "0.1"]
    assert [row["exceeds"] for row in rows] == ["", "false", "false"]
    assert [row["registered_change_mm"] for row in rows] == ["", "-0.4", "-0.4"]
    assert [row["joint_space_mm"] for row in rows] == ["1.4", "1.3", "1.5"]
    assert {(row["patient"], row["side"], row["finger"], row["joint"]) for row in rows} == {
        ("patient_1", "R", "ring", "MCP")
    }
    assert [path.name for path in tmp_path.glob("*.png")] == ["narrowing_patient_1.png"]


@pytest.mark.slow
def test_joints_of_a_patient_share_a_plot_and_joints_without_one_have_their_own(tmp_path: Path, load: Any) -> None:
    given = joints("0", "1") + joints("0", "1", series="t") + joints("", "", series="u", patient="")
    given += joints("5", series="v", patient="patient_2")
    writer(tmp_path).follow(given, load, Table(given))
    rows = followed(tmp_path)
    assert len(rows) == 7 and [row["days"] for row in rows].count("") == 2
    names = {"narrowing_patient_1.png", "narrowing_patient_2.png", "narrowing_u.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == names


def test_a_bone_that_is_not_found_leaves_no_change_and_the_reason(tmp_path: Path, load: Any) -> None:
    given = joints("0", "9")
    writer(tmp_path, finds=False).follow(given, load, Table(given, reasons="too dark"))
    first, later = followed(tmp_path)
    assert (later["registered_change_mm"], later["change_mm"], later["plausible"]) == ("", "-0.1", "false")
    assert (
        later["reasons"].startswith("too dark; ") and "registration: the lower bone was not found" in later["reasons"]
    )
    assert (first["plausible"], first["reasons"]) == ("true", "too dark")


def test_frames_that_differ_are_not_registered_and_sides_that_disagree_are_stated(tmp_path: Path, load: Any) -> None:
    given = joints("0", "9")
    given[1] |= {"scale": 1.1, "side_conflict": "the DICOM header states right, the mark states left"}
    writer(tmp_path).follow(given, load, Table(given, joint_space_mm=None, refused=True))
    first, later = followed(tmp_path)
    assert (later["change_mm"], later["exceeds"]) == ("", "")
    assert later["registered_change_mm"] == "" and "differ in size or spacing" in later["reasons"]
    assert "side: the DICOM header states right" in later["reasons"]
    assert (first["joint_space_mm"], first["refused"], first["plausible"]) == ("", "true", "true")


def test_joints_with_one_radiograph_each_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no two radiographs show the same joint"):
        writer(tmp_path / "out").check(joints("0") + joints("0", series="t"))
    assert not (tmp_path / "out").exists()


def test_radiographs_without_days_keep_the_order_of_the_list() -> None:
    assert [joint["name"] for joint in in_order(joints("9", "", "3"))] == ["s0", "s1", "s2"]


def test_a_plot_has_a_panel_for_each_hand_and_a_point_for_each_measurement() -> None:
    row = {**dict.fromkeys(COLUMNS), "finger": "ring", "joint": "MCP", "joint_space_sd_mm": 0.1}
    values = [("R", 0, 1.5, None), ("R", 90, 1.2, -0.3), ("L", 0, 1.4, None), ("L", 90, None, -0.1)]
    names = ("side", "days", "joint_space_mm", "registered_change_mm")
    rows = [{**row, **dict(zip(names, value, strict=True))} for value in values]
    right, left = plot_joints(rows, "patient_1").axes
    assert (right.get_title(), left.get_title()) == ("right hand", "left hand")
    assert right.get_xlabel() == "days since the first visit"
    points, changes = right.lines[0], right.lines[-1]
    assert points.get_xdata().tolist() == [0.0, 90.0] and changes.get_ydata().tolist() == pytest.approx([1.5, 1.2])
    undated = plot_joints([{**one, "days": None} for one in rows], "patient_1").axes[1]
    assert undated.get_xlabel() == "visit" and undated.lines[-1].get_ydata().tolist() == pytest.approx([1.4, 1.3])
