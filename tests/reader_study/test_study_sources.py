"""Real and synthetic radiographs of a data set, in folders and in archives."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.datasets.data_sets import DataSet
from bundle.errors import InputError
from bundle.io import phantom_items
from bundle.reader_study.study import SYNTHETIC, read_key
from bundle.reader_study.study_making import make_study
from bundle.reader_study.study_sources import data_set_candidates, joint_candidates
from tests.datasets.phantoms import OPEN, Joints, plan


class Stored:
    """The writer of source joints that are stored already."""

    def __init__(self, joints: Joints) -> None:
        self.store, self.sources = joints.store, joints.sources

    def kept(self, joints: Any) -> Any:
        return self.sources

    def write_lines(self, name: str, lines: Any) -> None:
        pass


@pytest.fixture(scope="module")
def joints(tmp_path_factory: pytest.TempPathFactory) -> Joints:
    folder = tmp_path_factory.mktemp("set") / "sources"
    folder.mkdir()
    return Joints(folder)


@pytest.fixture(scope="module", params=["png", "webdataset"])
def data_set(request: pytest.FixtureRequest, joints: Joints, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / request.param
    items = [{"name": source.name, "joint": source.joint} for source in joints.sources]
    made = DataSet(str(folder), plan(count=6), OPEN, {}, request.param, shard_size=4)
    made.make(items, Stored(joints))  # type: ignore[arg-type]
    shutil.copytree(joints.store.folder, folder / "sources")
    return folder


@pytest.mark.slow
def test_a_data_set_has_its_sources_on_one_side_and_its_images_on_the_other(data_set: Path, joints: Joints) -> None:
    real, synthetic = data_set_candidates(data_set)
    assert [each.name for each in real] == [source.name for source in joints.sources]
    assert torch.equal(real[0].read(), joints.store.image(real[0].name))
    truths = [json.loads(line) for path in sorted(data_set.glob("truth-*")) for line in path.read_text().splitlines()]
    assert [(each.name, each.joint) for each in synthetic] == [(truth["key"], truth["joint"]) for truth in truths]
    assert len(synthetic) == 6
    for each in synthetic:
        frame = each.read()
        assert frame.shape == (1, 256, 256) and frame.dtype == torch.float32 and 0.1 < float(frame.mean()) < 0.9


@pytest.mark.slow
def test_a_study_is_made_of_a_data_set(data_set: Path, tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", *data_set_candidates(data_set), count=1, caliper_mm=2.0)
    key = read_key(study)
    assert sorted(entry["kind"] for entry in key.values()) == ["real", SYNTHETIC]
    assert study.image["width"] == 4 * 124


def test_flagged_joints_and_joints_without_a_width_are_no_candidates(data_set: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data_set, tmp_path / "set"))
    for row, change in enumerate(({"flagged": True}, {"joint_space_mm": None})):
        path = copy / "sources" / f"phantom{row}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert [each.name for each in data_set_candidates(copy)[0]] == ["phantom2"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: cut(folder / "truth-000000.jsonl"),
            r"truth-000000\.jsonl: the data set is damaged \(line 1 is",
        ),
        (lambda folder: (folder / "truth-000000.jsonl").write_text('{"key": "../x"}'), "line 1 is not a ground truth"),
        (lambda folder: cut(folder / "sources" / "phantom1.json"), "no record of a source joint"),
        (lambda folder: [path.unlink() for path in folder.glob("truth-*")], "not a data set of synthetic radiographs"),
    ],
)
def test_a_damaged_data_set_is_refused(
    data_set: Path, tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    copy = Path(shutil.copytree(data_set, tmp_path / "set"))
    damage(copy)
    with pytest.raises(InputError, match=message):
        data_set_candidates(copy)


def test_damaged_and_missing_images_are_refused_when_they_are_read(data_set: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data_set, tmp_path / "set"))
    for path in [*copy.rglob("*.pt"), *(copy / "radiographs-000000").glob("*.png"), *copy.glob("*.tar")]:
        cut(path)
    real, synthetic = data_set_candidates(copy)
    for each in (real[0], synthetic[0]):
        with pytest.raises(InputError, match="the data set is damaged"):
            each.read()
    for path in [*copy.glob("radiographs-000000/*.png"), *copy.glob("*.tar")]:
        path.unlink()
    with pytest.raises(InputError, match="the data set is damaged"):
        synthetic[0].read()


def test_joints_of_a_list_are_candidates_where_their_width_is_known() -> None:
    items = [{**item, "loaded": None} for item in phantom_items(3, 0)]
    widths = {items[0]["name"]: 1.5, items[1]["name"]: None}
    (found,) = joint_candidates(items, widths)
    assert (found.name, found.joint_space_mm, found.finger) == (items[0]["name"], 1.5, items[0]["finger"])
    assert found.spacing_mm == items[0]["spacing"]


@pytest.mark.slow
def test_the_program_of_the_document_runs(data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "reader_studies.md"
    (program,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    shutil.copytree(data_set, tmp_path / "OUT")
    monkeypatch.chdir(tmp_path)
    exec(program.replace("count=50", "count=1, caliper_mm=2.0"), {})
    assert (tmp_path / "studies" / "first" / "key.json").is_file()
