"""A file that is missing, shorter or changed is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle.io.checksums import are_whole, sums_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(bytes(range(256)) * 8000)
    (tmp_path / "2.json").write_bytes(b"{}")
    return tmp_path


def files(folder: Path) -> list[Path]:
    return [folder / "a" / "1.png", folder / "2.json"]


def test_files_that_are_as_they_were_are_whole(folder: Path) -> None:
    sums = sums_of(folder, files(folder))
    assert sorted(sums) == ["2.json", "a/1.png"]
    assert are_whole(folder, sums)
    (folder / "other").write_bytes(b"")
    assert are_whole(folder, sums)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "harm",
    [lambda p: p.unlink(), lambda p: p.write_bytes(b""), flip, lambda p: p.write_bytes(p.read_bytes()[:-1])],
    ids=["gone", "empty", "a bit", "shorter"],
)
@pytest.mark.parametrize("row", [0, 1])
def test_harm_to_any_file_is_noticed(folder: Path, row: int, harm: Callable[[Path], Any]) -> None:
    sums = sums_of(folder, files(folder))
    harm(files(folder)[row])
    assert not are_whole(folder, sums)


@pytest.mark.parametrize("stated", [None, {}, [], 3, "a"])
def test_what_states_no_sums_is_not_whole(folder: Path, stated: Any) -> None:
    assert not are_whole(folder, stated)
