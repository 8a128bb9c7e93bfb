"""The joints of a run: of lists, folders and hands, or phantoms; test joints are never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.io.joints import joint_items, training_joints
from bundle.io.lists import FOLDER, read_datalist
from bundle.io.loading import Item
from bundle.io.phantom_lists import SEEDS_PER_RUN, phantom_items
from bundle.io.splits import split_by_joint
from bundle.phantoms.sampling import sample_parameters
from PIL import Image
from tests.io.joint_folders import REASONS, SIZE, read_list, spoil, write_joint, write_list
from tests.io.refusals import refusal

HALVES = torch.arange(SIZE)[None, :, None].expand(2, -1, SIZE) >= SIZE // 2


def names(items: Sequence[Item]) -> set[str]:
    return {item["name"] for item in items}


@pytest.mark.parametrize("role", ["training", "validation", "untested"])
def test_no_test_joint_is_learned_from_in_a_whole_folder(
    public: Path, caplog: pytest.LogCaptureFixture, role: str
) -> None:
    """Nor another radiograph of it that no list names."""
    write_joint(public, "cases/00400_L_2", "unlisted")
    write_joint(public, "cases/00500_L_2", "of no list")
    found = joint_items(str(public), FOLDER, role, size=SIZE)
    assert found and not any("00400_L_2" in item["name"] for item in found)
    assert "2 of 11 radiographs are excluded: their joints are held out for tests by LS_test" in caplog.text
    if role == "untested":
        assert {item["joint"] for item in found} >= {"00500_L_2", "00054_L_13"} and len(found) == 9
        assert all(item["test_list"] == "" for item in found)
    assert "00400_L_2_one" in names(joint_items(str(public), FOLDER, size=SIZE))


def test_test_joints_are_taken_by_the_name_of_their_list_and_say_it(
    public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = joint_items(str(public), "LS_test", "untested", size=SIZE)
    assert [(item["name"], item["test_list"]) for item in found] == [("00400_L_2_one", "LS_test")]
    assert "1 of 1 radiographs are held out for tests by LS_test" in caplog.text
    assert {item["test_list"] for item in joint_items(str(public), "LS_train", "untested", size=SIZE)} == {""}


def test_test_images_of_a_flat_folder_are_left_out_one_by_one(tmp_path: Path) -> None:
    entries = [write_joint(tmp_path, ".", stem) for stem in "abcd"]
    write_list(tmp_path, "test.json", entries[:1])
    (tmp_path / "other.json").write_text('["no joints"]')
    found = joint_items(str(tmp_path), FOLDER, "untested", size=SIZE)
    assert sorted(Path(item["image"]).stem for item in found) == ["b", "c", "d"]
    write_list(tmp_path, "test.json", entries)
    message = refusal(joint_items, str(tmp_path), FOLDER, "untested", size=SIZE)
    assert "test.json: all radiographs of the folder are held out for tests" in message


def test_a_measure_trains_on_some_joints_of_the_partner_and_never_on_the_tested_ones(public: Path) -> None:
    tested = {item["joint"] for item in read_datalist(public, "LS_test")}
    drawn = training_joints(str(public), "LS_test", 5, seed=1, size=SIZE)
    assert len({item["name"] for item in drawn}) == len(drawn) == 5
    assert not tested & {item["joint"] for item in drawn}
    assert drawn == training_joints(str(public), "LS_test", 5, seed=1, size=SIZE)
    assert drawn != training_joints(str(public), "LS_test", 5, seed=2, size=SIZE)
    assert len(training_joints(str(public), "LS_test", 99, size=SIZE)) == 8


def test_without_a_partner_a_measure_has_no_joints_to_train_on(public: Path) -> None:
    assert training_joints(str(public), "alone.json", 5, size=SIZE) == []
    (public / "LS_train").unlink()
    assert training_joints(str(public), "LS_test", 5, size=SIZE) == []


def test_without_a_data_set_a_measure_trains_on_phantoms() -> None:
    assert training_joints("", "LS_test", 3, phantom_seed=7, size=SIZE) == phantom_items(3, 7, SIZE)


def test_a_measure_s_joints_that_cannot_be_used_are_left_out(public: Path) -> None:
    (public / read_list(public, "LS_train")[0]["lower"]).write_bytes(b"")
    assert len(training_joints(str(public), "LS_test", 99, size=SIZE)) == 7


def test_phantoms_can_be_trained_on_beside_the_joints_of_a_data_set(public: Path) -> None:
    alone, beside = (joint_items(str(public), "alone", "training", added_phantoms=n, size=SIZE) for n in (0, 3))
    assert beside == alone + phantom_items(3, 0, SIZE)
    validation = [joint_items(str(public), "alone", "validation", added_phantoms=n, size=SIZE) for n in (0, 3)]
    assert validation[0] == validation[1]


def test_phantoms_are_joints_of_their_own_with_the_parameters_of_their_seed() -> None:
    items = phantom_items(30, 2)
    assert [item["seed"] for item in items] == list(range(2 * SEEDS_PER_RUN, 2 * SEEDS_PER_RUN + 30))
    assert all(item["name"] == item["joint"] == f"phantom_{item['seed']}" for item in items)
    for item in items:
        parameters = sample_parameters(item["seed"])
        assert (item["finger"], item["side"]) == (parameters.finger, parameters.side)
        assert (item["outline_gap_mm"], item["spacing"]) == (parameters.outline_gap_mm, parameters.spacing)
        assert item["overlapping"] == (parameters.outline_gap_mm < 0)
    assert len({item["finger"] for item in items}) == 5
    assert {item["overlapping"] for item in items} == {True, False}


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (SEEDS_PER_RUN + 1, 0), (3, -1)])
def test_impossible_phantoms_are_refused(count: int, seed: int) -> None:
    assert f"{count} phantoms with the seed {seed}" in refusal(phantom_items, count, seed)


def test_several_takes_of_a_phantom_are_radiographs_of_one_joint() -> None:
    single, taken = phantom_items(2, 5), phantom_items(2, 5, takes=3)
    assert [item["retake"] for item in taken] == [0, 1, 2] * 2
    assert [item["joint"] for item in taken] == [item["joint"] for item in single for _ in range(3)]
    assert len({item["name"] for item in taken}) == 6
    assert [{**item, "name": item["joint"]} for item in single] == [
        {key: value for key, value in {**item, "name": item["joint"]}.items() if key != "retake"} for item in taken[::3]
    ]
    assert "at least one take" in refusal(phantom_items, 1, 0, takes=0)


def test_without_a_data_set_the_joints_are_phantoms() -> None:
    everything, training, validation = (
        joint_items("", "", role, phantoms=20, validation_fraction=0.25, seed=1)
        for role in ("all", "training", "validation")
    )
    assert everything == phantom_items(20, 1)
    assert (training, validation) == split_by_joint(everything, 0.25, 1)
    assert (len(training), len(validation)) == (15, 5)


def test_with_a_data_set_the_joints_are_audited(public: Path) -> None:
    spoil(public)
    names = {
        role: {item["name"] for item in joint_items(str(public), "alone", role, size=SIZE)}
        for role in ("all", "training", "validation")
    }
    assert names["training"] | names["validation"] == names["all"]
    assert not names["training"] & names["validation"]
    assert names["all"] == {item["name"] for item in read_datalist(public, "alone")} - set(REASONS)
    assert "rejected 00054_L_13_one" in refusal(joint_items, str(public), "alone", strict=True, size=SIZE)


def test_an_unknown_role_is_refused() -> None:
    assert '"train"' in refusal(joint_items, "", "", "train")


def drawn(image: Any) -> Any:
    """Masks of the lower and the upper half."""
    return torch.stack([HALVES[0], ~HALVES[1]]).float()


def test_items_say_whose_masks_they_have_and_rejected_ones_are_kept_with_the_reason(tmp_path: Path) -> None:
    write_joint(tmp_path, "a", "one")
    Image.new("L", (SIZE, SIZE), 90).save(tmp_path / "two.png")
    (tmp_path / "bad.dcm").write_text("no DICOM")
    joints = joint_items(str(tmp_path), FOLDER, size=SIZE, segment=drawn)
    assert [(Path(item["image"]).name, item["masks"]) for item in joints] == [
        ("one.jpg", "given"),
        ("two.png", "predicted"),
    ]
    assert len({frozenset(item) for item in joints}) == 1
    (rejected,) = joints.rejected
    assert rejected["name"].endswith("bad") and "the DICOM header is missing" in rejected["reason"]


def test_one_bad_joint_of_a_hand_leaves_the_others(tmp_path: Path) -> None:
    Image.new("L", (200, 200), 90).save(tmp_path / "hand.png")
    (tmp_path / "hand.csv").write_text("name,x,y,tip_x,tip_y\nindex,100,100,100,0\nring,10,100,10,0\n")
    joints = joint_items(str(tmp_path), FOLDER, size=SIZE, spacing=0.2, segment=drawn)
    assert [item["name"].rpartition("_")[2] for item in joints] == ["index"]
    assert [line["name"].rpartition("_")[2] for line in joints.rejected] == ["ring"]
    assert "inside the radiograph" in joints.rejected[0]["reason"]


def test_joints_of_a_hand_whose_names_are_alike_as_files_have_names_of_their_own(tmp_path: Path) -> None:
    Image.new("L", (300, 300), 90).save(tmp_path / "hand.png")
    (tmp_path / "hand.csv").write_text("name,x,y,tip_x,tip_y\na/b,150,150,150,0\na_b,140,150,140,0\n")
    joints = joint_items(str(tmp_path), FOLDER, size=SIZE, spacing=0.2, segment=drawn)
    assert len({item["name"] for item in joints}) == 2
