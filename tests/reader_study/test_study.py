"""Studies on disk: made once, read by everybody, answered by several readers; damaged ones are refused plainly."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.reader_study.study import KEY, STUDY, Study, find_studies, read_key, read_study, validated_answer
from bundle.reader_study.study_making import make_study
from tests.reader_study.phantoms import SIZE, candidate, plain

COUNT = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "first"
    make_study(folder, plain("real", range(20)), plain("synthetic", range(20, 40)), count=COUNT, seed=3)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "first"))


def given(image: str, **more: Any) -> dict[str, Any]:
    return {"reader": "A", "image": image, "answer": "real", "confidence": 3, "seconds": 2.0, **more}


def test_a_study_is_what_readers_need_and_its_key_is_apart(made: Path) -> None:
    study, key = read_study(made), read_key(read_study(made))
    assert sorted(path.name for path in made.iterdir()) == ["images", "key.json", "study.json"]
    assert study.name == "first" and study.seed == 3 and study.options["count"] == COUNT
    assert list(study.images) == [f"image_{number:03d}" for number in range(1, 2 * COUNT + 1)]
    assert [entry["kind"] for entry in key.values()].count("synthetic") == COUNT
    assert stat.S_IMODE((made / KEY).stat().st_mode) == 0o600
    text = (made / STUDY).read_text()
    assert not any(entry["name"] in text or entry["joint"] in text for entry in key.values())
    assert '"kind"' not in text


def test_a_study_is_the_same_for_a_seed(made: Path, tmp_path: Path) -> None:
    again = make_study(tmp_path / "first", plain("real", range(20)), plain("synthetic", range(20, 40)), count=6, seed=3)
    assert read_study(made).sums == again.sums
    other = make_study(tmp_path / "b", plain("real", range(20)), plain("synthetic", range(20, 40)), count=6, seed=4)
    assert other.sums != again.sums


def test_readers_see_all_images_in_orders_of_their_own(made: Path) -> None:
    study = read_study(made)
    orders = [study.order(reader) for reader in ("A", "B", "A")]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(study.images)


def test_answers_are_numbered_resumed_and_undone(folder: Path) -> None:
    study = read_study(folder)
    first, second = study.order("A")[:2]
    assert study.answer(given(first))["order"] == 1
    assert study.answer(given(second, answer="synthetic"))["order"] == 2
    assert study.answer(given(first, reader="B"))["order"] == 1
    assert read_study(folder).remaining("A") == study.order("A")[2:]
    assert study.undo("A") is not None
    assert study.remaining("A") == study.order("A")[1:]
    assert study.undo("C") is None


def test_an_answer_that_is_sent_twice_is_stored_once_and_another_one_refused(folder: Path) -> None:
    study = read_study(folder)
    image = study.order("A")[0]
    stored = study.answer(given(image))
    assert study.answer(given(image, seconds=9.0)) == stored
    with pytest.raises(InputError, match="has an answer of this reader already"):
        study.answer(given(image, confidence=4))
    assert len(study.log.records()) == 1


@pytest.mark.parametrize("image", ["image_999", "../key", "", None, "image_001.png"])
def test_an_image_that_is_not_in_the_study_is_refused(made: Path, image: Any) -> None:
    study = read_study(made)
    with pytest.raises(InputError, match=r"^image: "):
        study.image_path(image)
    with pytest.raises(InputError, match=r"^image: "):
        study.answer(given(image))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reader", "\x1b[0m"),
        ("answer", "maybe"),
        ("answer", True),
        ("confidence", 0),
        ("confidence", 6),
        ("confidence", 2.5),
        ("confidence", True),
        ("seconds", float("nan")),
    ],
)
def test_nonsense_is_no_answer(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        validated_answer({**given("image_001"), field: value})


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    known = json.loads(path.read_text())
    edit(known)
    path.write_text(json.dumps(known))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "no study": lambda folder: (folder / STUDY).unlink(),
    "no JSON": lambda folder: (folder / STUDY).write_text("{"),
    "a list": lambda folder: (folder / STUDY).write_text("[]"),
    "other version": lambda folder: change(folder / STUDY, lambda known: known.update(format=2)),
    "no name": lambda folder: change(folder / STUDY, lambda known: known.pop("name")),
    "a name of lines": lambda folder: change(folder / STUDY, lambda known: known.update(name="a\nb")),
    "a path as id": lambda folder: change(folder / STUDY, lambda known: known["images"][0].update(id="../../key")),
    "no checksum": lambda folder: change(folder / STUDY, lambda known: known["images"][0].update(sha256=3)),
    "an id twice": lambda folder: change(folder / STUDY, lambda known: known["images"].append(known["images"][0])),
    "no images": lambda folder: change(folder / STUDY, lambda known: known.update(images=[])),
    "images of another kind": lambda folder: change(folder / STUDY, lambda known: known.update(images=[3])),
    "seed": lambda folder: change(folder / STUDY, lambda known: known.update(seed="x")),
    "no image": lambda folder: (folder / "images" / "image_002.png").unlink(),
    "another image": lambda folder: (folder / "images" / "image_002.png").write_bytes(b"x"),
    "no key": lambda folder: (folder / KEY).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_study_is_refused_by_the_name_of_its_file(folder: Path, damage: Callable[[Path], Any]) -> None:
    read_study(folder)
    damage(folder)
    with pytest.raises(InputError, match=rf"^{folder}/.*: the study is damaged \(.*\)\. Restore it"):
        read_study(folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda known: known["images"].pop("image_001"),
        lambda known: known["images"]["image_001"].update(kind="both"),
        lambda known: known["images"]["image_001"].update(joint=known["images"]["image_002"]["joint"]),
        lambda known: known.update(images=[]),
        lambda known: known["images"].update(image_001=3),
    ],
)
def test_a_key_that_does_not_fit_is_refused(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    change(folder / KEY, edit)
    with pytest.raises(InputError, match=rf"^{folder / KEY}: the study is damaged"):
        read_key(read_study(folder))


def test_studies_are_found_with_the_reasons_of_damaged_ones_and_of_equal_names(folder: Path) -> None:
    root = folder.parent
    shutil.copytree(folder, root / "studies" / "copy")
    shutil.copytree(folder, root / "broken")
    (root / "broken" / STUDY).write_text("")
    found = {each.folder.name: each for each in find_studies(root)}
    assert set(found) == {"first", "copy", "broken"}
    assert found["first"].study is None and "is also named first" in found["first"].failure
    assert "not readable as JSON" in found["broken"].failure
    change(root / "studies" / "copy" / STUDY, lambda known: known.update(name="<script>"))
    assert [each.study.name for each in find_studies(root) if each.study] == ["first", "<script>"]


def test_the_seed_alone_does_not_give_the_answers_away(tmp_path: Path) -> None:
    """Of two studies of one seed and other radiographs, the kinds differ."""
    kinds = []
    for first in (0, 40):
        sides = plain("real", range(first, first + 20)), plain("synthetic", range(first + 20, first + 40))
        key = read_key(make_study(tmp_path / f"{first}", *sides, count=8))
        kinds.append([key[identity]["kind"] for identity in sorted(key)])
    assert kinds[0] != kinds[1]


def test_names_of_readers_are_recognized_in_any_case(folder: Path) -> None:
    study = read_study(folder)
    given = {"reader": "Ann Lee", "image": study.images[0], "answer": "real", "confidence": 1, "seconds": 1.0}
    study.answer(given)
    assert {study.spelling(name) for name in ("ann lee", "ANN  LEE", "\uff21nn Lee")} == {"Ann Lee"}
    assert study.spelling("Ann") == "Ann"


def test_an_answer_belongs_to_the_reader_who_has_answered_meanwhile_under_another_spelling(folder: Path) -> None:
    first, second = read_study(folder), read_study(folder)
    given = {"answer": "real", "confidence": 1, "seconds": 1.0}
    first.answer({**given, "reader": "Ann", "image": first.images[0]})
    stored = second.answer({**given, "reader": "ANN", "image": first.images[1]})
    assert (stored["reader"], stored["order"]) == ("Ann", 2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_an_image_that_is_no_regular_file_is_not_waited_for(folder: Path) -> None:
    path = read_study(folder).image_path("image_001")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="no regular file"):
        read_study(folder)


def test_an_image_that_was_changed_is_not_shown(folder: Path) -> None:
    study = read_study(folder)
    path, other = (study.image_path(identity) for identity in study.images[:2])
    path.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="changed since"):
        study.read_image(study.images[0])


def test_a_study_is_not_written_over_another_one_nor_beside_one_of_its_name(folder: Path) -> None:
    sides = plain("real", range(20)), plain("synthetic", range(20, 40))
    with pytest.raises(InputError, match="the folder is in use"):
        make_study(folder, *sides, count=COUNT)
    with pytest.raises(InputError, match="is named first already"):
        make_study(folder.parent / "second", *sides, count=COUNT, name="first")
    assert [path.name for path in folder.parent.iterdir()] == ["first"]


def test_of_two_studies_made_at_once_in_one_folder_one_stays_whole(tmp_path: Path) -> None:
    sides = plain("real", range(20)), plain("synthetic", range(20, 40))
    made: list[Study] = []

    def meanwhile(done: int, _: int) -> None:
        if done == 2:
            made.append(make_study(tmp_path / "one", *sides, count=COUNT))

    with pytest.raises(InputError, match="the folder is in use"):
        make_study(tmp_path / "one", *sides, count=COUNT, progress=meanwhile)
    assert read_study(tmp_path / "one").sums == made[0].sums
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize(
    ("size", "spacing_mm", "message"), [(SIZE, 0.1, "pixels of 0.1 mm"), (SIZE - 8, 0.15, "another size")]
)
def test_a_radiograph_that_its_size_would_reveal_is_refused_and_nothing_stays(
    tmp_path: Path, size: int, spacing_mm: float, message: str
) -> None:
    odd = candidate("odd", torch.zeros(1, size, size), "joint 99", spacing_mm=spacing_mm)
    real = [candidate(f"r{row}", torch.zeros(1, SIZE, SIZE), f"joint {row}") for row in range(3)]
    made = [candidate(f"s{row}", torch.zeros(1, SIZE, SIZE), f"joint {row}") for row in range(3, 5)]
    with pytest.raises(InputError, match=message):
        make_study(tmp_path / "study", real, [*made, odd], count=3)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_become_a_study_and_progress_is_reported(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    (tmp_path / "study").mkdir()
    sides = plain("real", range(6)), plain("synthetic", range(6, 12))
    make_study(tmp_path / "study", *sides, count=2, name="Five readers", progress=lambda *now: done.append(now))
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
