"""Radiographs of other formats are packed as the frames that inference sees, and nothing of the patient is."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle.io.joint_images import read_joint
from bundle.io.joints import joint_items
from bundle.io.lists import read_datalist
from bundle.io.writing import layers_bytes, write_layers
from PIL import Image
from tests.io.joint_folders import write_list
from tests.io.packs import SECRET, SIZE, bone, joint, pack, packed_to, radiograph, same_joints, seen, two_bones
from tests.io.refusals import refusal


def test_what_cannot_be_used_is_left_out_and_named(folder: Path) -> None:
    joints = json.loads((folder / "K_train").read_text())
    (folder / joints[1]["upper"]).unlink()
    done = packed_to(folder, "K_train")
    assert [name for _, name, _ in done.rejected] == ["00001_R_5_1"]
    assert done.joints == {"K_train": 4}
    same_joints(folder, folder.parent / "joints.pack", "K_train")
    assert "00001_R_5_1" in refusal(lambda: packed_to(folder, "K_train", strict=True))


def test_grossly_wrong_masks_are_packed_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_list(folder, "K", [joint(folder, "cases/00001_L_2", 1), joint(folder, "cases/00002_L_2", 2, overlap=30)])
    archive = pack(folder, "K")
    assert "kept 00002_L_2_2: " in caplog.text and "grossly wrong masks" in caplog.text
    assert len(same_joints(folder, archive, "K", keep_gross=False)) == 1
    assert len(joint_items(str(archive), "K", size=SIZE, keep_gross=True)) == 2


@pytest.fixture
def hand(folder: Path, make: Callable[..., Path]) -> Path:
    """A hand in the data set with two marked joints; its file and folder hold the patient's name."""
    place = folder / "Planted"
    place.mkdir()
    make(radiograph(5, 300).astype(np.uint16) * 8, PixelSpacing=[0.21, 0.21], ImageLaterality="R").rename(
        place / "Planted_hand.dcm"
    )
    (place / "Planted_hand.csv").write_text("name,x,y,tip_x,tip_y\nindex PIP,120,120,130,20\nring,180,170,180,20\n")
    write_list(folder, "hands", [{"image": "Planted/Planted_hand.dcm", "points": "Planted/Planted_hand.csv"}])
    return place / "Planted_hand.dcm"


def test_joints_of_a_hand_are_packed_as_frames(folder: Path, hand: Path) -> None:
    archive = pack(folder, "hands")
    one, other = (joint_items(str(root), "hands", size=SIZE, segment=two_bones) for root in (folder, archive))
    assert seen(one) == seen(other)
    assert [(item["finger"], item["side"]) for item in other] == [("index", "right"), ("ring", "right")]
    for before, after in zip(one, other, strict=True):
        assert torch.equal(read_joint(before, SIZE, two_bones), read_joint(after, SIZE, two_bones))
    assert Path(read_datalist(archive, "hands")[0]["image"]).suffix == ".nii"


@pytest.mark.parametrize("spacing", [[21 / SIZE, 21 / SIZE], [0.3, 0.2], None])
def test_a_dicom_joint_is_packed_bit_for_bit(
    folder: Path, make: Callable[..., Path], spacing: list[float] | None
) -> None:
    entry = joint(folder, "d", 1)
    size = SIZE if spacing is None or spacing[0] == spacing[1] else 80
    for number, key in enumerate(("lower", "upper")):
        Image.fromarray(bone(number * size // 2, (1 + number) * size // 2, size)).save(folder / entry[key])
    make(radiograph(6, size).astype(np.uint16) * 8, PixelSpacing=spacing).rename(folder / "d" / "1.dcm")
    write_list(folder, "K", [entry | {"image": "d/1.dcm"}])
    assert len(same_joints(folder, pack(folder, "K"), "K")) == 1


@pytest.mark.parametrize("ending", [".nii.gz", ".png", ".bmp", ".tif"])
def test_other_pictures_are_packed_bit_for_bit(folder: Path, ending: str) -> None:
    entry = joint(folder, "d", 1)
    path = folder / "d" / f"1{ending}"
    if ending == ".nii.gz":
        write_layers(path, radiograph(6)[None] / np.float32(300), 0.31)
    elif ending == ".png":
        Image.fromarray(radiograph(6).astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(radiograph(6)).save(path)
    write_list(folder, "K", [entry | {"image": f"d/1{ending}"}])
    assert same_joints(folder, pack(folder, "K"), "K")[0]["image"].endswith(".nii")


def test_a_resampled_frame_keeps_its_masks(folder: Path) -> None:
    entry = joint(folder, "cases/00001_L_2", 1)
    write_list(folder, "K", [entry | {"spacing": 0.3}])
    archive = pack(folder, "K", size=48)
    one, other = (joint_items(str(root), "K", size=48) for root in (folder, archive))
    assert seen(one) == seen(other) and one[0]["frame"]
    assert torch.equal(read_joint(one[0], 48), read_joint(other[0], 48))


def test_nothing_of_the_patient_is_in_a_pack(folder: Path, hand: Path) -> None:
    archive = pack(folder, "hands", "K_train")
    assert SECRET in hand.read_bytes()
    with zipfile.ZipFile(archive) as file:
        contents = [name.encode() + file.read(name) for name in file.namelist()]
    assert len(contents) > 10
    assert not any(SECRET.lower() in content.lower() for content in (*contents, archive.read_bytes()))


def test_a_path_with_a_date_is_replaced(folder: Path) -> None:
    write_list(folder, "K", [joint(folder, "2021-03-04_visit", 1)])
    archive = pack(folder, "K")
    same_joints(folder, archive, "K")
    with zipfile.ZipFile(archive) as file:
        assert not any("2021" in name for name in file.namelist()) and b"2021" not in file.read("K")


def test_the_same_input_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first = pack(folder, "K_train", "K_test").read_bytes()
    for file in folder.rglob("*"):
        file.touch()
    assert pack(folder, "K_test", "K_train").read_bytes() == first


def test_jpeg_is_stored_and_masks_take_a_bit_a_pixel(folder: Path) -> None:
    archive = pack(folder, "K_train")
    with zipfile.ZipFile(archive) as file:
        jpeg = file.getinfo("cases/00001_R_5/1.jpg")
        with file.open("cases/00001_R_5/1_mask_upper.png") as mask, Image.open(mask) as picture:
            assert picture.mode == "1"
        assert file.getinfo("cases/00001_R_5/1_mask_upper.png").file_size < SIZE * SIZE / 8
    assert jpeg.compress_type == zipfile.ZIP_STORED and jpeg.date_time == (1980, 1, 1, 0, 0, 0)


def test_lists_of_one_name_and_missing_lists_are_refused(folder: Path) -> None:
    assert "K_test.json" in refusal(packed_to, folder, "K_test", "K_test.json")
    assert "nothing" in refusal(packed_to, folder, "nothing")
    assert not (folder.parent / "joints.pack").exists()


def test_a_layer_of_unknown_spacing_states_no_unit() -> None:
    assert layers_bytes(np.zeros((1, 4, 4)), None)[123] == 0 != layers_bytes(np.zeros((1, 4, 4)), 0.1)[123]
