"""Which list is meant where none is named, and what a folder without a list gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io.joints import joint_items
from bundle.io.lists import FOLDER, meant_list, read_datalist
from bundle.io.writing import write_png

SIZE = 32


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    return str(caught.value)


@pytest.fixture
def unlisted(tmp_path: Path) -> Path:
    """A folder with two radiographs, of which one cannot be used, and no list."""
    write_png(tmp_path / "good.png", np.full((SIZE, SIZE), 90, np.uint8))
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    (tmp_path / "good.json").write_text('[{"name": "index", "x": 1, "y": 2}]')
    return tmp_path


def test_a_folder_without_a_list_is_what_is_meant_unless_a_list_is_named(unlisted: Path) -> None:
    assert meant_list(unlisted, "some_list|*") == FOLDER
    assert meant_list(unlisted, "some_list") == "some_list"
    assert meant_list("", "some_list|*") == "some_list"
    assert f'Set datalist to "{FOLDER}"' in refusal(read_datalist, unlisted, "some_list")


@pytest.mark.parametrize(("name", "content"), [("some_list", "{"), ("some_list.json", "[]"), ("other", "[1]")])
def test_a_folder_with_a_list_is_not_taken_whole(unlisted: Path, name: str, content: str) -> None:
    (unlisted / name).write_text(content)
    assert meant_list(unlisted, "some_list|*") == "some_list"
    assert "some_list" in refusal(joint_items, str(unlisted), "some_list|*", strict=None)


def test_what_cannot_be_used_is_skipped_in_a_folder_and_ends_a_list(unlisted: Path) -> None:
    def masks(image: torch.Tensor) -> torch.Tensor:
        halves = torch.zeros(2, *image.shape[-2:])
        halves[0, SIZE // 2 + 2 :], halves[1, : SIZE // 2 - 2] = 1.0, 1.0
        return halves

    (unlisted / "good.json").unlink()
    settings = {"size": SIZE, "segment": masks}
    found = joint_items(str(unlisted), "some_list|*", strict=None, **settings)
    assert len(found) == 1 and not found.strict
    assert [entry["name"].endswith("bad") for entry in found.rejected] == [True]
    for strict in (True, "true"):
        assert "set strict to false" in refusal(joint_items, str(unlisted), "some_list|*", strict=strict, **settings)
    (unlisted / "some_list").write_text('[{"image": "good.png"}, {"image": "bad.png"}]')
    assert "set strict to false" in refusal(joint_items, str(unlisted), "some_list|*", strict=None, **settings)
    assert len(joint_items(str(unlisted), "some_list|*", strict="false", **settings)) == 1
    (unlisted / "some_list").unlink()
    (unlisted / "good.png").unlink()
    assert "at least one joint" in refusal(joint_items, str(unlisted), "some_list|*", strict=None, **settings)
