"""What a folder is taken for, and what its joints are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.datasets.data_sets import DataSet
from bundle.errors import InputError
from bundle.face import Joint
from bundle.io import read_stated, without_folders, write_layers
from bundle.reading_room.data_set import SyntheticImages
from bundle.reading_room.demo import NARROWING_MM, Demo
from bundle.reading_room.library import Library
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.radiographs import Radiographs
from bundle.reading_room.results import NO_LAYERS, NO_NAME, Results
from bundle.reading_room.rows import CLOSED, FAILED, READY, row_id
from bundle.reading_room.running import Place, _listen, library_of, readings_folder, rooms_of, serve
from tests.datasets.phantoms import OPEN, Joints, plan
from tests.reader_study.test_study_sources import Stored
from tests.reading_room.conftest import separated


def silent(stage: str, fraction: float) -> None:
    """Ignore the progress."""


def opened(library: Library, name: str) -> OpenedJoint:
    found = library.load(library.row(row_id(name)), silent)
    assert isinstance(found, OpenedJoint)
    return found


def line(name: str, **more: Any) -> str:
    known = {"name": name, "joint_space_mm": 1.5, "grade": 1, "refused": False, "plausible": True, "reasons": None}
    return json.dumps({**known, **more}) + "\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers and masks of a joint."""
    folder, layers = tmp_path_factory.mktemp("written"), separated(1.6).layers
    write_layers(folder / "a_layers.nii.gz", layers.layers, layers.joint.spacing_mm)
    write_layers(folder / "a_masks.nii.gz", layers.joint.masks, layers.joint.spacing_mm)
    return folder


@pytest.fixture
def results(written: Path, tmp_path: Path) -> Path:
    """Results of two joints, of which one has layers."""
    folder = Path(shutil.copytree(written, tmp_path / "results"))
    (folder / "joints.jsonl").write_text(line("a", finger="ring", reasons="one; two") + line("b"))
    return folder


def test_results_are_listed_and_opened(results: Path) -> None:
    library = library_of(results)
    assert isinstance(library, Results)
    first, second = library.rows()
    assert (first.state, first.finger, first.reasons) == (READY, "ring", ("one", "two"))
    assert (second.state, second.failure) == (FAILED, NO_LAYERS)
    joint = opened(library, "a").layers.joint
    assert torch.allclose(joint.radiograph, separated(1.6).layers.joint.radiograph, atol=1e-6)


def test_rows_that_are_written_meanwhile_appear_and_a_cut_line_does_not(results: Path) -> None:
    library = library_of(results)
    before = len(library.rows())
    with (results / "joints.jsonl").open("a") as file:
        file.write(line("c") + line("d")[:20])
    (results / "rejected.jsonl").write_text(json.dumps({"name": "e", "reason": "e.png: damaged."}) + "\n")
    rows = library.rows()
    assert [row.name for row in rows[before:]] == ["c", "e"]
    assert rows[-1].failure == "e.png: damaged."


def test_values_of_a_wrong_type_are_unknown(results: Path) -> None:
    (results / "joints.jsonl").write_text(line("a", joint_space_mm="1.5", grade=True, refused=1, finger=["x"]))
    (row,) = library_of(results).rows()
    assert (row.joint_space_mm, row.grade, row.refused, row.finger) == (None, None, None, None)


@pytest.mark.parametrize("number", ["NaN", "1e400", "-1e400"])
def test_numbers_that_are_not_finite_are_unknown(results: Path, number: str) -> None:
    (results / "joints.jsonl").write_text(line("a", joint_space_mm=1.25).replace("1.25", number))
    assert [row.joint_space_mm for row in library_of(results).rows()] in ([None], [])


@pytest.mark.parametrize(
    "name", ["../results/a", "a/../a", "/etc/passwd", "a\ud800", "<img src=x>", "x" * 5000, "..", ""]
)
def test_a_name_that_is_no_name_of_a_file_is_a_row_with_its_reason(results: Path, name: str) -> None:
    (results / "joints.jsonl").write_text(line("a") + line(name))
    row = library_of(results).rows()[-1]
    assert (row.state, row.failure, len(row.name) <= 200) == (FAILED, NO_NAME, True)
    row.name.encode()


def test_a_joint_whose_layers_follow_its_line_becomes_ready(results: Path) -> None:
    library = library_of(results)
    assert library.rows()[1].failure == NO_LAYERS
    shutil.copy(results / "a_layers.nii.gz", results / "b_layers.nii.gz")
    assert [row.state for row in library.rows()] == [READY, READY]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "a_masks.nii.gz").unlink(), "no masks of a"),
        (lambda folder: (folder / "a_layers.nii.gz").write_bytes(b"x"), "a_layers.nii.gz"),
        (lambda folder: write_layers(folder / "a_masks.nii.gz", torch.ones(2, 8, 8) * 0.5, 0.1), "a_masks|masks of a"),
        (
            lambda folder: write_layers(folder / "a_layers.nii.gz", torch.full((3, 256, 256), 2.0), 0.1),
            "layers of a ex",
        ),
        (
            lambda folder: write_layers(folder / "a_masks.nii.gz", torch.eye(256).repeat(2, 1, 1) * 2, 0.1),
            "masks of a ex",
        ),
    ],
)
def test_damaged_results_are_refused(results: Path, spoil: Callable[[Path], Any], reason: str) -> None:
    spoil(results)
    with pytest.raises(InputError, match=reason):
        opened(library_of(results), "a")


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    sources = tmp_path_factory.mktemp("sources")
    joints = Joints(sources)
    items = [{"name": source.name, "joint": source.joint} for source in joints.sources]
    DataSet(str(folder), plan(count=2), OPEN, {}, "png", shard_size=2).make(items, Stored(joints))  # type: ignore[arg-type]
    shutil.copytree(sources, folder / "sources")
    return folder


@pytest.mark.slow
def test_images_of_a_data_set_are_composed_as_they_were_made(data_set: Path) -> None:
    library = library_of(data_set)
    assert isinstance(library, SyntheticImages)
    row = library.rows()[0]
    radiograph = opened(library, row.name).layers.joint.radiograph
    stored = torch.from_numpy(read_stated(data_set / "radiographs-000000" / f"{row.name}.png").intensity)
    assert float((radiograph[0] - stored).abs().max()) < 1e-3
    assert opened(library, row.name).space.mean[0] == pytest.approx(row.joint_space_mm, abs=0.1)


@pytest.mark.slow
def test_a_damaged_truth_is_refused(data_set: Path, tmp_path: Path) -> None:
    copy = tmp_path / "set"
    shutil.copytree(data_set, copy)
    path = copy / "truth-000000.jsonl"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), "motion": "x"}), *rest]))
    library = library_of(copy)
    with pytest.raises(InputError, match="ground truth"):
        library.load(library.rows()[0], silent)


@pytest.mark.slow
def test_a_radiograph_is_separated_when_it_is_opened(tmp_path: Path) -> None:
    Joint.phantom(5, 1.6).write(tmp_path / "one.png")
    (tmp_path / "two.png").write_bytes(b"damaged")
    library = library_of(tmp_path, 21 / 256)
    assert isinstance(library, Radiographs)
    first, second = library.rows()
    assert first.state == CLOSED
    assert isinstance(library.load(first, silent), OpenedJoint)
    after = library.row(first.id)
    assert (after.state, after.plausible) == (READY, True)
    assert after.joint_space_mm == pytest.approx(1.6, abs=0.1)
    with pytest.raises(InputError, match=r"two\.png"):
        library.load(second, silent)


@pytest.mark.slow
def test_phantoms_narrow_from_visit_to_visit() -> None:
    library = Demo(phantoms=1, seed=4)
    first, _, last = library.rows()
    widths = [float(opened(library, row.name).space.mean[0]) for row in (first, last)]
    assert widths[0] - widths[1] == pytest.approx(2 * NARROWING_MM, abs=0.1)
    assert [row.state for row in library.rows()] == [READY, CLOSED, READY]


def test_faults_of_radiographs_do_not_reveal_the_patient(tmp_path: Path) -> None:
    folder = tmp_path / "1.2.840.113619.2.55"
    folder.mkdir()
    (folder / "19700101.png").write_bytes(b"damaged")
    library = library_of(tmp_path)
    with pytest.raises(InputError) as caught:
        library.load(library.rows()[0], silent)
    shown = without_folders(str(caught.value)) + library.rows()[0].name
    assert not any(told in shown for told in ("1.2.840", "19700101", str(tmp_path)))


def test_a_run_that_has_just_begun_is_an_empty_list_that_fills(results: Path) -> None:
    (results / "joints.jsonl").rename(results / "later")
    (results / "run.json").write_text("{}")
    library = library_of(results)
    assert library.rows() == []
    (results / "later").rename(results / "joints.jsonl")
    assert [row.name for row in library.rows()] == ["a", "b"]


def test_a_port_is_taken_before_the_pages_are_served() -> None:
    with _listen("127.0.0.1", 0) as listening, pytest.raises(InputError, match="in use"):
        _listen("127.0.0.1", listening.getsockname()[1])


def test_readings_are_not_stored_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Pass another --output_dir"):
        rooms_of(Demo(phantoms=1), tmp_path / "file")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        library_of(tmp_path / "none")


def test_folders_of_one_name_have_readings_of_their_own(tmp_path: Path) -> None:
    one, other = readings_folder(tmp_path / "a" / "x"), readings_folder(tmp_path / "b" / "x")
    assert one != other and one.parent == other.parent
    assert one == readings_folder(tmp_path / "a" / ".." / "a" / "x")


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no.such.host.invalid", 0), ("192.0.2.1", 0)])
def test_an_address_that_cannot_be_used_is_refused(host: str, port: int) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        serve([], Place(host, port, browser=False), say=lambda _: None)
