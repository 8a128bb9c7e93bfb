"""Hands of a folder: split by hand, read with their landmarks, refused with the remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bundle.errors import InputError
from bundle.hands import hand_items, load_hand, loaded_hands
from PIL import Image
from tests.hands.conftest import REDUCTION
from tests.hands.hand_drawings import CODES


def test_each_hand_has_one_role_that_the_seed_decides(hands_folder: Path) -> None:
    roles = {
        role: [item["name"] for item in hand_items(hands_folder, role)]
        for role in ("training", "validation", "held_out")
    }
    assert sorted(name for names in roles.values() for name in names) == [f"{number:04d}" for number in range(8)]
    assert [len(names) for names in roles.values()] == [5, 1, 2]
    again = [item["name"] for item in hand_items(hands_folder, "held_out")]
    assert again == roles["held_out"]
    assert any([item["name"] for item in hand_items(hands_folder, "held_out", seed)] != again for seed in range(1, 5))


def test_landmarks_lie_on_the_pixels_of_the_loaded_hand_also_when_it_is_reduced(hands_folder: Path) -> None:
    item = hand_items(hands_folder, "training")[0]
    for longest in (640, 160):
        hand = load_hand(item, longest)
        assert max(hand.shape) == min(longest, 320)
        image = hand.radiograph.levels[0][0].numpy()
        columns, rows = np.rint(hand.points).astype(int).T
        np.testing.assert_allclose(image[rows, columns], CODES, atol=0.02)
    assert item["pixel_mm"] == pytest.approx(0.1 * REDUCTION)


def test_a_folder_without_landmarks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"landmarks\.csv: no such file\. Pass --dataset_dir"):
        hand_items(tmp_path, "training")


def write_table(hands_folder: Path, folder: Path, **changes: object) -> None:
    """Write the table of a folder of hands with its radiographs into another one, with changes to the first hand."""
    table = pd.read_csv(hands_folder / "landmarks.csv", dtype={"name": str}).astype(object)
    for column, value in changes.items():
        table.loc[0, column] = value
    shutil.copytree(hands_folder, folder, dirs_exist_ok=True)
    table.to_csv(folder / "landmarks.csv", index=False)


def test_a_table_without_a_column_is_refused(hands_folder: Path, tmp_path: Path) -> None:
    pd.read_csv(hands_folder / "landmarks.csv").drop(columns="x21").to_csv(tmp_path / "landmarks.csv", index=False)
    with pytest.raises(InputError, match=r"landmarks\.csv: no column x21"):
        hand_items(tmp_path, "training")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"y22": np.nan}, "a landmark is not a finite number, or a reduction not a positive one"),
        ({"x21": "inf"}, "a landmark is not a finite number, or a reduction not a positive one"),
        ({"x21": "wide"}, r"landmarks\.csv: x21 of row 1 is not a number"),
        ({"x21": "$__import__('os').getpid()"}, r"landmarks\.csv: x21 of row 1 is not a number"),
        ({"reduction": "inf"}, "a landmark is not a finite number, or a reduction not a positive one"),
        ({"reduction": -1}, "a landmark is not a finite number, or a reduction not a positive one"),
        ({f"x{number}": 5.0 for number in range(37)}, "the landmarks of entry 0 lie on a line"),
        ({"more": 5}, r"landmarks\.csv: 77 cells in row 1|0001: "),
        ({"name": "0001"}, "entry 1 names the same radiograph as another entry"),
        ({"name": "0001.png"}, "entry 1 names the same radiograph as another entry"),
        ({"name": ""}, "entry 0 names '', which leaves"),
        ({"name": "."}, r"entry 0 names '\.', which leaves"),
        ({"name": "../0000"}, r"entry 0 names '\.\./0000', which leaves"),
        ({"name": "/etc/passwd"}, "entry 0 names '/etc/passwd', which leaves"),
        ({"name": "00*"}, r"00\*: no such radiograph"),
        ({"name": "landmarks"}, "landmarks: no such radiograph"),
    ],
)
def test_a_table_that_describes_no_hands_of_its_folder_is_refused(
    hands_folder: Path, tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    write_table(hands_folder, tmp_path / "hands", **{k: v for k, v in wrong.items() if k != "more"})
    if "more" in wrong:
        table = tmp_path / "hands" / "landmarks.csv"
        lines = table.read_text().splitlines()
        table.write_text("\n".join([lines[0], f"{lines[1]},5", *lines[2:]]))
    with pytest.raises(InputError, match=message):
        hand_items(tmp_path / "hands", "training")


def test_a_link_out_of_the_folder_is_refused(hands_folder: Path, tmp_path: Path) -> None:
    write_table(hands_folder, tmp_path / "hands", name="linked.png")
    (tmp_path / "hands" / "linked.png").symlink_to(hands_folder / "0000.png")
    with pytest.raises(InputError, match=r"'linked\.png', which leaves"):
        hand_items(tmp_path / "hands", "training")


def test_names_that_identify_the_patient_become_pseudonyms(hands_folder: Path, tmp_path: Path) -> None:
    named = tmp_path / "hands" / "2019-03-05.png"
    write_table(hands_folder, tmp_path / "hands", name=named.name)
    (tmp_path / "hands" / "0000.png").rename(named)
    items = [item for role in ("training", "validation", "held_out") for item in hand_items(tmp_path / "hands", role)]
    assert {item["name"] for item in items if item["image"] == str(named)} == {
        next(item["name"] for item in items if item["name"].startswith("radiograph_"))
    }
    assert not any("2019" in item["name"] + item["joint"] for item in items)


def test_a_hand_far_from_its_landmarks_or_too_small_is_left_out(hands_folder: Path, tmp_path: Path) -> None:
    write_table(hands_folder, tmp_path / "hands", x21=1e9)
    Image.new("L", (2000, 1), 128).save(tmp_path / "hands" / "0001.png")
    items = [item for role in ("training", "validation", "held_out") for item in hand_items(tmp_path / "hands", role)]
    assert {sample["hand"].name for sample in loaded_hands(items)} == {f"{number:04d}" for number in range(2, 8)}


def test_a_missing_radiograph_and_an_unknown_role_are_refused(hands_folder: Path, tmp_path: Path) -> None:
    shutil.copy(hands_folder / "landmarks.csv", tmp_path)
    with pytest.raises(InputError, match=r"0000: no such radiograph"):
        hand_items(tmp_path, "training")
    with pytest.raises(InputError, match="role test: choose"):
        hand_items(hands_folder, "test")


def test_an_unreadable_radiograph_is_left_out_unless_strict(hands_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hands"
    shutil.copytree(hands_folder, folder)
    items = hand_items(folder, "training")
    Path(items[0]["image"]).write_bytes(b"no image")
    assert [sample["hand"].name for sample in loaded_hands(items)] == [item["name"] for item in items[1:]]
    with pytest.raises(InputError, match=items[0]["name"]):
        loaded_hands(items, strict=True)
    with pytest.raises(InputError, match=items[0]["name"]):
        loaded_hands(items[:1])
