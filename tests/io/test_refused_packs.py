"""Packs that are damaged, or were not written by this bundle, are refused: nothing in a pack is trusted."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle.io import packed
from bundle.io.dicom import is_dicom
from bundle.io.files import stored
from bundle.io.joint_images import read_joint
from bundle.io.joints import joint_items
from bundle.io.lists import read_datalist
from bundle.io.packed import MANIFEST, Pack, find_member
from bundle.io.reading import read_radiograph
from tests.io.joint_folders import write_list
from tests.io.packs import SIZE, pack, radiograph, rewritten, with_manifest
from tests.io.refusals import refusal


def test_a_missing_list_of_a_pack_is_refused_with_those_that_are_there(folder: Path) -> None:
    message = refusal(read_datalist, pack(folder, "K_train", "K_test"), "other")
    assert "joints.pack" in message and "K_test.json, K_train" in message


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
        assert message.startswith(f"{path} is not a packed data set") and "dataset_dir" in message


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
    write_list(folder.parent, "outside.json", entries)
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
