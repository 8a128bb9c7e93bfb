"""A pack is read as the folder that it was made of, bit for bit, also by other processes."""

from __future__ import annotations

import json
import multiprocessing
import zipfile
from pathlib import Path

import pytest
import torch
from bundle.io import packed
from bundle.io.joint_images import read_joint
from bundle.io.joints import joint_items, training_and_validation, training_joints
from bundle.io.lists import read_datalist
from bundle.io.loading import Item
from bundle.io.packing import FOLDER_LIST, pack_joints
from bundle.io.splits import split_by_joint
from PIL import Image
from tests.io.joint_folders import write_list
from tests.io.packs import KEYS, SIZE, SPACING, joint, pack, radiograph, same_joints, seen, two_bones
from tests.io.refusals import refusal


def test_lists_of_a_pack_are_those_of_the_folder_bit_for_bit(folder: Path) -> None:
    archive = pack(folder, "K_train", "K_test")
    for name in ("K_train", "K_test", "K_test.json"):
        assert seen(read_datalist(folder, name), KEYS) == seen(read_datalist(archive, name), KEYS)
        items = same_joints(folder, archive, name)
    assert {item["spacing"] for item in joint_items(str(archive), "K_train", size=SIZE)} == {SPACING, 0.3}
    assert items[0]["image"] == f"{archive}/cases/00007_R_8/7.jpg"


def test_split_and_training_joints_are_those_of_the_folder(folder: Path) -> None:
    archive = pack(folder, "K_train", "K_test")
    for one, other in zip(
        training_and_validation(folder, "K_train", seed=3),
        training_and_validation(archive, "K_train", seed=3),
        strict=True,
    ):
        assert seen(one, KEYS) == seen(other, KEYS)
    one, other = (training_joints(str(root), "K_test", 3, size=SIZE) for root in (folder, archive))
    assert len(one) == 3 and seen(one) == seen(other)


def test_a_joint_on_both_sides_is_refused_as_in_the_folder(folder: Path) -> None:
    write_list(folder, "K_test.json", [joint(folder, "cases/00000_L_2", 12)])
    archive = pack(folder, "K_train", "K_test")
    for root in (folder, archive):
        assert "00000_L_2" in refusal(training_and_validation, root, "K_train")


def test_a_spacing_that_is_not_stated_can_still_be_given(folder: Path) -> None:
    joints = json.loads((folder / "K_train").read_text())
    Image.fromarray(radiograph(3)).save(folder / "cases" / "3.bmp")
    write_list(folder, "K_train", [joints[0], joints[1] | {"image": "cases/3.bmp", "joint": "x"}])
    archive = pack(folder, "K_train")
    for root in (folder, archive):
        assert {item["spacing"] for item in joint_items(str(root), "K_train", size=SIZE, spacing=0.3)} == {0.3}
        assert {item["spacing"] for item in joint_items(str(root), "K_train", size=SIZE)} == {SPACING}


def test_all_radiographs_of_a_folder_become_a_list(folder: Path) -> None:
    archive = pack(folder, "*")
    assert len(same_joints(folder, archive, "*", FOLDER_LIST)) == 6
    assert len(same_joints(folder, archive, "*")) == 6


def test_every_radiograph_of_several_lists_is_read_once_as_all(folder: Path) -> None:
    write_list(folder, "K_first", json.loads((folder / "K_train").read_text())[:2])
    archive = pack(folder, "K_first", "K_train", "K_test")
    assert seen(read_datalist(archive, "*"), KEYS[:4]) == seen(read_datalist(folder, "*"), KEYS[:4])
    assert [item["spacing"] for item in read_datalist(archive, "*")] == [0.0, 0.3, 0.0, 0.0, 0.0, 0.0]
    with zipfile.ZipFile(archive) as file:
        assert len(file.namelist()) == 3 * 6 + 3 + 1


def test_an_unzipped_pack_is_the_data_set(folder: Path) -> None:
    archive = pack(folder, "K_train")
    zipfile.ZipFile(archive).extractall(folder.parent / "unzipped")
    same_joints(folder.parent / "unzipped", archive, "K_train")


def test_joints_in_the_root_and_files_of_one_name_keep_their_names(folder: Path) -> None:
    entries = [joint(folder, place, 1) for place in ("a/j", "b/j", ".")]
    entries.append(entries[0] | {"upper": entries[1]["lower"], "lower": entries[1]["upper"]})
    write_list(folder, "K", entries)
    assert [item["name"] for item in same_joints(folder, pack(folder, "K"), "K")] == [
        "a_j_1",
        "b_j_1",
        "Data_1",
        "a_j_1_2",
    ]


def test_a_joint_without_masks_is_packed_without(folder: Path) -> None:
    entry = joint(folder, "cases/00001_L_2", 1)
    write_list(folder, "K", [{"image": entry["image"]}, entry | {"lower": ""}])
    archive = pack(folder, "K")
    assert [[bool(item[key]) for key in ("lower", "upper")] for item in read_datalist(archive, "K")] == [
        [False, False],
        [False, True],
    ]

    one, other = (joint_items(str(root), "K", size=SIZE, segment=two_bones) for root in (folder, archive))
    assert seen(one) == seen(other) and one[0]["masks"] == "predicted"


@pytest.mark.slow
def test_the_public_set_is_read_bit_for_bit(joint_data: Path, tmp_path: Path) -> None:
    items = json.loads((joint_data / "LS_K1_all_test").read_text())[::7]
    write_list(tmp_path, "K_test", items)
    (tmp_path / "Dataset_cases_anonymization").mkdir()
    for case in {Path(entry["image"]).parent.name for entry in items}:
        place = Path("Dataset_cases_anonymization", case)
        (tmp_path / place).mkdir()
        for file in (joint_data / place).iterdir():
            (tmp_path / place / file.name).write_bytes(file.read_bytes())
    done = pack_joints(tmp_path, ["K_test"], tmp_path / "joints.pack")
    one, other = (joint_items(str(root), "K_test") for root in (tmp_path, tmp_path / "joints.pack"))
    assert seen(one) == seen(other) and len(one) == len(items) >= 25
    assert all(torch.equal(read_joint(a), read_joint(b)) for a, b in zip(one, other, strict=True))
    assert done.size < 18_000 * len(items)


@pytest.mark.long
def test_a_spawned_process_reads_items_of_a_pack(folder: Path) -> None:
    items = read_datalist(pack(folder, "K_train"), "K_train")
    expected = [(item["name"], read_joint(item, SIZE).sum().item()) for item in items]
    loader = torch.utils.data.DataLoader(  # type: ignore[var-annotated]
        items, batch_size=None, num_workers=1, multiprocessing_context="spawn", collate_fn=_summed
    )
    assert list(loader) == expected


def _summed(item: Item) -> tuple[str, float]:
    return item["name"], read_joint(item, SIZE).sum().item()


def test_a_forked_process_opens_the_pack_for_itself(folder: Path) -> None:
    archive = pack(folder, "K_train")
    here = packed.open_pack(archive)
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    child = context.Process(target=lambda: found.put(packed.open_pack(archive) is here))
    child.start()
    assert found.get(timeout=30) is False and packed.open_pack(archive) is here
    child.join()


def test_a_pack_that_was_written_again_is_opened_again(folder: Path) -> None:
    archive = pack(folder, "K_train")
    assert len(read_datalist(archive, "K_train")) == 5
    write_list(folder, "K_train", json.loads((folder / "K_train").read_text())[:2])
    pack(folder, "K_train")
    assert len(read_datalist(archive, "K_train")) == 2


def test_items_can_be_split_and_pickled_as_those_of_a_folder(folder: Path) -> None:
    items = read_datalist(pack(folder, "K_train"), "K_train")
    assert json.loads(json.dumps(items)) == items
    assert len(split_by_joint(items, 0.3, 0)[0]) < len(items)
