"""Blocks of a list: who is in which, when one is done, and their tables joined to those of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.inference import blocks
from bundle.inference.blocks import DONE, ENTRIES, _checksum, _distribute, _folders, _merge
from bundle.inference.joint_table import TABLE
from bundle.inference.results import QUALITY, REJECTED


def entries(names: str, folder: Path = Path()) -> list[dict[str, Any]]:
    return [{"name": name, "image": str(folder / name)} for name in names]


def distributed(folder: Path) -> list[str]:
    return ["".join(entry["name"] for entry in json.loads((block / ENTRIES).read_text())) for block in _folders(folder)]


def test_a_list_is_cut_into_blocks_in_its_order(tmp_path: Path) -> None:
    _distribute(entries("abcdefg"), tmp_path, 3)
    assert distributed(tmp_path) == ["abc", "def", "g"]


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


def block(folder: Path, names: str, table: str = "") -> Path:
    folder.mkdir()
    (folder / QUALITY).write_text("".join(f"{json.dumps({'name': name})}\n" for name in names))
    if table:
        (folder / TABLE).write_text(table)
    return folder


def test_lines_are_joined_in_the_order_of_the_blocks_with_one_header(tmp_path: Path) -> None:
    some = [block(tmp_path / "0", "a", "name\na\n"), block(tmp_path / "1", ""), block(tmp_path / "2", "b", "name\nb\n")]
    (tmp_path / REJECTED).write_text("of an earlier list\n")
    _merge(tmp_path, some)
    assert (tmp_path / TABLE).read_text() == "name\na\nb\n"
    assert (tmp_path / QUALITY).read_text() == '{"name": "a"}\n{"name": "b"}\n'
    assert not (tmp_path / REJECTED).exists()


def test_two_joints_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a: two radiographs give a joint this name"):
        _merge(tmp_path, [block(tmp_path / "0", "ab"), block(tmp_path / "1", "a")])


def test_a_list_without_a_usable_joint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no joint is usable"):
        _merge(tmp_path, [block(tmp_path / "0", "")])


class Recorded:
    """Stands for the separation of a process; records the blocks."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @property
    def built(self) -> Any:
        return lambda some, folder, run: self.seen.append("".join(entry["name"] for entry in some))


class Writer:
    def __init__(self, folder: Path) -> None:
        self.output_dir, self.run = folder, "run"


def test_a_finished_block_is_repeated_only_where_something_changed(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).write_bytes(b"pixels")
    separation, folder = Recorded(), tmp_path / blocks.BLOCKS
    _distribute(entries("abcd", tmp_path), folder, 1)
    tasks = blocks._Tasks(Writer(tmp_path), separation)  # type: ignore[arg-type]
    assert [tasks[row] for row in range(4)] == [0, 1, 2, 3]
    (tmp_path / "b").write_bytes(b"other pixels")
    (folder / "000002" / DONE).write_text("{")
    (folder / "000003" / QUALITY).write_text('{"name": "d", "files": {"d.png": "00000000"}}\n')
    separation.seen.clear()
    assert [tasks[row] for row in range(4)] == [0, 1, 2, 3]
    assert separation.seen == ["b", "c", "d"]
