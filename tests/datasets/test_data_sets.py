"""Data sets on disk: what was asked for is there, the same whoever made it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from bundle.cluster import DaskCluster, Processes
from bundle.datasets.data_sets import DataSet
from bundle.datasets.distributions import Distribution, Uniform, read_histogram
from bundle.datasets.gate import QualityGate
from bundle.datasets.shards import FolderShards, decode_shard
from bundle.errors import InputError
from bundle.measurement.joint_space import DEFINITION, measure_joint_space
from bundle.measurement.outline_gap import outline_gap
from bundle.physics.harmonic import separate
from bundle.physics.motion import RigidMotion
from bundle.physics.synthesis import synthesize
from bundle.separation.transforms.loading import LoadJointd
from PIL import Image
from tests.datasets.made_data_sets import COUNT, GATE, SIZE, WIDTHS, card, content, made, plan, truths


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
