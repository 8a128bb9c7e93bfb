"""Patients, visits and series of radiographs: joint by joint over folders, days without dates, sides that agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle.errors import InputError
from bundle.io.frames import JointPlace
from bundle.io.lists import FOLDER, read_datalist
from bundle.io.loading import open_joints
from bundle.io.mark_names import read_mark_name
from bundle.io.marks import marked_joints
from bundle.joint import MCP
from PIL import Image
from pydicom import dcmread

PIXELS = np.arange(64 * 64).reshape(64, 64) % 251


@pytest.fixture
def hand(make: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Write a DICOM file and its marks below the data set."""

    def write(place: str, marks: str = "index", **attributes: Any) -> Path:
        dataset = dcmread(make(PIXELS, PixelSpacing=[0.5, 0.5], **attributes))
        path = tmp_path / "Data" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path)
        rows = [f"{mark},32,32,0,-1" for mark in marks.split(",")]
        path.with_suffix(".csv").write_text("\n".join(["name,x,y,direction_x,direction_y", *rows]))
        return path

    return write


def opened(folder: Path, datalist: str = FOLDER) -> list[dict[str, Any]]:
    return [joint for item in read_datalist(folder, datalist) for joint in open_joints(item)[1]]


def picture(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS.astype(np.uint8)).save(path)
    return path.name


def test_visits_are_days_since_the_first_study_of_each_patient(hand: Callable[..., Path], tmp_path: Path) -> None:
    days = {"a/2.dcm": ("P1", "20200301"), "b/1.dcm": ("P1", "20200228"), "c/1.dcm": ("P2", "20190101")}
    for place, (patient, day) in {**days, "c/2.dcm": ("P2", ""), "d/1.dcm": ("P3", "no date")}.items():
        hand(place, PatientID=patient, StudyDate=day)
    found = opened(tmp_path / "Data")
    assert [joint["visit"] for joint in found] == ["2", "0", "0", "", ""]
    assert len({joint["patient"] for joint in found}) == 3
    assert "2020" not in json.dumps([{**joint, "image": "", "points": ""} for joint in found])


def test_two_visits_of_a_patient_are_one_series_wherever_they_are(hand: Callable[..., Path], tmp_path: Path) -> None:
    for place, mark in (("2019/a.dcm", "mcp2,ring"), ("2024/b.dcm", "Index,MCP IV")):
        hand(place, mark, PatientID="P1", ImageLaterality="R")
    hand("2024/c.dcm", "index", PatientID="P1", ImageLaterality="L")
    hand("2024/d.dcm", "index", PatientID="P2", ImageLaterality="R")
    series = [joint["series"] for joint in opened(tmp_path / "Data")]
    assert series[:2] == series[2:4] and len(set(series)) == 4


def test_without_a_side_a_series_holds_within_the_folder(hand: Callable[..., Path], tmp_path: Path) -> None:
    for place in ("a/1.dcm", "a/2.dcm", "b/1.dcm"):
        hand(place, "index", PatientID="P1")
    one, two, other = (joint["series"] for joint in opened(tmp_path / "Data"))
    assert one == two != other


def test_pictures_are_of_the_patient_of_their_folder_except_at_the_root(tmp_path: Path) -> None:
    for place in ("a/1.png", "a/2.png", "b/1.png", "x.png"):
        picture(tmp_path / "Data" / place)
    found = {Path(item["image"]).name + item["joint"]: item for item in read_datalist(tmp_path / "Data", FOLDER)}
    assert [item["patient"] for item in found.values()] == ["a", "a", "b", ""]
    assert {item["visit"] for item in found.values()} == {""}


def test_a_list_states_patient_and_visit(tmp_path: Path) -> None:
    names = [picture(tmp_path / "Data" / f"{name}.png") for name in "abcd"]
    stated: list[dict[str, Any]] = [{"patient": "p", "visit": 400}, {"patient": "p", "visit": 35}, {"joint": "j"}, {}]
    entries = [{"image": name, **more} for name, more in zip(names, stated, strict=True)]
    (tmp_path / "Data" / "L.json").write_text(json.dumps(entries))
    found = read_datalist(tmp_path / "Data", "L")
    assert [(item["patient"], item["visit"]) for item in found] == [("p", "365"), ("p", "0"), ("j", ""), ("", "")]


@pytest.mark.parametrize("wrong", [{"visit": "2019-01-01"}, {"visit": True}, {"visit": 1e7}, {"patient": 3}])
def test_a_visit_that_is_no_number_and_a_patient_without_a_name_are_refused(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    (tmp_path / "L.json").write_text(json.dumps([{"image": picture(tmp_path / "a.png"), **wrong}]))
    with pytest.raises(InputError, match=f'as "{next(iter(wrong))}"'):
        read_datalist(tmp_path, "L")


def test_a_patients_folder_named_by_a_date_is_hidden(tmp_path: Path) -> None:
    picture(tmp_path / "Data" / "19580131" / "a.png")
    (item,) = read_datalist(tmp_path / "Data", FOLDER)
    assert "1958" not in item["patient"] and item["patient"]


def test_contradicting_sides_are_reported_and_the_header_applies(
    hand: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hand("a/1.dcm", "index left,ring", ImageLaterality="R")
    one, other = opened(tmp_path / "Data")
    assert (one["side"], other["side"], other["side_conflict"]) == ("right", "right", "")
    assert one["side_conflict"] == "the DICOM header states right, the mark states left"
    assert [record.getMessage() for record in caplog.records] == [
        f"{one['name']}: the DICOM header states right, the mark states left. Used: right."
    ]


def test_marks_that_state_the_same_joint_are_told_apart_by_their_labels() -> None:
    hand = {"name": "h", "joint": "p", "finger": "ring", "side": "unknown", "patient": ""}
    names = ("index a", "index b", "PIP 2 a")
    places = [JointPlace(name, (0.0, 0.0), stated=read_mark_name(name)) for name in names]
    found = marked_joints(hand, places, {}, MCP)
    assert [joint["finger"] for joint in found] == ["index"] * 3
    assert [joint["series"] for joint in found] == ["p_unknown_index a", "p_unknown_index b", "p_unknown_index_pip"]
    assert marked_joints(hand, places[:1], {}, MCP)[0]["finger"] == "ring"
