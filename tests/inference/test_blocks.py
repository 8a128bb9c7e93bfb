"""Blocks of a list: who is in which, when one is done, and what they have together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundle.cluster import Processes
from bundle.errors import InputError
from bundle.inference.blocks import (
    BLOCKS,
    DONE,
    ENTRIES,
    ENTRY,
    JOINTS,
    _check_names,
    _checksum,
    _distribute,
    _folders,
    block_joints,
    run_blocks,
)
from bundle.inference.results import REJECTED
from bundle.io import JOINT_FILES


def entries(names: str, folder: Path = Path()) -> list[dict[str, Any]]:
    return [{"name": name, **dict.fromkeys(JOINT_FILES, ""), "image": str(folder / name)} for name in names]


def distributed(folder: Path) -> list[str]:
    return ["".join(json.loads((block / ENTRIES).read_text())) for block in _folders(folder)]


def test_a_list_is_cut_into_blocks_in_its_order(tmp_path: Path) -> None:
    blocks = _distribute(entries("abcdefg"), tmp_path, 3)
    assert distributed(tmp_path) == ["abc", "def", "g"]
    assert [entry for some in blocks.values() for entry in some] == entries("abcdefg")


def test_entries_stay_in_their_blocks_and_added_ones_form_new_blocks(tmp_path: Path) -> None:
    _distribute(entries("abcde"), tmp_path, 2)
    _distribute(entries("xaceyz"), tmp_path, 2)
    assert distributed(tmp_path) == ["a", "c", "e", "xy", "z"]


def test_the_checksum_changes_with_entries_and_their_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    some = entries("ab", tmp_path)
    before = _checksum(some)
    assert before == _checksum(some) != _checksum(some[:1])
    (tmp_path / "a").write_bytes(b"other")
    assert _checksum(some) != before


def block(folder: Path, names: str) -> Path:
    folder.mkdir(parents=True)
    (folder / JOINTS).write_text(json.dumps(entries(names)))
    return folder


def test_two_joints_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a: 2 radiographs give a joint this name"):
        _check_names(tmp_path, [block(tmp_path / "0", "ab"), block(tmp_path / "1", "a")])


def test_a_list_without_a_usable_joint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no joint is usable"):
        _check_names(tmp_path, [block(tmp_path / "0", "")])


class Writer:
    """Stands for a writer whose results are files of one letter."""

    line_files = (REJECTED,)

    def __init__(self, folder: Path) -> None:
        self.output_dir, self.run = folder, "run"

    def begin(self) -> None:
        pass


class Separated:
    """Stands for the separation of a process: a result per joint; ``x`` is rejected."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder, list[str]()

    @property
    def built(self) -> Separated:
        return self

    def __call__(self, some: list[dict[str, Any]], folder: Path, run: str) -> None:
        names = [entry["name"] for entry in some]
        self.seen.append("".join(names))
        for name in names:
            (self.folder / name).write_text(run)
        joints = [{"name": f"{name}_index", ENTRY: name} for name in names if name != "x"]
        (folder / JOINTS).write_text(json.dumps(joints))
        (folder / REJECTED).write_text("".join('{"name": "x", "reason": "dark"}\n' for name in names if name == "x"))

    def has_all(self, folder: Path, run: str) -> bool:
        return all((self.folder / joint[ENTRY]).is_file() for joint in json.loads((folder / JOINTS).read_text()))


def run(out: Path, some: list[dict[str, Any]], separated: Separated) -> None:
    run_blocks(Writer(out), some, Processes(), separated, size=2)  # type: ignore[arg-type]


def test_the_joints_of_all_blocks_follow_the_list_and_the_rejected_ones_are_listed(tmp_path: Path) -> None:
    run(tmp_path, entries("axbc"), Separated(tmp_path))
    joints = block_joints(Writer(tmp_path), entries("axbc"))  # type: ignore[arg-type]
    assert [joint["name"] for joint in joints] == ["a_index", "b_index", "c_index"]
    assert [joint["image"] for joint in joints] == list("abc")
    assert joints.rejected == [{"name": "x", "reason": "dark"}]


def test_a_finished_block_is_repeated_only_where_something_changed(tmp_path: Path) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    out.mkdir()
    for name in "abcdefgh":
        (given / name).write_bytes(b"pixels")
    separated, some = Separated(out), entries("abcdefgh", given)
    run(out, some, separated)
    (given / "b").write_bytes(b"other pixels")
    (out / BLOCKS / "000001" / DONE).write_text("{")
    (out / "e").unlink()
    separated.seen.clear()
    run(out, some, separated)
    assert separated.seen == ["ab", "cd", "ef"]
