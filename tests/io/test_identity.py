"""Results are named after their files only where that tells nothing of the patient."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from bundle.base.redaction import pseudonym
from bundle.io.identity import (
    patient_of,
    private_folder,
    private_label,
    private_list,
    private_name,
    private_setting,
    safe_name,
)
from bundle.io.lists import read_datalist
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

PIXELS = np.full((8, 8), 5)


@pytest.mark.parametrize("name", ["hand", "00054_L_13_1", "case_7", "2nd_visit", "phantom_1000000", "joint_12345678"])
def test_a_name_that_tells_nothing_is_kept(tmp_path: Path, name: str) -> None:
    assert private_name(name, tmp_path / f"{name}.png") == name


@pytest.mark.parametrize(
    "name",
    ["1.2.840.10008.1.2", "a_1.2.826.0.1.3680043.8_b", "1_2_840_10008_1", "hand_20240131", "1958-12-03", "x19991231y"],
)
def test_uids_and_dates_are_replaced_whatever_the_file(tmp_path: Path, name: str) -> None:
    found = private_name(name, tmp_path / "a.png")
    assert found.startswith("radiograph_") and name not in found
    assert private_name(name, tmp_path / "a.png") == found != private_name(f"{name}_2", tmp_path / "a.png")


@pytest.mark.parametrize("name", ["case_doe_1", "JANE", "hand_p-4711", "acc99x", "somewhere_clinic"])
def test_what_the_header_says_of_the_patient_is_replaced(make: Callable[..., Path], name: str) -> None:
    path = make(
        PIXELS, PatientName="Doe^Jane", PatientID="P-4711", AccessionNumber="ACC99", InstitutionName="Somewhere_Clinic"
    )
    assert private_name(name, path).startswith("radiograph_")
    assert private_name("hand", path) == "hand"


def test_a_broken_header_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"no header")
    assert private_name("a", tmp_path / "a.dcm") == "a"


def test_files_of_a_patient_are_known_to_belong_together_without_a_name(make: Callable[..., Path]) -> None:
    one, again, other, nobody = (
        patient_of(str(make(PIXELS, PatientID=identity))) for identity in ("P-4711", "P-4711", "P-4712", "")
    )
    assert one == again != other and nobody == "" and "4711" not in one


def test_files_that_are_no_dicom_belong_to_no_patient(tmp_path: Path) -> None:
    for name in ("a.dcm", "a.png"):
        (tmp_path / name).write_bytes(b"no header")
        assert patient_of(str(tmp_path / name)) == ""


def test_a_safe_name_is_that_of_one_file() -> None:
    assert safe_name("../a b/c:d") == "_a_b_c_d"


@pytest.mark.parametrize("name", ["31.12.1958", "a_31121958", "12-31-1958", "hand 1958_12_31"])
def test_dates_are_replaced_in_any_order(tmp_path: Path, name: str) -> None:
    assert private_name(name, tmp_path / "a.png") == pseudonym(name)


@pytest.mark.parametrize("name", ["nested_patient", "p_4711", "MÜLLER", "mueller_x_19580131", "in private hands"])
def test_sequences_private_elements_and_other_spellings_are_looked_at(make: Callable[..., Path], name: str) -> None:
    item = Dataset()
    item.PatientName, item.PatientID = "Nested^Patient", "P-4711"
    path = make(PIXELS, PatientName="Muller^Anna", RequestAttributesSequence=[item], StudyDate="19580131")
    dataset = pydicom.dcmread(path)
    dataset.private_block(0x0011, "MAKER", create=True).add_new(1, "LO", "in private")
    dataset.save_as(path)
    assert private_name(name, path) == pseudonym(name)


def test_a_value_that_cannot_be_read_hides_no_other(make: Callable[..., Path]) -> None:
    path = make(PIXELS, PatientName="Doe^Jane")
    dataset = pydicom.dcmread(path)
    dataset.add(RawDataElement(Tag("PatientSize"), "DS", 4, b"tall", 0, False, True))
    dataset.save_as(path)
    assert private_name("case_doe", path) == pseudonym("case_doe")


def test_what_one_header_tells_is_hidden_in_the_names_of_all_files_of_a_list(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    make(PIXELS, PatientName="Doe^Jane")
    for name in ("doe", "plain"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"")
    found = {Path(item["image"]).parent.name: item for item in read_datalist(tmp_path, "*")}
    assert found["doe"]["joint"] == pseudonym("doe") and found["doe"]["name"] == pseudonym("doe_1")
    assert (found["plain"]["joint"], found["plain"]["name"]) == ("plain", "plain_1")


@pytest.mark.parametrize("label", ["index", "MCP2", "Index MCP 2", "left hand: ring", "47", "F-1", "a", ""])
def test_a_label_of_anatomy_is_kept_as_a_part_of_a_file_name(label: str) -> None:
    assert private_label(label) == safe_name(label)


@pytest.mark.parametrize("label", ["Doe Jane index", "index of DOE^JANE", "Doeindex", "index 47110815", "J D index"])
def test_of_another_label_words_of_anatomy_alone_are_kept(label: str) -> None:
    found = private_label(label)
    assert re.fullmatch(r"mark_[0-9a-f]{12}(_of)?_index(_of)?", found) and private_label(found) == found
    assert found != private_label(f"{label}s") and "doe" not in found.lower()


@pytest.mark.parametrize(
    ("folder", "shown"),
    [("/a/Doe/Data", "Data"), ("Doe Jane/hands_train/", "hands_train"), ("/x/joints.pack", "joints.pack")],
)
def test_of_a_folder_the_last_part_is_kept_if_it_tells_nothing(folder: str, shown: str) -> None:
    assert private_folder(folder) == shown
    assert re.fullmatch(r"folder_[0-9a-f]{12}", private_folder(f"{folder}/Jane"))


def test_the_lists_of_a_split_have_one_pseudonym() -> None:
    train, test = (private_list(f"doe_{side}.json") for side in ("train", "test"))
    assert train.removesuffix("_train") == test.removesuffix("_test") == private_list("doe")
    assert [private_list(name) for name in ("LS_K1_all_test", "*", "")] == ["LS_K1_all_test", "*", ""]


def test_settings_tell_names_instead_of_places() -> None:
    settings = {"dataset_dir": "/a/Doe/Data", "runs": [{"datalist": "doe_train", "weights": "/a/Doe/x.pt", "seed": 1}]}
    shown = {"dataset_dir": "Data", "runs": [{"datalist": private_list("doe_train"), "weights": "x.pt", "seed": 1}]}
    assert private_setting("", settings) == shown
