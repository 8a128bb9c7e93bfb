"""Pixel spacings of lists, options and files: precedence, and contradictions that are counted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io.joints import joint_items
from bundle.io.lists import read_datalist
from bundle.io.spacing import (
    SPACING_OPTION,
    SpacingConflicts,
    checked_spacing,
    contradicted_spacing,
    with_given_spacing,
)
from bundle.io.stated import StatedRadiograph
from bundle.joint import MCP
from PIL import Image
from torch import Tensor

SIZE = 64
PIXELS = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) // 16


def radiograph(spacing: float | None) -> StatedRadiograph:
    return StatedRadiograph(np.zeros((2, 2), np.float32), spacing and (spacing, spacing))


@pytest.mark.parametrize(
    ("listed", "option", "file", "used", "contradicted"),
    [
        (0.0, 0.0, None, 0.0, 0.0),
        (0.0, 0.3, None, 0.3, 0.0),
        (0.0, 0.3, 0.29, 0.0, 0.3),
        (0.0, 0.3, 0.30001, 0.0, 0.0),
        (0.2, 0.3, None, 0.2, 0.0),
        (0.2, 0.3, 0.3, 0.2, 0.2),
        (0.0, 0.0, 0.3, 0.0, 0.0),
    ],
)
def test_a_list_comes_before_the_file_and_the_file_before_the_option(
    listed: float, option: float, file: float | None, used: float, contradicted: float
) -> None:
    item = {"spacing": listed, SPACING_OPTION: option, "name": "a"}
    assert with_given_spacing(item, radiograph(file)) == {"spacing": used, "name": "a"}
    assert contradicted_spacing(item, radiograph(file)) == contradicted


def test_contradictions_are_counted_with_the_spacings_of_the_files() -> None:
    conflicts = SpacingConflicts()
    for listed, file in ((0.0, 0.2), (0.0, 0.25), (0.0, None), (0.0, 0.1), (0.3, 0.2)):
        conflicts.add({"spacing": listed, SPACING_OPTION: 0.1}, radiograph(file))
    listed, optional = conflicts.report()
    assert listed.startswith("1 of 5 radiographs state their pixel spacing, 0.2 mm; the list states another")
    assert optional.startswith("2 of 5 radiographs state their pixel spacing, 0.2 to 0.25 mm; --spacing 0.1 is not")


def halves(image: Tensor) -> Tensor:
    """Predict the lower half as the lower bone, and the upper one."""
    masks = torch.zeros(2, *image.shape[1:])
    masks[0, SIZE // 2 :], masks[1, : SIZE // 2] = 1.0, 1.0
    return masks


@pytest.fixture
def mixed(tmp_path: Path, make: Callable[..., Path]) -> str:
    """A folder with a DICOM file that states 0.31 mm and a PNG that states nothing."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.move(make(PIXELS, 8, PixelSpacing=[0.31, 0.31]), folder / "a.dcm")
    Image.fromarray(PIXELS.astype(np.uint8)).save(folder / "b.png")
    return str(folder)


@pytest.mark.parametrize(
    ("option", "expected", "warnings"),
    [
        (0.29, [(0.31, "file"), (0.29, "given")], 1),
        (0.31, [(0.31, "file"), (0.31, "given")], 0),
        (0.0, [(0.31, "file"), (MCP.spacing_at(SIZE), "assumed")], 0),
    ],
)
def test_in_a_mixed_folder_the_option_is_used_where_a_file_states_none(
    mixed: str, caplog: pytest.LogCaptureFixture, option: float, expected: list[Any], warnings: int
) -> None:
    found = joint_items(mixed, "*", size=SIZE, spacing=option, segment=halves)
    assert sorted((item["spacing"], item["spacing_source"]) for item in found) == sorted(expected)
    assert caplog.text.count("1 of 2 radiographs state their pixel spacing, 0.31 mm") == warnings
    assert all(SPACING_OPTION not in item for item in found)


@pytest.mark.parametrize("spacing", ["abc", "0,08", [0.1], (0, 8), -1, "nan", float("inf"), None, True, 10**400, 100])
@pytest.mark.parametrize("dataset_dir", ["", "absent"])
def test_what_is_no_spacing_is_refused_by_the_name_of_its_option(spacing: Any, dataset_dir: str) -> None:
    with pytest.raises(InputError, match=r"^--spacing .* is not a pixel spacing\."):
        joint_items(dataset_dir, "K", spacing=spacing)
    with pytest.raises(InputError, match=r"^--spacing "):
        read_datalist(dataset_dir, "K", spacing=spacing)


def test_a_spacing_as_text_is_understood() -> None:
    assert checked_spacing("0.08") == 0.08 and checked_spacing("0") == 0.0
