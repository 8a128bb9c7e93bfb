"""The table of joints: written, read back, resumed, and what it says of refused joints."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.inference.joint_table import COLUMNS, JOINT_LINES, TABLE, JointTable, table_row
from bundle.io.frames import JointFrame, JointPlace
from bundle.measurement.joint_space import JointSpace, measure_joint_space
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters

HEADER = (
    "name,patient,visit,hand,side,finger,joint,x,y,score,joint_space_mm,joint_space_sd_mm,joint_space_min_mm,"
    "network_mm,network_sd_mm,grade,refused,plausible,reasons,masks,spacing_mm,spacing_source"
)
QUALITY = {"flagged": True, "reasons": ["too dark", "no edge"]}


@pytest.fixture(scope="module")
def spaces() -> tuple[JointSpace, JointSpace]:
    """A measured joint space and a refused one."""
    made = render(sample_parameters(4, outline_gap_mm=0.2))
    masks = (made.masks > 0.5).float()[None]
    measured = [measure_joint_space(made.layers[None], some, 21 / 256) for some in (masks, torch.zeros_like(masks))]
    return measured[0], measured[1]


def joint(name: str = "a", **more: Any) -> dict[str, Any]:
    known = {"name": name, "side": "left", "finger": "index", "spacing": torch.tensor([21 / 256]), "masks": "predicted"}
    return {**known, "spacing_source": "file", "patient": "patient_1", **more}


def test_the_joint_space_of_an_open_growth_plate_is_refused_unless_requested(
    tmp_path: Path, spaces: tuple[JointSpace, JointSpace]
) -> None:
    growing, grown = joint(growth_plate="open"), joint(growth_plate="closed")
    refused = JointTable(tmp_path).checked(growing, spaces[0])
    row = JointTable(tmp_path).append(growing, refused, {})
    assert row["refused"] and row["joint_space_mm"] is row["joint_space_min_mm"] is row["grade"] is None
    assert row["reasons"] == "joint space: open growth plate"
    assert JointTable(tmp_path).checked(grown, spaces[0]) is spaces[0]
    assert JointTable(tmp_path, open_growth_plates=True).checked(growing, spaces[0]) is spaces[0]


def test_lengths_by_an_estimated_spacing_are_given_on_request_with_its_doubt(
    tmp_path: Path, spaces: tuple[JointSpace, JointSpace]
) -> None:
    grown = joint(growth_plate="closed", spacing_source="estimated")
    silent, asked = JointTable(tmp_path / "a"), JointTable(tmp_path / "b", estimate_spacing=True)
    for table in (silent, asked):
        table.folder.mkdir()
    row = silent.append(grown, silent.checked(grown, spaces[0]), {})
    lengths = [name for name in COLUMNS if name.endswith("_mm")]
    assert [row[name] for name in (*lengths, "grade", "spacing_source")] == [None] * (len(lengths) + 2)
    assert row["refused"] and row["reasons"] == "joint space: no pixel spacing"
    row = asked.append(grown, asked.checked(grown, spaces[0]), {})
    assert row["joint_space_mm"] == pytest.approx(float(spaces[0].mean), abs=0.001)
    assert row["joint_space_sd_mm"] > 0.1 * row["joint_space_mm"] and row["spacing_source"] == "estimated"


@pytest.mark.parametrize("plate", ["open", "unknown"])
def test_no_length_is_estimated_from_the_hand_of_a_child(
    tmp_path: Path, spaces: tuple[JointSpace, JointSpace], plate: str
) -> None:
    growing = joint(growth_plate=plate, spacing_source="estimated")
    table = JointTable(tmp_path, estimate_spacing=True)
    assert table.append(growing, table.checked(growing, spaces[0]), {})["joint_space_mm"] is None


def test_a_row_has_the_columns_and_the_measured_values(spaces: tuple[JointSpace, JointSpace]) -> None:
    assert ",".join(COLUMNS) == HEADER
    row = table_row(joint(), spaces[0], {"flagged": False, "reasons": []})
    assert row["joint_space_mm"] == pytest.approx(float(spaces[0].mean), abs=0.001)
    assert row["joint_space_min_mm"] <= row["joint_space_mm"]
    assert (row["side"], row["finger"], row["joint"], row["masks"]) == ("L", "index", "MCP", "predicted")
    assert (row["refused"], row["plausible"], row["reasons"], row["patient"]) == (False, True, None, "patient_1")
    assert row["visit"] is row["x"] is row["network_mm"] is None


def test_a_refused_joint_keeps_its_row_without_a_width_and_with_every_reason(
    spaces: tuple[JointSpace, JointSpace],
) -> None:
    row = table_row(joint(), spaces[1], QUALITY)
    assert row["joint_space_mm"] is row["joint_space_sd_mm"] is row["grade"] is None
    assert (row["refused"], row["plausible"]) == (True, False)
    assert row["reasons"].split("; ")[1:] == ["too dark", "no edge"] and row["reasons"].startswith("joint space: ")


@pytest.mark.parametrize("row", [0, 1])
def test_the_prediction_of_the_network_has_columns_of_its_own(
    tmp_path: Path, spaces: tuple[JointSpace, JointSpace], row: int
) -> None:
    table = JointTable(tmp_path, regressor=lambda image, spacing: (1.23456, float(image.mean()) * spacing))
    given = joint(image=torch.full((3, 4, 4), 2.0))
    table.append(given, spaces[row], {})
    (found,) = table.rows()
    assert (found["network_mm"], found["network_sd_mm"]) == (1.235, round(2 * 21 / 256, 3))
    assert (found["joint_space_mm"] is None) == found["refused"] == bool(row)


@pytest.mark.parametrize(("apart", "said"), [(0.29, None), (0.45, "0.45 mm more"), (-0.5, "0.50 mm less")])
def test_a_prediction_far_from_the_measurement_is_a_reason_for_doubt(
    spaces: tuple[JointSpace, JointSpace], apart: float, said: str | None
) -> None:
    network = float(spaces[0].mean) + apart, 0.05
    row = table_row(joint(), spaces[0], {}, network=network)
    assert row["joint_space_mm"] is not None and not row["refused"]
    assert row["reasons"] is None if said is None else f"the network predicts {said}" in row["reasons"]
    assert "network" not in table_row(joint(), spaces[1], {}, network=network)["reasons"]


def test_the_grade_refers_to_the_normal_width(spaces: tuple[JointSpace, JointSpace]) -> None:
    width = float(spaces[0].mean)
    assert [table_row(joint(), spaces[0], {}, normal)["grade"] for normal in (width / 1.1, width / 0.6)] == [0, 2]


def test_a_joint_of_a_hand_states_its_place(spaces: tuple[JointSpace, JointSpace]) -> None:
    frame = JointFrame(JointPlace("index", (412.25, 300.5)), (0.1, 0.2)).to_json()
    row = table_row(joint("hand7_index", frame=frame, points="marks.csv"), spaces[0], {})
    assert (row["hand"], row["x"], row["y"], row["spacing_mm"]) == ("hand7", 412.25, 300.5, 0.2)


def test_the_table_is_the_lines_and_a_resumed_run_replaces_rows(
    tmp_path: Path, spaces: tuple[JointSpace, JointSpace]
) -> None:
    table = JointTable(tmp_path)
    table.append(joint("a"), spaces[0], {})
    table.append(joint("b"), spaces[1], QUALITY)
    with (tmp_path / JOINT_LINES).open("a") as file:
        file.write('{"name": "c", "joint_sp')  # cut off by a kill
    table.keep(["a", "b"])
    table.append(joint("b"), spaces[0], {})
    table.finish()
    with (tmp_path / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a", "b"]
    assert [row["refused"] for row in rows] == ["false", "false"]
    first = json.loads((tmp_path / JOINT_LINES).read_text().splitlines()[0])
    assert rows[0]["joint_space_mm"] == str(first["joint_space_mm"])
    assert rows[0]["visit"] == ""


def test_the_table_is_complete_at_any_time_without_the_end_of_a_run(
    tmp_path: Path, spaces: tuple[JointSpace, JointSpace]
) -> None:
    table = JointTable(tmp_path)
    for name in "abc":
        table.append(joint(name), spaces[0], QUALITY)
    killed = (tmp_path / TABLE).read_bytes()
    table.finish()
    assert killed == (tmp_path / TABLE).read_bytes() and len(killed.splitlines()) == 4
    table.keep(["b"])
    with (tmp_path / TABLE).open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["b"]


def test_odd_lines_are_no_rows_and_a_table_without_rows_leaves_no_file(
    tmp_path: Path, spaces: tuple[JointSpace, JointSpace]
) -> None:
    table = JointTable(tmp_path)
    table.append(joint("a"), spaces[0], {})
    with (tmp_path / JOINT_LINES).open("ab") as file:
        file.write(b'{"name": ["x"]}\n{"name": 5}\n{"name": "b"}\n[1]\n\xff\x00\n' + b"[" * 9999 + b"\n")
    assert [row["name"] for row in table.rows()] == ["a"]
    table.finish()
    table.keep([])
    assert not (tmp_path / JOINT_LINES).exists()
    table.finish()
    assert not (tmp_path / TABLE).exists()


@pytest.mark.parametrize("normal", [0.0, -1.0, "wide", None, float("nan")])
def test_a_normal_width_that_is_no_length_is_refused(tmp_path: Path, normal: Any) -> None:
    with pytest.raises(InputError, match="normal_joint_space_mm"):
        JointTable(tmp_path, normal)
