"""Lists name joints, stay inside their folder, and split by joint; what cannot be used is reported by name."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io.audit import audit, audited
from bundle.io.joints import SEEDS_PER_RUN, joint_items, phantom_items, training_and_validation, training_joints
from bundle.io.lists import FOLDER, read_datalist
from bundle.io.loading import Item
from bundle.io.spacing import checked_spacing
from bundle.io.splits import part_of_joints, repeated, split_by_joint
from bundle.io.writing import LONGEST_NAME, PART, RESULT_ENDINGS
from bundle.phantoms.sampling import sample_parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

SIZE = 32
HALVES = torch.arange(SIZE)[None, :, None].expand(2, -1, SIZE) >= SIZE // 2
Entry = dict[str, Any]


def write_joint(root: Path, folder: str, stem: str, common_rows: int = 0) -> Entry:
    """A joint in the public layout, with masks that share ``common_rows`` rows of 20 pixels."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    entry = {
        "image": f"{folder}/{stem}.jpg",
        "upper": f"{folder}/{stem}_mask_upper.bmp",
        "lower": f"{folder}/{stem}_mask_lower.bmp",
        "background": f"background/{stem}.jpg",
    }
    upper, lower = np.zeros((2, SIZE, SIZE), np.uint8)
    upper[: 16 + common_rows, 6:26], lower[16:, 6:26] = 255, 255
    Image.fromarray(upper // 2 + lower // 3).convert("RGB").save(root / entry["image"])
    Image.fromarray(upper).save(root / entry["upper"])
    Image.fromarray(lower).save(root / entry["lower"])
    return entry


def write_list(root: Path, name: str, entries: Any) -> None:
    (root / name).write_text(json.dumps(entries))


def read_list(root: Path, name: str) -> list[Entry]:
    return json.loads((root / name).read_text())


def names_only(folder: str, stem: str) -> Entry:
    return {key: f"{folder}/{stem}{end}" for key, end in (("image", ".png"), ("lower", "_l.png"), ("upper", "_u.png"))}


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """Four joints of two images each, one of them overlapping, in a list with a partner of one joint."""
    root = tmp_path / "Data"
    joints = ("00054_L_13", "00086_R_11", "00111_L_5", "00307_R_8")
    entries = [write_joint(root, f"cases/{joint}", stem) for joint in joints for stem in ("one", "two")]
    entries[3] = write_joint(root, "cases/00086_R_11", "two", common_rows=1)
    write_list(root, "LS_train", entries)
    write_list(root, "LS_test", [write_joint(root, "cases/00400_L_2", "one")])
    write_list(root, "alone.json", entries)
    return root


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_an_item_has_the_files_joint_finger_side_and_spacing(public: Path) -> None:
    item = read_datalist(public, "LS_train")[0]
    folder = public.resolve() / "cases" / "00054_L_13"
    assert item == {
        "name": "00054_L_13_one",
        "joint": "00054_L_13",
        "finger": "thumb",
        "side": "left",
        "patient": "00054_L_13",
        "visit": "",
        "spacing": 0.0,
        "spacing_option": 0.0,
        "image": str(folder / "one.jpg"),
        "lower": str(folder / "one_mask_lower.bmp"),
        "upper": str(folder / "one_mask_upper.bmp"),
        "points": "",
    }


def test_fingers_and_sides_are_those_of_the_public_codes(public: Path) -> None:
    items = read_datalist(public, "LS_train") + read_datalist(public, "LS_test")
    assert [item["finger"] for item in items[::2]] == ["thumb", "index", "ring", "middle", "small"]
    assert [item["side"] for item in items[::2]] == ["left", "right", "left", "right", "left"]


@pytest.mark.parametrize(
    ("folder", "finger", "side"),
    [("hand3", "unknown", "unknown"), ("00054_L_99", "unknown", "left"), ("00054_X_13", "unknown", "unknown")],
)
def test_other_folder_names_are_unknown(tmp_path: Path, folder: str, finger: str, side: str) -> None:
    write_list(tmp_path, "mine", [names_only(folder, "a")])
    item = read_datalist(tmp_path, "mine")[0]
    assert (item["joint"], item["finger"], item["side"]) == (folder, finger, side)


def test_an_entry_may_state_its_joint_and_spacing(tmp_path: Path) -> None:
    write_list(
        tmp_path, "mine", [{**names_only("images", "a"), "joint": "p7_R_2", "spacing": 0.1}, names_only("images", "b")]
    )
    stated, other = read_datalist(tmp_path, "mine", spacing=0.2)
    assert (stated["joint"], stated["finger"], stated["side"], stated["spacing"]) == ("p7_R_2", "small", "right", 0.1)
    assert (other["joint"], other["spacing"], other["spacing_option"]) == ("images", 0.0, 0.2)


def test_files_may_lie_anywhere_below_the_root(tmp_path: Path) -> None:
    write_list(tmp_path, "mine", [{"image": "a.nii.gz", "lower": "masks/lower/a.nii", "upper": "masks/upper/a.tif"}])
    item = read_datalist(tmp_path, "mine")[0]
    assert item["lower"] == str(tmp_path.resolve() / "masks" / "lower" / "a.nii")
    assert item["joint"] == tmp_path.name
    assert item["name"] == f"{tmp_path.name}_a"


def test_folders_of_the_same_name_are_different_joints(tmp_path: Path) -> None:
    write_list(tmp_path, "mine", [names_only("p1/mcp2", "a"), names_only("p2/mcp2", "a"), names_only("p2/mcp3", "a")])
    assert [item["joint"] for item in read_datalist(tmp_path, "mine")] == ["p1_mcp2", "p2_mcp2", "mcp3"]


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["j", "k"]), st.sampled_from(["a", "a_2", "b"])), min_size=1, max_size=12))
def test_names_are_unique_and_can_be_file_names(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    write_list(tmp_path, "mine", [{**names_only(joint, stem), "joint": f"../{joint} ü/é"} for joint, stem in pairs])
    names = [item["name"] for item in read_datalist(tmp_path, "mine")]
    assert len(set(names)) == len(pairs)
    assert all(Path(name).name == name and not name.startswith(".") and " " not in name for name in names)


def test_a_list_is_found_with_and_without_its_ending(public: Path) -> None:
    assert (
        read_datalist(public, "alone") == read_datalist(str(public), "alone.json") == read_datalist(public, "LS_train")
    )


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    message = refusal(read_datalist, tmp_path / "nowhere", "LS_train")
    assert str(tmp_path / "nowhere") in message and "dataset_dir" in message


@pytest.mark.parametrize("datalist", ["LS_trian", "", "cases"])
def test_a_missing_list_is_answered_with_those_that_are_there(public: Path, datalist: str) -> None:
    (public / "notes").write_text("no list")
    message = refusal(read_datalist, public, datalist)
    assert "LS_test, LS_train, alone.json" in message and str(public) in message and "notes" not in message


@pytest.mark.parametrize(
    "content", [b"{", b"", b"\xff\xfe\xfa", b"[" * 100_000], ids=["cut", "empty", "binary", "deep"]
)
def test_a_list_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine").write_bytes(content)
    message = refusal(read_datalist, tmp_path, "mine")
    assert "cannot be read as JSON" in message and str(tmp_path / "mine") in message


GOOD = names_only("j", "a")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ({"image": "a"}, "dict"),
        ([], "empty list"),
        (["a.png"], "entry 0 has the type str instead of an object"),
        ([GOOD, {"lower": "a.png", "upper": "b.png"}], 'entry 1 has None as "image"'),
        ([GOOD, {"image": "a.png", "lower": None}], 'entry 1 has None as "lower"'),
        ([{**GOOD, "points": "a.csv"}], "both points, which mark the joints of a hand, and masks"),
        ([{**GOOD, "image": 3}], '3 as "image"'),
        ([{**GOOD, "image": ""}], "'' as \"image\""),
        ([{**GOOD, "joint": 5}], '5 as "joint"'),
        ([{**GOOD, "joint": " "}], "' ' as \"joint\""),
        ([{**GOOD, "spacing": 0}], '0 as "spacing"'),
        ([{**GOOD, "spacing": True}], 'True as "spacing"'),
        ([{**GOOD, "spacing": float("nan")}], 'nan as "spacing"'),
        ([{**GOOD, "spacing": 10**400}], 'as "spacing"'),
        ([{**GOOD, "spacing": "0.1"}], "'0.1' as \"spacing\""),
    ],
)
def test_a_list_of_another_form_is_refused(tmp_path: Path, content: Any, got: str) -> None:
    write_list(tmp_path, "mine", content)
    message = refusal(read_datalist, tmp_path, "mine")
    assert got in message and str(tmp_path / "mine") in message and '{"image": path' in message


@pytest.mark.parametrize("key", ["image", "lower", "upper"])
@pytest.mark.parametrize("given", ["../a.png", "j/../../a.png", "/etc/passwd", ".", "j/..", "a\0b.png", "\ud800.png"])
def test_a_path_that_leaves_the_root_is_fatal(tmp_path: Path, key: str, given: str) -> None:
    write_list(tmp_path, "mine", [GOOD, {**GOOD, key: given}])
    message = refusal(read_datalist, tmp_path, "mine")
    assert "entry 1" in message and f"leaves {tmp_path}" in message and repr(given) in message


def test_an_absolute_path_is_refused_even_below_the_root(tmp_path: Path) -> None:
    write_list(tmp_path, "mine", [{**GOOD, "image": str(tmp_path / "a.png")}])
    assert "relative" in refusal(read_datalist, tmp_path, "mine")


def test_a_link_out_of_the_root_is_refused_and_one_inside_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "Data"
    write_joint(root, "j", "a")
    (tmp_path / "outside.png").write_bytes(b"")
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "j")
    write_list(root, "out_of", [{**GOOD, "image": "out/outside.png"}])
    write_list(root, "within", [{**GOOD, "image": "in/a.jpg"}])
    assert f"leaves {root}" in refusal(read_datalist, root, "out_of")
    assert read_datalist(root, "within")[0]["image"] == str(root.resolve() / "j" / "a.jpg")


def test_the_root_itself_may_be_a_link(public: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(public)
    assert read_datalist(tmp_path / "link", "LS_train") == read_datalist(public, "LS_train")


def test_a_loop_of_links_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    write_list(tmp_path, "mine", [{**GOOD, "image": "loop/a.png"}])
    result = refusal(lambda: audit(read_datalist(tmp_path, "mine"), size=None))
    assert "0 usable" in result


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["..", ".", "a", "b", "", "...", "~", "\\..", "é"]), min_size=1, max_size=7).map("/".join)
)
def test_no_path_of_a_list_ever_leaves_the_root(tmp_path: Path, given: str) -> None:
    write_list(tmp_path, "mine", [{**GOOD, "image": given}])
    try:
        path = read_datalist(tmp_path, "mine")[0]["image"]
    except InputError:
        return
    assert os.path.commonpath([os.path.realpath(path), os.path.realpath(tmp_path)]) == os.path.realpath(tmp_path)
    assert os.path.realpath(path) != os.path.realpath(tmp_path)


def test_the_audit_marks_overlap_from_20_common_pixels_on(public: Path) -> None:
    result = audit(read_datalist(public, "LS_train"), size=SIZE)
    assert [item["overlapping"] for item in result.accepted] == [False] * 3 + [True] + [False] * 4
    assert result.rejected == []


def spoil(root: Path) -> None:
    """Make four of the eight joints unusable, each in another way."""
    cases = root / "cases"
    (cases / "00054_L_13" / "one.jpg").unlink()
    Image.new("L", (SIZE, SIZE)).save(cases / "00086_R_11" / "one_mask_upper.bmp")
    Image.new("L", (SIZE + 1, SIZE), 90).save(cases / "00111_L_5" / "one.jpg")
    truncated = cases / "00307_R_8" / "two.jpg"
    truncated.write_bytes(truncated.read_bytes()[:-40])


REASONS = {
    "00054_L_13_one": "no such file",
    "00086_R_11_one": "the mask is empty",
    "00111_L_5_one": "33 x 32 pixels, not 32 x 32",
    "00307_R_8_two": "truncated",
}


def test_unusable_joints_are_counted_and_logged_by_name_with_the_reason(
    public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(public)
    with caplog.at_level(logging.INFO, logger="bundle.io"):
        result = audit(read_datalist(public, "LS_train"), size=SIZE)
    assert len(result.accepted) == 4
    assert [name for name, _ in result.rejected] == list(REASONS)
    assert all(REASONS[name] in reason for name, reason in result.rejected)
    logged = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert logged[-1] == ("bundle.io", "WARNING", "8 joints checked, 4 usable, 4 rejected")
    for (name, reason), line in zip(REASONS.items(), logged[:-1], strict=True):
        assert name in line[2] and reason in line[2]


def test_a_clean_audit_warns_of_nothing(public: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="bundle.io"):
        audit(read_datalist(public, "LS_train"), size=SIZE)
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_strict_audit_refuses_and_lists_all(public: Path) -> None:
    spoil(public)
    message = refusal(audit, read_datalist(public, "LS_train"), strict=True, size=SIZE)
    assert message.startswith("8 joints checked, 4 usable, 4 rejected. Correct or remove the rejected joints")
    assert all(name in message and reason in message for name, reason in REASONS.items())


def test_an_audit_that_accepts_nothing_refuses_also_when_not_strict(public: Path) -> None:
    message = refusal(audit, read_datalist(public, "LS_train"))
    assert message.startswith("8 joints checked, 0 usable, 8 rejected. Correct at least one joint")


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


def names(items: Sequence[Item]) -> set[str]:
    return {item["name"] for item in items}


@pytest.mark.parametrize("role", ["training", "validation", "untested"])
def test_no_test_joint_is_learned_from_in_a_whole_folder(
    public: Path, caplog: pytest.LogCaptureFixture, role: str
) -> None:
    """Nor another radiograph of it that no list names."""
    write_joint(public, "cases/00400_L_2", "unlisted")
    write_joint(public, "cases/00500_L_2", "of no list")
    found = joint_items(str(public), FOLDER, role, size=SIZE)
    assert found and not any("00400_L_2" in item["name"] for item in found)
    assert "2 of 11 radiographs are excluded: their joints are held out for tests by LS_test" in caplog.text
    if role == "untested":
        assert {item["joint"] for item in found} >= {"00500_L_2", "00054_L_13"} and len(found) == 9
        assert all(item["test_list"] == "" for item in found)
    assert "00400_L_2_one" in names(joint_items(str(public), FOLDER, size=SIZE))


def test_test_joints_are_taken_by_the_name_of_their_list_and_say_it(
    public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = joint_items(str(public), "LS_test", "untested", size=SIZE)
    assert [(item["name"], item["test_list"]) for item in found] == [("00400_L_2_one", "LS_test")]
    assert "1 of 1 radiographs are held out for tests by LS_test" in caplog.text
    assert {item["test_list"] for item in joint_items(str(public), "LS_train", "untested", size=SIZE)} == {""}


def test_test_images_of_a_flat_folder_are_left_out_one_by_one(tmp_path: Path) -> None:
    entries = [write_joint(tmp_path, ".", stem) for stem in "abcd"]
    write_list(tmp_path, "test.json", entries[:1])
    (tmp_path / "other.json").write_text('["no joints"]')
    found = joint_items(str(tmp_path), FOLDER, "untested", size=SIZE)
    assert sorted(Path(item["image"]).stem for item in found) == ["b", "c", "d"]
    write_list(tmp_path, "test.json", entries)
    message = refusal(joint_items, str(tmp_path), FOLDER, "untested", size=SIZE)
    assert "test.json: all radiographs of the folder are held out for tests" in message


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


def test_a_measure_trains_on_some_joints_of_the_partner_and_never_on_the_tested_ones(public: Path) -> None:
    tested = {item["joint"] for item in read_datalist(public, "LS_test")}
    drawn = training_joints(str(public), "LS_test", 5, seed=1, size=SIZE)
    assert len({item["name"] for item in drawn}) == len(drawn) == 5
    assert not tested & {item["joint"] for item in drawn}
    assert drawn == training_joints(str(public), "LS_test", 5, seed=1, size=SIZE)
    assert drawn != training_joints(str(public), "LS_test", 5, seed=2, size=SIZE)
    assert len(training_joints(str(public), "LS_test", 99, size=SIZE)) == 8


def test_without_a_partner_a_measure_has_no_joints_to_train_on(public: Path) -> None:
    assert training_joints(str(public), "alone.json", 5, size=SIZE) == []
    (public / "LS_train").unlink()
    assert training_joints(str(public), "LS_test", 5, size=SIZE) == []


def test_without_a_data_set_a_measure_trains_on_phantoms() -> None:
    assert training_joints("", "LS_test", 3, phantom_seed=7, size=SIZE) == phantom_items(3, 7, SIZE)


def test_a_measure_s_joints_that_cannot_be_used_are_left_out(public: Path) -> None:
    (public / read_list(public, "LS_train")[0]["lower"]).write_bytes(b"")
    assert len(training_joints(str(public), "LS_test", 99, size=SIZE)) == 7


def test_a_list_without_partner_is_split(public: Path) -> None:
    split = training_and_validation(public, "alone", validation_fraction=0.25, seed=1)
    assert split == split_by_joint(read_datalist(public, "alone"), 0.25, 1)


def test_phantoms_can_be_trained_on_beside_the_joints_of_a_data_set(public: Path) -> None:
    alone, beside = (joint_items(str(public), "alone", "training", added_phantoms=n, size=SIZE) for n in (0, 3))
    assert beside == alone + phantom_items(3, 0, SIZE)
    validation = [joint_items(str(public), "alone", "validation", added_phantoms=n, size=SIZE) for n in (0, 3)]
    assert validation[0] == validation[1]


def test_a_joint_in_both_partners_is_refused(public: Path) -> None:
    write_list(public, "LS_test", [names_only("cases/00111_L_5", "three")])
    message = refusal(training_and_validation, public, "LS_train")
    assert "00111_L_5" in message and "LS_train" in message and "LS_test" in message


def test_phantoms_are_joints_of_their_own_with_the_parameters_of_their_seed() -> None:
    items = phantom_items(30, 2)
    assert [item["seed"] for item in items] == list(range(2 * SEEDS_PER_RUN, 2 * SEEDS_PER_RUN + 30))
    assert all(item["name"] == item["joint"] == f"phantom_{item['seed']}" for item in items)
    for item in items:
        parameters = sample_parameters(item["seed"])
        assert (item["finger"], item["side"]) == (parameters.finger, parameters.side)
        assert (item["outline_gap_mm"], item["spacing"]) == (parameters.outline_gap_mm, parameters.spacing)
        assert item["overlapping"] == (parameters.outline_gap_mm < 0)
    assert len({item["finger"] for item in items}) == 5
    assert {item["overlapping"] for item in items} == {True, False}


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (SEEDS_PER_RUN + 1, 0), (3, -1)])
def test_impossible_phantoms_are_refused(count: int, seed: int) -> None:
    assert f"{count} phantoms with the seed {seed}" in refusal(phantom_items, count, seed)


def test_several_takes_of_a_phantom_are_radiographs_of_one_joint() -> None:
    single, taken = phantom_items(2, 5), phantom_items(2, 5, takes=3)
    assert [item["retake"] for item in taken] == [0, 1, 2] * 2
    assert [item["joint"] for item in taken] == [item["joint"] for item in single for _ in range(3)]
    assert len({item["name"] for item in taken}) == 6
    assert [{**item, "name": item["joint"]} for item in single] == [
        {key: value for key, value in {**item, "name": item["joint"]}.items() if key != "retake"} for item in taken[::3]
    ]
    assert "at least one take" in refusal(phantom_items, 1, 0, takes=0)


def test_without_a_data_set_the_joints_are_phantoms() -> None:
    everything, training, validation = (
        joint_items("", "", role, phantoms=20, validation_fraction=0.25, seed=1)
        for role in ("all", "training", "validation")
    )
    assert everything == phantom_items(20, 1)
    assert (training, validation) == split_by_joint(everything, 0.25, 1)
    assert (len(training), len(validation)) == (15, 5)


def test_with_a_data_set_the_joints_are_audited(public: Path) -> None:
    spoil(public)
    names = {
        role: {item["name"] for item in joint_items(str(public), "alone", role, size=SIZE)}
        for role in ("all", "training", "validation")
    }
    assert names["training"] | names["validation"] == names["all"]
    assert not names["training"] & names["validation"]
    assert names["all"] == {item["name"] for item in read_datalist(public, "alone")} - set(REASONS)
    assert "rejected 00054_L_13_one" in refusal(joint_items, str(public), "alone", strict=True, size=SIZE)


def test_an_unknown_role_is_refused() -> None:
    assert '"train"' in refusal(joint_items, "", "", "train")


@pytest.mark.slow
def test_the_public_lists_are_read_whole(joint_data: Path) -> None:
    training, validation = training_and_validation(joint_data, "LS_K1_all_train")
    assert len({item["name"] for item in training + validation}) == 1194
    assert not {item["joint"] for item in training} & {item["joint"] for item in validation}
    assert {item["finger"] for item in training} == {"small", "ring", "middle", "index", "thumb"}
    assert {item["side"] for item in training} == {"left", "right"}


@pytest.mark.parametrize(("common_rows", "wrong"), [(8, False), (9, True)])
def test_masks_that_share_more_than_half_of_the_smaller_are_grossly_wrong(
    public: Path, common_rows: int, wrong: bool
) -> None:
    joints = [("00054_L_13", 0), ("00086_R_11", common_rows)]
    write_list(public, "two", [write_joint(public, f"cases/{joint}", "new", rows) for joint, rows in joints])
    found = audit(read_datalist(public, "two"), size=SIZE)
    assert [name for name, _ in found.rejected] == ["00086_R_11_new"] * wrong
    assert all("grossly wrong masks" in reason for _, reason in found.rejected)


def test_grossly_wrong_masks_are_kept_with_a_warning_where_nothing_is_learned_from_them(
    public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_list(public, "one", [write_joint(public, "cases/00086_R_11", "new", 16)])
    with caplog.at_level(logging.WARNING, "bundle.io"):
        kept = joint_items(str(public), "one", size=SIZE, keep_gross=True, strict="true")
    assert [item["name"] for item in kept] == ["00086_R_11_new"]
    assert "grossly wrong masks" in caplog.text and "00086_R_11_new" in caplog.text


@pytest.mark.long
def test_exactly_five_public_joints_are_refused_and_all_for_their_masks(joint_data: Path) -> None:
    audits = [audit(read_datalist(joint_data, f"LS_K1_all_{role}")) for role in ("train", "test")]
    reasons = [reason for found in audits for _, reason in found.rejected]
    assert len(reasons) == 5
    assert all("grossly wrong masks" in reason for reason in reasons)
    assert sum(item["overlapping"] for found in audits for item in found.accepted) == 518 + 76 - 5


def drawn(image: Any) -> Any:
    """Masks of the lower and the upper half."""
    return torch.stack([HALVES[0], ~HALVES[1]]).float()


def test_a_folder_stands_for_its_radiographs_with_the_masks_and_points_beside_them(tmp_path: Path) -> None:
    write_joint(tmp_path, "a", "one")
    Image.new("L", (SIZE, SIZE), 90).save(tmp_path / "two.png")
    Image.new("L", (SIZE, SIZE), 90).save(tmp_path / "hand.tif")
    (tmp_path / "hand.mrk.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("no radiograph")
    (tmp_path / ".hidden.png").write_bytes(b"")
    named = [
        {Path(item[key]).name for key in ("image", "lower", "upper", "points") if item[key]}
        for item in read_datalist(tmp_path, FOLDER)
    ]
    assert named == [
        {"one.jpg", "one_mask_lower.bmp", "one_mask_upper.bmp"},
        {"hand.tif", "hand.mrk.json"},
        {"two.png"},
    ]


def test_a_folder_without_radiographs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no radiograph")
    assert f"{tmp_path}: no radiographs in this folder" in refusal(read_datalist, tmp_path, FOLDER)


def test_items_say_whose_masks_they_have_and_rejected_ones_are_kept_with_the_reason(tmp_path: Path) -> None:
    write_joint(tmp_path, "a", "one")
    Image.new("L", (SIZE, SIZE), 90).save(tmp_path / "two.png")
    (tmp_path / "bad.dcm").write_text("no DICOM")
    joints = joint_items(str(tmp_path), FOLDER, size=SIZE, segment=drawn)
    assert [(Path(item["image"]).name, item["masks"]) for item in joints] == [
        ("one.jpg", "given"),
        ("two.png", "predicted"),
    ]
    assert len({frozenset(item) for item in joints}) == 1
    (rejected,) = joints.rejected
    assert rejected["name"].endswith("bad") and "the DICOM header is missing" in rejected["reason"]


def test_one_bad_joint_of_a_hand_leaves_the_others(tmp_path: Path) -> None:
    Image.new("L", (200, 200), 90).save(tmp_path / "hand.png")
    (tmp_path / "hand.csv").write_text("name,x,y,tip_x,tip_y\nindex,100,100,100,0\nring,10,100,10,0\n")
    joints = joint_items(str(tmp_path), FOLDER, size=SIZE, spacing=0.2, segment=drawn)
    assert [item["name"].rpartition("_")[2] for item in joints] == ["index"]
    assert [line["name"].rpartition("_")[2] for line in joints.rejected] == ["ring"]
    assert "inside the radiograph" in joints.rejected[0]["reason"]


def test_joints_of_a_hand_whose_names_are_alike_as_files_have_names_of_their_own(tmp_path: Path) -> None:
    Image.new("L", (300, 300), 90).save(tmp_path / "hand.png")
    (tmp_path / "hand.csv").write_text("name,x,y,tip_x,tip_y\na/b,150,150,150,0\na_b,140,150,140,0\n")
    joints = joint_items(str(tmp_path), FOLDER, size=SIZE, spacing=0.2, segment=drawn)
    assert len({item["name"] for item in joints}) == 2


def test_the_points_of_a_rejected_hand_tell_no_uid_either(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_joint(tmp_path, "a", "one")
    Image.new("L", (300, 300), 90).save(tmp_path / "1.2.840.10008.5.1.png")
    (tmp_path / "1.2.840.10008.5.1.csv").write_text("nothing")
    (rejected,) = joint_items(str(tmp_path), FOLDER, size=SIZE, spacing=0.6).rejected
    assert "1.2.840" not in str(rejected) + caplog.text


@pytest.mark.parametrize("key", ["image", "lower", "upper"])
def test_a_missing_file_rejects_its_joint_alone(public: Path, key: str) -> None:
    item = read_datalist(public, "LS_train")[2]
    Path(item[key]).unlink()
    result = audit(read_datalist(public, "LS_train"), size=SIZE)
    assert [name for name, _ in result.rejected] == [item["name"]] and len(result.accepted) == 7
    assert result.rejected[0][1].startswith(f"{item[key]}: no such file")


def test_the_name_of_a_rejected_file_tells_no_uid(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_joint(tmp_path, "a", "one")
    (tmp_path / "1.2.840.10008.5.1.4.dcm").write_text("no DICOM")
    (rejected,) = joint_items(str(tmp_path), FOLDER, size=SIZE).rejected
    assert "1.2.840" not in str(rejected) + caplog.text and "the DICOM header is missing" in rejected["reason"]


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
    with pytest.raises(InputError, match="no fraction of the joints"):
        part_of_joints([{"joint": "a"}], fraction, 0)


@pytest.mark.parametrize(("least", "times"), [(0, 1), (3, 1), (4, 2), (9, 3)])
def test_few_samples_come_as_often_as_an_epoch_needs(least: int, times: int) -> None:
    samples = [{"name": str(index)} for index in range(3)]
    assert repeated(samples, least) == samples * times


@pytest.mark.parametrize("spacing", ["abc", "0,08", [0.1], (0, 8), -1, "nan", float("inf"), None, True, 10**400, 100])
@pytest.mark.parametrize("dataset_dir", ["", "absent"])
def test_what_is_no_spacing_is_refused_by_the_name_of_its_option(spacing: Any, dataset_dir: str) -> None:
    with pytest.raises(InputError, match=r"^--spacing .* is no pixel spacing\."):
        joint_items(dataset_dir, "K", spacing=spacing)
    with pytest.raises(InputError, match=r"^--spacing "):
        read_datalist(dataset_dir, "K", spacing=spacing)


def test_a_spacing_as_text_is_understood() -> None:
    assert checked_spacing("0.08") == 0.08 and checked_spacing("0") == 0.0


@pytest.mark.parametrize("other", ["x_mask", "x_lower", "x_layers", "x_masks", "X"])
def test_results_of_two_radiographs_never_share_a_file(tmp_path: Path, other: str) -> None:
    """``x_mask_lower.png`` is the mask of x and the layer of x_mask."""
    for stem in ("x", other, "x_unlike"):
        Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (64, 1))).save(tmp_path / f"{stem}.png")
    names = [item["name"] for item in read_datalist(tmp_path, "*")]
    files = [f"{name}{ending}".lower() for name in names for ending in RESULT_ENDINGS]
    assert len(set(files)) == len(files)
    assert sum(name.endswith("_2") for name in names) == 1
    assert any(name.endswith("x_unlike") for name in names)


@pytest.mark.parametrize("letter", ["x", "\u00e4"])
def test_a_name_too_long_for_the_names_of_results_is_rejected_and_the_longest_is_not(
    tmp_path: Path, letter: str
) -> None:
    fits, long = (letter * (length // len(letter.encode())) for length in (LONGEST_NAME, LONGEST_NAME + 2))
    for name in "ab":
        Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16).save(tmp_path / f"{name}.png")
    there = read_datalist(tmp_path, "*", spacing=0.3)
    items = [{**item, "name": name} for item, name in zip(there, (fits, long), strict=True)]
    found = audited(items, lambda item, _: item, size=64)
    assert [item["name"] for item in found.accepted] == [fits]
    assert [(name, "too long for result files" in reason) for name, reason in found.rejected] == [(long, True)]
    with pytest.raises(InputError, match="Shorten it"):
        audited(items, lambda item, _: item, strict=True, size=64)
    assert max(len(f".{fits}{ending}.{2**22}{PART}".encode()) for ending in RESULT_ENDINGS) <= 255
