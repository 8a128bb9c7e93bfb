"""A pack is read as the folder that it was made of, bit for bit, and nothing in it is trusted."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io import packed
from bundle.io.dicom import is_dicom
from bundle.io.files import stored
from bundle.io.joint_images import read_joint
from bundle.io.joints import joint_items, training_and_validation, training_joints
from bundle.io.lists import read_datalist
from bundle.io.loading import Item
from bundle.io.packed import MANIFEST, Pack, find_member
from bundle.io.packing import FOLDER_LIST, Packed, pack_joints
from bundle.io.reading import read_radiograph
from bundle.io.splits import split_by_joint
from bundle.io.stripping import picture_only
from bundle.io.writing import layers_bytes, write_layers
from bundle.joint import MCP
from PIL import Image, PngImagePlugin
from torch import Tensor

SIZE = 64
SPACING = MCP.spacing_at(SIZE)
KEYS = ("name", "joint", "finger", "side", "spacing")
AUDITED = (*KEYS, "overlapping", "masks")
SECRET = b"Planted"
"""Part of every patient's name in these files."""


def radiograph(seed: int, size: int = SIZE) -> np.ndarray:
    """Smooth, with a little noise, every one different."""
    y, x = np.mgrid[0:size, 0:size] * (64 / size)
    return (40 + 2 * x + y + np.random.default_rng(seed).integers(0, 9, x.shape)).astype(np.uint8)


def bone(top: int, bottom: int, size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top:bottom, 8 : size - 14] = 255
    return mask


def joint(root: Path, folder: str, seed: int, ending: str = ".jpg", overlap: int = 0) -> dict[str, Any]:
    """Write a radiograph and its masks, and return their entry."""
    place = root / folder
    place.mkdir(parents=True, exist_ok=True)
    files = {"image": f"{seed}{ending}", "lower": f"{seed}_mask_lower.bmp", "upper": f"{seed}_mask_upper.bmp"}
    Image.fromarray(radiograph(seed)).save(place / files["image"])
    Image.fromarray(bone(32 - overlap, SIZE)).save(place / files["lower"])
    Image.fromarray(bone(0, 32)).save(place / files["upper"])
    return {key: f"{folder}/{file}" for key, file in files.items()}


def listed(root: Path, name: str, entries: Sequence[dict[str, Any]]) -> None:
    (root / name).write_text(json.dumps(entries))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set in the public layout with a list to train on and one to test on."""
    root = tmp_path / "Data"
    joints = [joint(root, f"cases/0000{n}_{'LR'[n % 2]}_{(2, 5, 11)[n % 3]}", n, overlap=2 * n) for n in range(4)]
    more = joint(root, "cases/00000_L_2", 9, ".png") | {"spacing": 0.3}
    listed(root, "K_train", [*joints, more])
    listed(root, "K_test.json", [joint(root, "cases/00007_R_8", 7)])
    return root


def pack(folder: Path, *lists: str, **settings: Any) -> Path:
    """The lists of a folder as a pack beside it."""
    packed_to(folder, *lists, **settings)
    return folder.parent / "joints.pack"


def packed_to(folder: Path, *lists: str, **settings: Any) -> Packed:
    return pack_joints(folder, lists, folder.parent / "joints.pack", **{"size": SIZE, **settings})


def seen(items: Sequence[Item], keys: Sequence[str] = AUDITED) -> list[list[Any]]:
    return [[item[key] for key in keys] for item in items]


def tensors(items: Sequence[Item]) -> list[bytes]:
    return [read_joint(item, SIZE).numpy().tobytes() for item in items]


def same_joints(folder: Path, archive: Path, datalist: str, in_pack: str = "", **settings: Any) -> list[Item]:
    """The audited joints of a list, which are those of the folder, bit for bit."""
    one = joint_items(str(folder), datalist, size=SIZE, **settings)
    other = joint_items(str(archive), in_pack or datalist, size=SIZE)
    assert seen(one) == seen(other)
    assert tensors(one) == tensors(other)
    return list(other)


def two_bones(image: Tensor) -> Tensor:
    """Masks of two bones, whatever the radiograph."""
    rows = torch.arange(SIZE)[:, None].expand(SIZE, SIZE)
    return torch.stack([(rows > 40).float(), (rows < 20).float()])


def refusal(read: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(*arguments)
    return str(caught.value)


def rewritten(archive: Path, change: Callable[[dict[str, bytes]], Any], names: Sequence[str] = ()) -> Path:
    """A pack with other members, whose CRCs are right; ``names`` are written again at its end."""
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    changed = archive.with_name("changed.pack")
    with warnings.catch_warnings(), zipfile.ZipFile(changed, "w") as file:
        warnings.simplefilter("ignore")
        for name in [*members, *names]:
            file.writestr(name, members[name])
    return changed


def with_manifest(members: dict[str, bytes], **stated: Any) -> None:
    members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | stated).encode()


# ---- the same as the folder ----------------------------------------------------------------------------------------


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
    listed(folder, "K_test.json", [joint(folder, "cases/00000_L_2", 12)])
    archive = pack(folder, "K_train", "K_test")
    for root in (folder, archive):
        assert "00000_L_2" in refusal(training_and_validation, root, "K_train")


def test_a_spacing_that_is_not_stated_can_still_be_given(folder: Path) -> None:
    joints = json.loads((folder / "K_train").read_text())
    Image.fromarray(radiograph(3)).save(folder / "cases" / "3.bmp")
    listed(folder, "K_train", [joints[0], joints[1] | {"image": "cases/3.bmp", "joint": "x"}])
    archive = pack(folder, "K_train")
    for root in (folder, archive):
        assert {item["spacing"] for item in joint_items(str(root), "K_train", size=SIZE, spacing=0.3)} == {0.3}
        assert {item["spacing"] for item in joint_items(str(root), "K_train", size=SIZE)} == {SPACING}


def test_all_radiographs_of_a_folder_become_a_list(folder: Path) -> None:
    archive = pack(folder, "*")
    assert len(same_joints(folder, archive, "*", FOLDER_LIST)) == 6
    assert len(same_joints(folder, archive, "*")) == 6


def test_every_radiograph_of_several_lists_is_read_once_as_all(folder: Path) -> None:
    listed(folder, "K_first", json.loads((folder / "K_train").read_text())[:2])
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
    listed(folder, "K", entries)
    assert [item["name"] for item in same_joints(folder, pack(folder, "K"), "K")] == [
        "a_j_1",
        "b_j_1",
        "Data_1",
        "a_j_1_2",
    ]


def test_a_joint_without_masks_is_packed_without(folder: Path) -> None:
    entry = joint(folder, "cases/00001_L_2", 1)
    listed(folder, "K", [{"image": entry["image"]}, entry | {"lower": ""}])
    archive = pack(folder, "K")
    assert [[bool(item[key]) for key in ("lower", "upper")] for item in read_datalist(archive, "K")] == [
        [False, False],
        [False, True],
    ]

    one, other = (joint_items(str(root), "K", size=SIZE, segment=two_bones) for root in (folder, archive))
    assert seen(one) == seen(other) and one[0]["masks"] == "predicted"


def test_what_cannot_be_used_is_left_out_and_named(folder: Path) -> None:
    joints = json.loads((folder / "K_train").read_text())
    (folder / joints[1]["upper"]).unlink()
    done = packed_to(folder, "K_train")
    assert [name for _, name, _ in done.rejected] == ["00001_R_5_1"]
    assert done.joints == {"K_train": 4}
    same_joints(folder, folder.parent / "joints.pack", "K_train")
    assert "00001_R_5_1" in refusal(lambda: packed_to(folder, "K_train", strict=True))


def test_grossly_wrong_masks_are_packed_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    listed(folder, "K", [joint(folder, "cases/00001_L_2", 1), joint(folder, "cases/00002_L_2", 2, overlap=30)])
    archive = pack(folder, "K")
    assert "kept 00002_L_2_2: " in caplog.text and "grossly wrong masks" in caplog.text
    assert len(same_joints(folder, archive, "K", keep_gross=False)) == 1
    assert len(joint_items(str(archive), "K", size=SIZE, keep_gross=True)) == 2


@pytest.mark.slow
def test_the_public_set_is_read_bit_for_bit(joint_data: Path, tmp_path: Path) -> None:
    items = json.loads((joint_data / "LS_K1_all_test").read_text())[::7]
    listed(tmp_path, "K_test", items)
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


# ---- other formats: the frame that inference sees ------------------------------------------------------------------


@pytest.fixture
def hand(folder: Path, make: Callable[..., Path]) -> Path:
    """A hand in the data set with two marked joints; its file and folder hold the patient's name."""
    place = folder / "Planted"
    place.mkdir()
    make(radiograph(5, 300).astype(np.uint16) * 8, PixelSpacing=[0.21, 0.21], ImageLaterality="R").rename(
        place / "Planted_hand.dcm"
    )
    (place / "Planted_hand.csv").write_text("name,x,y,tip_x,tip_y\nindex PIP,120,120,130,20\nring,180,170,180,20\n")
    listed(folder, "hands", [{"image": "Planted/Planted_hand.dcm", "points": "Planted/Planted_hand.csv"}])
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
    listed(folder, "K", [entry | {"image": "d/1.dcm"}])
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
    listed(folder, "K", [entry | {"image": f"d/1{ending}"}])
    assert same_joints(folder, pack(folder, "K"), "K")[0]["image"].endswith(".nii")


def test_a_resampled_frame_keeps_its_masks(folder: Path) -> None:
    entry = joint(folder, "cases/00001_L_2", 1)
    listed(folder, "K", [entry | {"spacing": 0.3}])
    archive = pack(folder, "K", size=48)
    one, other = (joint_items(str(root), "K", size=48) for root in (folder, archive))
    assert seen(one) == seen(other) and one[0]["frame"]
    assert torch.equal(read_joint(one[0], 48), read_joint(other[0], 48))


# ---- nothing but the picture ---------------------------------------------------------------------------------------


def test_nothing_of_the_patient_is_in_a_pack(folder: Path, hand: Path) -> None:
    archive = pack(folder, "hands", "K_train")
    assert SECRET in hand.read_bytes()
    with zipfile.ZipFile(archive) as file:
        contents = [name.encode() + file.read(name) for name in file.namelist()]
    assert len(contents) > 10
    assert not any(SECRET.lower() in content.lower() for content in (*contents, archive.read_bytes()))


def with_secrets(data: bytes) -> bytes:
    """A JPEG with EXIF, IPTC, a vendor's segment and a comment, and more after its end."""
    segments = [(0xE1, b"Exif\0\0" + SECRET), (0xED, SECRET), (0xE4, SECRET), (0xFE, SECRET)]
    added = b"".join(bytes([0xFF, kind]) + struct.pack(">H", len(text) + 2) + text for kind, text in segments)
    return data[:2] + added + b"\xff" + data[2:] + SECRET


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100, "restart_marker_rows": 1}])
def test_exif_and_comments_of_a_jpeg_are_dropped_and_its_pixels_stay(
    folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    entry = joint(folder, "cases/00001_L_2", 1)
    path = folder / entry["image"]
    Image.fromarray(np.stack([radiograph(8)] * 3, axis=-1)).save(path, **options)
    plain = path.read_bytes()
    path.write_bytes(with_secrets(plain))
    listed(folder, "K", [entry])
    item = same_joints(folder, pack(folder, "K"), "K")[0]
    data = stored(item["image"]).read_bytes()
    assert SECRET not in data and len(data) <= len(plain) + 1
    assert item["image"].endswith(".jpg")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp"])
def test_an_orientation_is_applied_in_the_pack_and_in_its_unzipped_folder(folder: Path, ending: str) -> None:
    entry = joint(folder, "cases/a", 5, ending)
    upright = read_radiograph(folder / entry["image"])
    exif = Image.Exif()
    exif[274] = 2
    with Image.open(folder / entry["image"]) as picture:
        picture.save(folder / entry["image"], **({} if ending == ".bmp" else {"exif": exif, "quality": 95}))
    listed(folder, "K", [entry])
    archive = pack(folder, "K")
    (packed,) = same_joints(folder, archive, "K")
    shown = read_joint(packed, SIZE)[0].numpy()
    np.testing.assert_allclose(shown, upright if ending == ".bmp" else upright[:, ::-1], atol=0.02)
    with zipfile.ZipFile(archive) as whole:
        whole.extractall(folder.parent / "unzipped")
    same_joints(folder, folder.parent / "unzipped", "K")


def test_text_of_a_png_is_dropped_and_its_pixels_stay(folder: Path) -> None:
    entry = joint(folder, "cases/00001_L_2", 1, ".png")
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", SECRET.decode())
    Image.fromarray(radiograph(8)).save(folder / entry["image"], pnginfo=text)
    listed(folder, "K", [entry])
    assert SECRET in (folder / entry["image"]).read_bytes()
    item = same_joints(folder, pack(folder, "K"), "K")[0]
    assert item["image"].endswith(".png") and SECRET not in stored(item["image"]).read_bytes()


@pytest.mark.parametrize(
    "data", [b"", b"BM", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe0\0\4ab", b"\x89PNG\r\n\x1a\n" + bytes(30)]
)
def test_what_is_no_whole_picture_is_not_stripped(data: bytes) -> None:
    assert picture_only(data) is None


def test_a_path_with_a_date_is_replaced(folder: Path) -> None:
    listed(folder, "K", [joint(folder, "2021-03-04_visit", 1)])
    archive = pack(folder, "K")
    same_joints(folder, archive, "K")
    with zipfile.ZipFile(archive) as file:
        assert not any("2021" in name for name in file.namelist()) and b"2021" not in file.read("K")


# ---- the file ------------------------------------------------------------------------------------------------------


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


def test_a_missing_list_of_a_pack_is_refused_with_those_that_are_there(folder: Path) -> None:
    message = refusal(read_datalist, pack(folder, "K_train", "K_test"), "other")
    assert "joints.pack" in message and "K_test.json, K_train" in message


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
    listed(folder, "K_train", json.loads((folder / "K_train").read_text())[:2])
    pack(folder, "K_train")
    assert len(read_datalist(archive, "K_train")) == 2


# ---- files that are refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".jpg", "_mask_upper.png"])
def test_a_damaged_byte_is_found(folder: Path, ending: str) -> None:
    archive = pack(folder, "K_train")
    with zipfile.ZipFile(archive) as file:
        member = file.getinfo(f"cases/00001_R_5/1{ending}")
    content = bytearray(archive.read_bytes())
    content[member.header_offset + 30 + len(member.filename) + member.file_size // 2] ^= 0x10
    archive.write_bytes(content)
    message = refusal(read_joint, read_datalist(archive, "K_train")[1], SIZE)
    assert message.startswith(f"{archive} is damaged") and member.filename in message and "Copy it again" in message
    found = joint_items(str(archive), "K_train", size=SIZE)
    assert len(found) == 4 and found.rejected[0]["name"] == "00001_R_5_1"


@pytest.mark.parametrize("name", ["cases/00001_R_5/1.jpg", "K_train"])
def test_a_member_that_was_replaced_is_found(folder: Path, name: str) -> None:
    changed = rewritten(pack(folder, "K_train"), lambda members: members.update({name: members[name] + b" "}))
    assert f"its member {name} does not match" in refusal(stored(changed / name).read_bytes)


@pytest.mark.parametrize("kept", [4, 200, 0.5, 0.999])
def test_a_truncated_pack_is_refused(folder: Path, kept: float) -> None:
    archive = pack(folder, "K_train")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    message = refusal(read_datalist, archive, "K_train")
    assert message.startswith(f"{archive} is truncated") and "Copy it again" in message


def test_files_that_are_no_packs_are_refused(folder: Path) -> None:
    foreign, text = folder / "foreign.zip", folder / "K_train"
    with zipfile.ZipFile(foreign, "w") as file:
        file.writestr("a.txt", "a")
    for path in (foreign, text):
        message = refusal(read_datalist, path, "K_train")
        assert message.startswith(f"{path} is no packed data set") and "dataset_dir" in message


@pytest.mark.parametrize(
    "stated, expected",
    [
        ({"version": 2}, "version 2, newer than 1. Update"),
        ({"format": "other"}, "format 'other'"),
        ({"version": None}, "does not describe a pack"),
        ({"sha256": {}}, "is damaged"),
        ({"sha256": 3}, "is damaged"),
        ({"lists": ["K_train", "K_other"]}, "lists that are missing"),
        ({"lists": []}, "contains K_train, neither a list nor an image"),
    ],
)
def test_another_manifest_is_refused(folder: Path, stated: dict[str, Any], expected: str) -> None:
    changed = rewritten(pack(folder, "K_train"), lambda members: with_manifest(members, **stated))
    message = refusal(Pack, changed)
    assert message.startswith(str(changed)) and expected in message


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/a.jpg", "a/../../b.jpg", "a\\b.jpg", "C:/a.jpg", "a//b.jpg", "a/", "a\n.jpg"]
)
def test_a_member_that_leaves_the_folder_is_refused(folder: Path, name: str) -> None:
    changed = rewritten(pack(folder, "K_train"), lambda members: members.update({name: b"x"}))
    assert f"the member {name!r}" in refusal(Pack, changed)


def test_a_path_in_a_list_that_leaves_the_pack_is_refused(folder: Path) -> None:
    entries = json.loads((folder / "K_train").read_text())
    entries[0]["image"] = "../Data/" + entries[0]["image"]
    archive = pack(folder, "K_train")
    listed(folder.parent, "outside.json", entries)
    assert "leaves" in refusal(read_datalist, archive, str(folder.parent / "outside.json"))


def test_a_name_twice_is_refused(folder: Path) -> None:
    changed = rewritten(pack(folder, "K_train"), lambda members: None, ["K_train"])
    assert "more than once, 'K_train'" in refusal(Pack, changed)


def test_a_member_besides_the_manifest_is_refused(folder: Path) -> None:
    changed = rewritten(pack(folder, "K_train"), lambda members: members.update({"a.jpg": b"x"}))
    assert "a.jpg is only in" in refusal(Pack, changed)


def test_members_that_are_too_large_or_too_many_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(folder, "K_train")
    monkeypatch.setattr(packed, "MOST_MEMBERS", 5)
    assert "members, more than the 5" in refusal(Pack, archive)
    monkeypatch.undo()
    changed = rewritten(archive, lambda members: members.update({"a.nii": b""}))
    with zipfile.ZipFile(changed, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.nii", bytes(packed.LARGEST_MEMBER + 1))
    assert changed.stat().st_size < 1_000_000
    assert "the member bomb.nii" in refusal(Pack, changed)


def test_a_member_that_is_larger_than_it_says_is_not_inflated(folder: Path) -> None:
    archive = folder.parent / "bomb.pack"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(MANIFEST, bytes(20_000_000))
    content = archive.read_bytes()
    archive.write_bytes(content.replace(struct.pack("<I", 20_000_000), struct.pack("<I", 1000)))
    assert "is damaged" in refusal(Pack, archive)


def test_another_kind_of_picture_than_the_name_says_is_refused(folder: Path, make: Callable[..., Path]) -> None:
    name, dicom = "cases/00001_R_5/1.jpg", make(radiograph(1).astype(np.uint16)).read_bytes()

    def disguise(members: dict[str, bytes]) -> None:
        members[name] = dicom
        sums = json.loads(members[MANIFEST])["sha256"] | {name: hashlib.sha256(dicom).hexdigest()}
        with_manifest(members, sha256=sums)

    changed = rewritten(pack(folder, "K_train"), disguise)
    assert is_dicom(changed / name)
    assert "not the kind of image" in refusal(read_radiograph, changed / name)


def test_a_missing_member_is_a_missing_file(folder: Path) -> None:
    archive = pack(folder, "K_train")
    assert not stored(archive / "none.jpg").is_file() and not is_dicom(archive / "none.jpg")
    assert refusal(read_radiograph, archive / "none.jpg") == f"{archive / 'none.jpg'}: no such file. Correct the path."
    assert find_member(folder / "K_none") is None and find_member(folder / "K_train") is None


def test_items_can_be_split_and_pickled_as_those_of_a_folder(folder: Path) -> None:
    items = read_datalist(pack(folder, "K_train"), "K_train")
    assert json.loads(json.dumps(items)) == items
    assert len(split_by_joint(items, 0.3, 0)[0]) < len(items)


def test_a_layer_of_unknown_spacing_states_no_unit() -> None:
    assert layers_bytes(np.zeros((1, 4, 4)), None)[123] == 0 != layers_bytes(np.zeros((1, 4, 4)), 0.1)[123]
