"""Hands of a folder: split by hand, read with their landmarks, refused with the remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bundle.errors import InputError
from bundle.hands import hand_items, load_hand, loaded_hands
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
    assert item["pixel_mm"] == pytest.approx(0.2)


def test_a_folder_without_landmarks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"landmarks\.csv: no such file\. Pass --dataset_dir"):
        hand_items(tmp_path, "training")


def test_a_table_without_a_column_or_with_a_missing_number_is_refused(hands_folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(hands_folder / "landmarks.csv", dtype={"name": str})
    table.drop(columns="x21").to_csv(tmp_path / "landmarks.csv", index=False)
    with pytest.raises(InputError, match=r"landmarks\.csv: not a table of landmarks"):
        hand_items(tmp_path, "training")
    table.loc[3, "y22"] = np.nan
    table.to_csv(tmp_path / "landmarks.csv", index=False)
    with pytest.raises(InputError, match="a landmark or a reduction is not a positive number"):
        hand_items(tmp_path, "training")


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
    Path(items[0]["file"]).write_bytes(b"no image")
    assert [sample["hand"].name for sample in loaded_hands(items)] == [item["name"] for item in items[1:]]
    with pytest.raises(InputError, match=items[0]["name"]):
        loaded_hands(items, strict=True)
    with pytest.raises(InputError, match=items[0]["name"]):
        loaded_hands(items[:1])
