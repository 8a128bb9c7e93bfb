"""A folder gives its radiographs, and never what a run has written into it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from bundle.errors import InputError
from bundle.io.folders import entries_below, files_below
from bundle.io.lists import FOLDER, read_datalist
from bundle.io.reservations import MARKER, reserve_output
from bundle.io.writing import write_png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/1_mask_lower.png", "b/c/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / name, np.zeros((4, 4), np.uint8))
    return tmp_path


def images(folder: Path) -> list[str]:
    return [entry["image"] for entry in entries_below(folder)]


@pytest.mark.parametrize("place", ["out", "a/out", "b/c/deep/out"])
def test_outputs_are_no_inputs_wherever_they_lie(folder: Path, place: str) -> None:
    before = entries_below(folder)
    out = reserve_output(folder / place, "a run")
    (out / "sources").mkdir()
    for name in ("1_layers.png", "sources/2.png"):
        shutil.copy(folder / "a" / "1.png", out / name)
    assert entries_below(folder) == before
    assert images(folder) == ["a/1.png", "b/c/2.png"]
    assert all(MARKER not in path.name for path in files_below(folder))


def test_a_file_that_only_has_the_name_of_the_mark_hides_nothing(folder: Path) -> None:
    for content in (b"", b"[]", b'{"run": 3}', b"\xff"):
        (folder / "a" / MARKER).write_bytes(content)
        assert images(folder) == ["a/1.png", "b/c/2.png"]


def test_the_output_of_a_run_itself_is_refused_by_its_name(folder: Path) -> None:
    out = reserve_output(folder / "out", "a run")
    shutil.copy(folder / "a" / "1.png", out)
    with pytest.raises(InputError, match="out contains the results of a run, not input"):
        read_datalist(out, FOLDER)
