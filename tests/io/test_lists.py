"""Lists name joints and stay inside their folder; a folder without a list gives its radiographs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io.audit import audit
from bundle.io.joints import joint_items
from bundle.io.lists import FOLDER, meant_list, read_datalist
from bundle.io.writing import RESULT_ENDINGS, write_png
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.io.joint_folders import GOOD, SIZE, names_only, write_joint, write_list
from tests.io.refusals import refusal


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
