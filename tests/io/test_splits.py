"""Data sets are split by joint: no joint is on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle.errors import InputError
from bundle.io.joints import training_and_validation
from bundle.io.lists import FOLDER, read_datalist
from bundle.io.splits import part_of_joints, repeated, split_by_joint
from hypothesis import given
from hypothesis import strategies as st
from tests.io.joint_folders import names_only, write_joint, write_list
from tests.io.refusals import refusal

joints = st.lists(st.integers(0, 9), min_size=2, max_size=40).filter(lambda drawn: len(set(drawn)) > 1)


@given(drawn=joints, fraction=st.floats(0.001, 0.999), seed=st.integers(0, 2**32))
def test_a_split_keeps_every_item_once_and_no_joint_on_both_sides(drawn: list[int], fraction: float, seed: int) -> None:
    items = [{"joint": str(joint), "name": str(index)} for index, joint in enumerate(drawn)]
    training, validation = split_by_joint(items, fraction, seed)
    assert training and validation
    assert not {item["joint"] for item in training} & {item["joint"] for item in validation}
    assert sorted(map(str, training + validation)) == sorted(map(str, items))
    assert (training, validation) == split_by_joint(items, fraction, seed)


def test_a_split_follows_the_joints_and_not_their_order_and_its_fraction_and_seed() -> None:
    items = [{"joint": f"j{index}"} for index in range(50)]
    training, validation = split_by_joint(items, 0.2, 3)
    assert len(validation) == 10
    turned = split_by_joint(items[::-1], 0.2, 3)
    assert turned == (training[::-1], validation[::-1])
    assert split_by_joint(items, 0.2, 4)[1] != validation


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_fraction_that_empties_a_side_is_refused(fraction: float) -> None:
    assert "between 0 and 1" in refusal(split_by_joint, [{"joint": "a"}, {"joint": "b"}], fraction, 0)


def test_a_flat_folder_is_split_file_by_file_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for stem in "abcdef":
        write_joint(tmp_path / "mine", ".", stem)
    items = read_datalist(tmp_path / "mine", FOLDER)
    assert len({item["joint"] for item in items}) == 1
    training, validation = split_by_joint(items, 0.3, 0)
    assert (len(training), len(validation)) == (4, 2)
    assert sorted(item["name"] for item in training + validation) == sorted(item["name"] for item in items)
    assert "6 radiographs lie in one folder, mine: each file counts as its own joint" in caplog.text
    assert len(part_of_joints(items, 0.5, 0)) == 3


def test_a_folder_that_is_one_joint_is_not_split(tmp_path: Path) -> None:
    """By its name, or by what the list states."""
    for folder, stated in (("00054_L_13", {}), ("mine", {"joint": "left index"})):
        root = tmp_path / f"of {folder}"
        write_list(root, "K_train", [{**write_joint(root, folder, stem), **stated} for stem in "abc"])
        assert "at least two joints" in refusal(training_and_validation, root, "K_train")


def test_one_joint_cannot_be_split() -> None:
    message = refusal(split_by_joint, [{"joint": "a"}] * 5, 0.5, 0)
    assert "at least two joints" in message and '"joint"' in message


@pytest.mark.parametrize("ending", ["", ".json"])
def test_a_training_list_is_split_by_joint_and_never_validated_on_its_partner(public: Path, ending: str) -> None:
    if ending:
        for name in ("LS_train", "LS_test"):
            (public / name).rename(public / f"{name}.json")
    for datalist in {"LS_train", f"LS_train{ending}"}:
        split = training_and_validation(public, datalist, validation_fraction=0.25, seed=1)
        assert split == split_by_joint(read_datalist(public, "LS_train"), 0.25, 1)
        assert [len(side) for side in split] == [6, 2]


def test_a_list_without_partner_is_split(public: Path) -> None:
    split = training_and_validation(public, "alone", validation_fraction=0.25, seed=1)
    assert split == split_by_joint(read_datalist(public, "alone"), 0.25, 1)


def test_a_joint_in_both_partners_is_refused(public: Path) -> None:
    write_list(public, "LS_test", [names_only("cases/00111_L_5", "three")])
    message = refusal(training_and_validation, public, "LS_train")
    assert "00111_L_5" in message and "LS_train" in message and "LS_test" in message


@pytest.mark.slow
def test_the_public_lists_are_read_whole(joint_data: Path) -> None:
    training, validation = training_and_validation(joint_data, "LS_K1_all_train")
    assert len({item["name"] for item in training + validation}) == 1194
    assert not {item["joint"] for item in training} & {item["joint"] for item in validation}
    assert {item["finger"] for item in training} == {"small", "ring", "middle", "index", "thumb"}
    assert {item["side"] for item in training} == {"left", "right"}


@given(fraction=st.floats(0.01, 1.0), seed=st.integers(0, 99))
def test_a_part_of_the_joints_has_all_their_images_and_lies_in_larger_parts(fraction: float, seed: int) -> None:
    items = [{"joint": f"joint{index // 3}", "name": str(index)} for index in range(60)]
    part = part_of_joints(items, fraction, seed)
    names = [item["joint"] for item in part]
    assert len(set(names)) == max(round(20 * fraction), 1)
    assert len(names) == 3 * len(set(names))
    larger = part_of_joints(items, min(1.0, fraction + 0.2), seed)
    assert all(item in larger for item in part)


@pytest.mark.parametrize("fraction", [0.0, 1.2, float("nan")])
def test_a_part_of_the_joints_is_more_than_none_and_at_most_all(fraction: float) -> None:
    with pytest.raises(InputError, match="not a fraction of the joints"):
        part_of_joints([{"joint": "a"}], fraction, 0)


@pytest.mark.parametrize(("least", "times"), [(0, 1), (3, 1), (4, 2), (9, 3)])
def test_few_samples_come_as_often_as_an_epoch_needs(least: int, times: int) -> None:
    samples = [{"name": str(index)} for index in range(3)]
    assert repeated(samples, least) == samples * times
