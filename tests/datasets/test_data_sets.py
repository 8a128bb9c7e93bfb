"""Data sets on disk: what was asked for is there, the same whoever made it and however often it was stopped."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ignite.distributed as idist
import numpy as np
import pytest
import torch
import webdataset
from bundle.datasets.data_sets import DataSet, make
from bundle.datasets.distributions import Distribution, Uniform, read_histogram
from bundle.datasets.engines import DaskCluster, Processes
from bundle.datasets.factory import RadiographFactory
from bundle.datasets.gate import QualityGate
from bundle.datasets.shards import FolderShards, decode_shard
from bundle.datasets.source_writer import SourceWriter
from bundle.datasets.sources import SourceStore
from bundle.datasets.specifications import DataPlan
from bundle.errors import InputError
from bundle.inference.results import run_remaining
from bundle.io.audit import Joints
from bundle.io.joints import phantom_items
from bundle.io.locking import LOCK
from bundle.io.reservations import release_outputs
from bundle.measurement.joint_space import DEFINITION, measure_joint_space
from bundle.measurement.outline_gap import outline_gap
from bundle.physics.harmonic import separate
from bundle.physics.motion import RigidMotion
from bundle.physics.synthesis import synthesize
from bundle.quality.uncertainty import FlipInferer
from bundle.separation.transforms.loading import LoadJointd
from bundle.workflow.weights import GeneratorWeights
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from PIL import Image
from torch import Tensor, nn

SIZE = 64
COUNT = 3
GATE = QualityGate(tolerance_mm=0.15, plausible=False)
WIDTHS = Uniform(0.2, 2.0)


class WeightFree(nn.Module):
    """A separator with the signature of the generator."""

    def forward(self, image: Tensor) -> Tensor:
        return separate(image[:, :1], image[:, 1:])


def unjudged(joint: Any, output: Any) -> dict[str, Any]:
    flagged = joint["name"] == "implausible"
    return {"flagged": flagged, "expected_overlap_rmse": None, "reasons": ["too dark"] if flagged else []}


@pytest.fixture(scope="module")
def items() -> list[dict[str, Any]]:
    return phantom_items(COUNT, 0, SIZE)


def plan(**more: Any) -> DataPlan:
    return DataPlan(**{"joint_space_mm": WIDTHS, "count": 20, "seed": 5, **more})


def separated(folder: Path, items: list[dict[str, Any]], weights: Path, batch_size: int = 2) -> SourceWriter:
    """Keep the sources of items, as the configuration does."""
    kept = GeneratorWeights(str(weights / "no.pt"), nn.Conv2d(1, 1, 1))
    writer = SourceWriter(str(folder), {"seed": 0}, kept, unjudged)  # type: ignore[arg-type]
    loader = DataLoader(Dataset(writer.remaining(items), LoadJointd(SIZE)), batch_size=batch_size, num_workers=0)
    evaluator = SupervisedEvaluator("cpu", loader, WeightFree(), inferer=FlipInferer())
    run_remaining(evaluator, writer)
    return writer


def made(folder: Path, items: list[dict[str, Any]], **more: Any) -> Path:
    options = {"plan": plan(), "gate": GATE, "settings": {"datalist": "x"}, "shard_size": 8, **more}
    data = DataSet(str(folder / "out"), **options)
    data.reserve()
    make(data, items, separated(Path(data.sources_dir), items, folder))
    release_outputs()
    return folder / "out"


def content(folder: Path) -> dict[str, bytes]:
    """All files by their paths but the separated joints, which hold when they were written."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pt"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def truths(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("truth-*")) for line in path.read_text().splitlines()]


def card(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "dataset.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, items: list[dict[str, Any]]) -> Path:
    return made(tmp_path_factory.mktemp("whole"), items)


def test_several_runs_read_joints_that_are_all_kept_and_one_separates_others(
    tmp_path: Path, items: list[dict[str, Any]]
) -> None:
    sources = tmp_path / "sources"
    separated(sources, items[:2], tmp_path)
    release_outputs()
    before = content(sources)
    holder = {"host": "another", "process": 1, "started": "", "run": "another 1"}
    (sources / LOCK).write_text(json.dumps(holder))
    separated(sources, items[:2], tmp_path)
    assert json.loads((sources / LOCK).read_text()) == holder and {**content(sources), LOCK: b""} == {
        **before,
        LOCK: b"",
    }
    with pytest.raises(InputError, match="process 1 on another is writing"):
        separated(sources, items, tmp_path)


def test_kept_joints_of_other_settings_are_not_read(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    separated(tmp_path / "sources", items, tmp_path)
    release_outputs()
    kept = GeneratorWeights(str(tmp_path / "no.pt"), nn.Conv2d(1, 1, 1))
    other = SourceWriter(str(tmp_path / "sources"), {"seed": 1}, kept, unjudged)  # type: ignore[arg-type]
    other.remaining(items)
    with pytest.raises(InputError, match="seed was 0, is 1"):
        other.begin()


def test_processes_with_different_runtimes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    monkeypatch.setattr(idist, "all_gather", lambda name: [name, "torch"])
    kept = GeneratorWeights(str(tmp_path / "no.pt"), nn.Conv2d(1, 1, 1))
    for name in ("torch", "openvino"):
        inferer: Any = SimpleNamespace(runtime_name=name)
        writer = SourceWriter(str(tmp_path / name), {}, kept, unjudged, inferer=inferer)  # type: ignore[arg-type]
        if name == "torch":
            writer.begin()
        else:
            with pytest.raises(InputError, match=r"runtimes, openvino and torch\. Pass --runtime torch to all"):
                writer.begin()


@pytest.mark.slow
def test_every_image_has_its_masks_and_its_truth(whole: Path, items: list[dict[str, Any]]) -> None:
    joints = {item["name"]: LoadJointd(SIZE)(item)["image"] for item in items}
    found = truths(whole)
    assert [line["key"] for line in found] == [f"{index:09d}" for index in range(20)]
    assert len(list(whole.glob("radiographs-*/*"))) == 4 * 20
    for index, line in enumerate(found):
        begin = whole / f"radiographs-{index // 8:06d}" / line["key"]
        image, masks = joints[line["source"]][None, :1], joints[line["source"]][None, 1:]
        motion = RigidMotion.from_json(json.dumps(line["motion"]))
        again = synthesize(separate(image, masks), masks, motion, line["spacing_mm"], [line["noise_seed"]])
        with Image.open(f"{begin}.png") as picture:
            assert np.abs(np.asarray(picture) / 65535.0 - again.image[0, 0].numpy()).max() < 2e-3
        for bone, mask in zip(("lower", "upper"), again.masks[0], strict=True):
            with Image.open(f"{begin}.{bone}.png") as picture:
                assert np.mean((np.asarray(picture) > 0) != (mask > 0.5).numpy()) < 1e-3
        assert json.loads(Path(f"{begin}.json").read_text()) == line
        space = measure_joint_space(separate(image, masks), masks, 21 / SIZE)
        assert line["joint_space_before_mm"] == pytest.approx(float(space.mean), abs=1e-3)
        assert line["joint_space_definition"] == card(whole)["joint_space_definition"] == DEFINITION
        assert line["outline_gap_after_mm"] == pytest.approx(float(outline_gap(again.masks, 21 / SIZE)), abs=1e-3)


class Flat(FolderShards):
    """Shards whose files lie in a folder of another name."""

    def path(self, folder: Path, name: str) -> Path:
        return folder / f"flat-{name}"


@pytest.mark.slow
def test_a_format_of_one_s_own_is_an_object_and_its_name_is_in_the_settings(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]]
) -> None:
    out = made(tmp_path, items, format=Flat())
    assert card(out)["settings"]["format"] == "Flat"
    written = {path.name: path.read_bytes() for path in out.glob("flat-radiographs-*/*")}
    assert written == {path.name: path.read_bytes() for path in whole.glob("radiographs-*/*")}


@pytest.mark.slow
def test_webdataset_reads_the_same_data_set(whole: Path, tmp_path: Path, items: list[dict[str, Any]]) -> None:
    out = made(tmp_path, items, format="webdataset")
    shards = [str(path) for path in sorted(out.glob("*.tar"))]
    read = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert [json.loads(sample["json"]) for sample in read] == truths(whole)
    for index, sample in enumerate(read):
        folder = whole / f"radiographs-{index // 8:06d}"
        with Image.open(folder / f"{sample['__key__']}.png") as picture:
            kept = decode_shard("npy.gz", sample["npy.gz"])
            assert kept is not None and np.array_equal(kept[0] * 65535.0, np.asarray(picture, np.float32))
        with Image.open(io.BytesIO(sample["upper.png"])) as picture:
            assert set(np.unique(np.asarray(picture))) == {0, 255}


@pytest.mark.slow
def test_workers_make_the_same_files(whole: Path, tmp_path: Path, items: list[dict[str, Any]]) -> None:
    assert content(made(tmp_path, items, engine=Processes(2))) == content(whole)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_dask_cluster_makes_the_same_files(whole: Path, tmp_path: Path, items: list[dict[str, Any]]) -> None:
    pytest.importorskip("distributed", reason="dask is not installed (requirements-scale.txt)")
    assert content(made(tmp_path, items, engine=DaskCluster(2))) == content(whole)


@pytest.mark.slow
def test_another_seed_makes_other_images(whole: Path, tmp_path: Path, items: list[dict[str, Any]]) -> None:
    other = truths(made(tmp_path, items, plan=plan(seed=6)))
    assert not {line["noise_seed"] for line in other} & {line["noise_seed"] for line in truths(whole)}


@pytest.mark.slow
def test_a_stopped_data_set_goes_on_and_ends_in_the_same_files(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], RadiographFactory.make

    def stopped(self: RadiographFactory, specifications: Any) -> Any:
        calls.append(len(specifications))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, specifications)

    monkeypatch.setattr(RadiographFactory, "make", stopped)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, items)
    assert not (tmp_path / "out" / "dataset.json").exists()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("summary-*")}
    assert 0 < len(done) < 3
    assert content(made(tmp_path, items)) == content(whole)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())


def flip(path: Path) -> None:
    """Another last bit, at the same size."""
    found = bytearray(path.read_bytes())
    found[-1] ^= 1
    path.write_bytes(bytes(found))


HARM: dict[str, Callable[[Path], Any]] = {
    "picture gone": lambda out: (out / "radiographs-000001" / "000000009.png").unlink(),
    "picture changed": lambda out: flip(out / "radiographs-000001" / "000000009.png"),
    "truth gone": lambda out: (out / "truth-000001.jsonl").unlink(),
    "truth changed": lambda out: flip(out / "truth-000001.jsonl"),
    "folder gone": lambda out: shutil.rmtree(out / "radiographs-000001"),
    "summary damaged": lambda out: (out / "summary-000001.json").write_bytes(b"[1"),
    "summary of another kind": lambda out: (out / "summary-000001.json").write_bytes(b"[1]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARM)
def test_a_shard_that_is_not_whole_is_made_again_and_no_other(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]], harm: str
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    HARM[harm](tmp_path / "out")
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("summary-*") if "000001" not in path.name}
    assert content(made(tmp_path, items)) == content(whole)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())


@pytest.mark.slow
def test_an_archive_that_is_damaged_is_made_again(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    first = content(made(tmp_path, items, format="webdataset"))
    flip(tmp_path / "out" / "radiographs-000000.tar")
    (tmp_path / "out" / "radiographs-000002.tar").unlink()
    assert content(made(tmp_path, items, format="webdataset")) == first


@pytest.mark.slow
@pytest.mark.parametrize("harm", [Path.unlink, flip])
def test_a_source_that_is_damaged_is_separated_again(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]], harm: Callable[[Path], Any]
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    harm(tmp_path / "out" / "sources" / f"{items[1]['name']}.pt")
    assert content(made(tmp_path, items)) == content(whole)
    assert SourceStore(tmp_path / "out" / "sources").find(items[1]["name"]) is not None


@pytest.mark.slow
def test_a_half_made_data_set_of_an_older_version_is_refused_by_its_source_joints(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]]
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    (tmp_path / "out" / "summary-000002.json").unlink()
    record = tmp_path / "out" / "sources" / f"{items[0]['name']}.json"
    known = json.loads(record.read_text())
    known["jsw_mm"] = known.pop("joint_space_mm")
    record.write_text(json.dumps(known))
    before = content(tmp_path / "out")
    with pytest.raises(InputError, match="stored by an older version, which measured the gap between the outlines"):
        made(tmp_path, items)
    release_outputs()
    assert {**content(tmp_path / "out"), LOCK: b""} == {**before, LOCK: b""}


@pytest.mark.slow
def test_shards_are_made_anew_when_their_sources_have_changed(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    first = made(tmp_path, [{**item, "digest": "1"} for item in items])
    before = content(first)
    again = content(made(tmp_path, [{**item, "digest": "2"} for item in items]))
    assert {line["digest"] for line in truths(first)} == {"2"}
    assert before.keys() == again.keys()


def test_the_card_has_what_was_asked_beside_what_was_made(whole: Path, items: list[dict[str, Any]]) -> None:
    found, lines = card(whole), truths(whole)
    assert (found["images"], found["missing"], found["shards"]) == (20, 0, 3)
    assert found["settings"]["plan"]["joint_space_mm"] == WIDTHS.describe()
    assert found["separator"] == "weight-free separator"
    assert sum(found["fingers"].values()) == sum(found["narrowing_grades"].values()) == 20
    assert {source["name"]: source["images"] for source in found["sources"]} == {
        item["name"]: sum(line["source"] == item["name"] for line in lines) for item in items
    }
    widths = found["distributions"]["joint_space_mm"]
    assert (
        widths["counts"] == np.histogram([line["joint_space_after_mm"] for line in lines], widths["edges"])[0].tolist()
    )
    assert (
        widths["asked"] == np.histogram([line["joint_space_asked_mm"] for line in lines], widths["edges"])[0].tolist()
    )
    assert widths["largest_difference"] < 0.2


def test_a_data_set_can_be_asked_for_by_the_card_of_another(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "histogram.json"
    path.write_text(json.dumps(card(whole)["distributions"]["joint_space_mm"]))
    wanted: Distribution = read_histogram(path)
    values = wanted.quantile((np.arange(1000) + 0.5) / 1000)
    assert np.quantile(values, 0.5) == pytest.approx(1.1, abs=0.1)


@pytest.mark.slow
def test_refusals_are_counted_and_what_never_passes_is_missing(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    narrow = plan(count=8, attempts=2, joint_space_mm=Uniform(-6.0, 1.0))
    out = made(tmp_path, items, plan=narrow)
    found = card(out)
    assert found["missing"] > 0 and found["images"] + found["missing"] == 8
    assert found["refused"]["change"] >= 2 * found["missing"]
    assert len(truths(out)) == found["images"]
    assert sum(found["distributions"]["joint_space_mm"]["asked"]) == 8


@pytest.mark.slow
def test_untrusted_sources_are_left_out_and_named(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    known = [{**items[0], "name": "implausible"}, *items[1:]]
    found = card(made(tmp_path, known, gate=QualityGate(tolerance_mm=0.15)))
    assert found["refused_sources"] == {"implausible": "implausible"}
    assert len(found["sources"]) == COUNT - 1
    with pytest.raises(InputError) as caught:
        made(tmp_path / "none", known[:1], gate=QualityGate())
    assert "no image can be made from any of 1 joints: 1 flagged by inference" in str(caught.value)
    assert "--gate#plausible false" in str(caught.value) and "(implausible: too dark)" in str(caught.value)


@pytest.mark.slow
def test_joints_that_a_test_list_holds_back_stand_in_the_card(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]]
) -> None:
    assert card(whole)["test_joints"] == {}
    known = [{**items[0], "test_list": "K_test"}, {**items[1], "test_list": ""}, {**items[2], "test_list": "K_test"}]
    assert card(made(tmp_path, known))["test_joints"] == {"K_test": 2}


@pytest.mark.slow
def test_a_source_is_separated_once_and_again_when_its_files_have_changed(
    tmp_path: Path, items: list[dict[str, Any]]
) -> None:
    known = [{**item, "digest": "1"} for item in items]
    writer = separated(tmp_path / "sources", known, tmp_path)
    assert writer.remaining(known) == []
    assert writer.remaining([{**known[0], "digest": "2"}, *known[1:]]) == [{**known[0], "digest": "2"}]
    kept = SourceStore(tmp_path / "sources").find(items[0]["name"])
    assert kept is not None and kept.separator == "weight-free separator"


@pytest.mark.slow
@pytest.mark.parametrize(("first", "batch_size", "threads"), [(1, 2, 1), (2, 3, 1), (0, 3, 3), (0, 1, 2)])
def test_sources_are_the_same_bytes_however_they_were_put_together(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]], first: int, batch_size: int, threads: int
) -> None:
    """Also when the separation was stopped after the first ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    separated(tmp_path / "sources", items[:first], tmp_path, batch_size)
    separated(tmp_path / "sources", items, tmp_path, batch_size)
    torch.set_num_threads(before)
    for item in items:
        one, other = (folder / "sources" / f"{item['name']}.pt" for folder in (tmp_path, whole))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_rejected_joints_are_listed_beside_the_sources(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    separated(tmp_path / "sources", Joints(items, [("hand", "no spacing")]), tmp_path)
    listed = (tmp_path / "sources" / "rejected.jsonl").read_text()
    assert json.loads(listed) == {"name": "hand", "reason": "no spacing"}


def test_another_data_set_is_refused_the_folder(whole: Path) -> None:
    with pytest.raises(InputError, match="results of another run"):
        DataSet(str(whole), plan(seed=1), GATE, {"datalist": "x"}, shard_size=8).reserve()


@pytest.mark.parametrize("size", [0, 7])
def test_shards_that_would_part_pairs_are_refused_and_leave_no_folder(tmp_path: Path, size: int) -> None:
    with pytest.raises(InputError, match="an even shard_size"):
        DataSet(str(tmp_path / "out"), plan(), GATE, {}, shard_size=size)
    assert not (tmp_path / "out").exists()


def test_a_data_set_without_a_gate_is_refused_with_the_options_that_widen_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^gate is null, .*--gate#tolerance_mm 1 .*--gate#plausible false\.$"):
        DataSet(str(tmp_path / "out"), plan(), None, {})  # type: ignore[arg-type]


@pytest.mark.slow
def test_threads_are_as_they_were(whole: Path, tmp_path: Path, items: list[dict[str, Any]]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert content(made(tmp_path, items)) == content(whole)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"\x80\xff", b"[" * 100_000, b"3", b'{"made_from": "x"}'])
def test_a_shard_whose_summary_is_damaged_is_made_anew(
    tmp_path: Path, items: list[dict[str, Any]], damage: bytes
) -> None:
    made(tmp_path, items)
    summary = next((tmp_path).rglob("summary-000000.json"))
    before = summary.read_bytes()
    summary.write_bytes(damage)
    made(tmp_path, items)
    assert summary.read_bytes() == before
