"""The script writes a pack, says what is in it, and refuses as a user expects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bundle.errors import InputError
from bundle.io.joints import joint_items
from PIL import Image
from scripts.pack_joints import main

SIZE = 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two joints and one whose masks are missing in the list ``K``."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    for number in range(2):
        Image.fromarray((20 + 3 * x + y + number).astype(np.uint8)).save(tmp_path / f"{number}.jpg")
        for bone, mask in (("lower", y > 20), ("upper", y < 9)):
            Image.fromarray(mask).save(tmp_path / f"{number}_mask_{bone}.png")
    entries = [
        {"image": f"{number}.jpg", **{bone: f"{number}_mask_{bone}.png" for bone in ("lower", "upper")}}
        for number in range(3)
    ]
    (tmp_path / "K").write_text(json.dumps(entries))
    return tmp_path


def test_it_says_what_was_packed_and_what_was_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder / "out.pack"
    main([str(folder), "--lists", "K", "--output", str(output), "--size", str(SIZE)])
    said = capsys.readouterr().out
    assert "K: 2 joints, 1 left out" in said and "8 files" in said
    assert [item["spacing"] for item in joint_items(str(output), "K", size=SIZE)] == [21 / SIZE] * 2


def test_without_lists_all_radiographs_are_packed_with_the_given_spacing(folder: Path) -> None:
    output = folder.parent / "all.pack"
    main([str(folder), "--output", str(output), "--size", str(SIZE), "--spacing", "0.65"])
    assert [item["spacing"] for item in joint_items(str(output), "*", size=SIZE)] == [0.65] * 2


def test_strict_refuses_and_writes_nothing(folder: Path) -> None:
    output = folder / "out.pack"
    with pytest.raises(InputError, match="1 rejected"):
        main([str(folder), "--lists", "K", "--output", str(output), "--size", str(SIZE), "--strict"])
    assert not output.exists()


def test_an_output_that_cannot_be_written_is_refused_before_any_joint_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bundle.io.packing.audited", lambda *_, **__: pytest.fail("read"))
    for output, fault in ((folder / "nowhere" / "out.pack", "the folder does not exist"), (folder, "is a folder")):
        with pytest.raises(InputError, match=fault):
            main([str(folder), "--lists", "K", "--output", str(output), "--size", str(SIZE)])
