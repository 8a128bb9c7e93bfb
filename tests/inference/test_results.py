"""Results of joints: what is written, what is done again, and what is refused."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.inference.joint_table import JointTable
from bundle.inference.results import LayerWriter, Results, run_remaining
from bundle.io.audit import Joints
from bundle.io.checksums import sums_of
from bundle.io.phantom_lists import phantom_items
from bundle.io.reservations import release_outputs
from bundle.io.separated import read_separated
from bundle.measurement.joint_space import measure_joint_space
from bundle.physics.harmonic import separate
from bundle.quality.uncertainty import FlipInferer
from bundle.separation.transforms.loading import LoadJointd
from bundle.workflow.weights import GeneratorWeights
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, decollate_batch
from monai.engines import SupervisedEvaluator
from PIL import Image
from torch import Tensor, nn

SIZE = 64
COUNT = 3


class WeightFree(nn.Module):
    """A separator with the signature of the generator."""

    def forward(self, image: Tensor) -> Tensor:
        return separate(image[:, :1], image[:, 1:])


@pytest.fixture(scope="module")
def joints() -> Dataset:
    loaded = [LoadJointd(SIZE)(item) for item in phantom_items(COUNT, 0, SIZE)]
    return Dataset(loaded)


def weights(folder: Path) -> GeneratorWeights:
    return GeneratorWeights(str(folder / "no.pt"), nn.Conv2d(1, 1, 1))


def write_layer_file(folder: Path, name: str) -> Path:
    """A stand-in for the files of a joint."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_layers.nii.gz"
    path.write_bytes(name.encode())
    return path


def evaluate(results: Results, joints: Dataset) -> None:
    """Run an evaluator over the joints and hand them over, as the configurations do."""
    loader = DataLoader(joints, batch_size=2, num_workers=0)
    run_remaining(SupervisedEvaluator("cpu", loader, WeightFree(), inferer=FlipInferer(False)), results)
    release_outputs()


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


def test_layers_are_written_as_nifti_pictures_and_montage(tmp_path: Path, joints: Dataset) -> None:
    evaluate(LayerWriter(str(tmp_path / "out"), {"seed": 0}, weights(tmp_path)), joints)
    for joint in joints:
        layers = separate(joint["image"][None, :1], joint["image"][None, 1:])[0].numpy()
        image = nib.load(tmp_path / "out" / f"{joint['name']}_layers.nii.gz")
        assert image.get_data_dtype() == np.float32
        assert np.allclose(image.header.get_zooms()[:2], float(joint["spacing"]))
        assert np.array_equal(image.get_fdata(dtype=np.float32)[:, :, 0].transpose(2, 1, 0), layers)
        stored = read_separated(tmp_path / "out", joint["name"])
        assert torch.equal(stored.layers, torch.from_numpy(layers))
        assert torch.equal(stored.masks, joint["image"][1:])
        assert stored.spacing_mm == pytest.approx(float(joint["spacing"]))
        for layer, name in zip(layers, ("soft", "lower", "upper"), strict=True):
            written = pixels(tmp_path / "out" / f"{joint['name']}_{name}.png")
            assert np.abs(written - layer * 255.0).max() <= 0.5001
        assert (tmp_path / "out" / f"{joint['name']}_montage.png").is_file()
    assert len(list((tmp_path / "out").iterdir())) == 6 * COUNT + 2


def test_another_runs_results_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    LayerWriter(str(tmp_path), {"seed": 0}, weights(tmp_path)).reserve()
    LayerWriter(str(tmp_path), {"seed": 0}, weights(tmp_path)).reserve()
    (tmp_path / "quality.jsonl").touch()
    with pytest.raises(InputError, match=r"the results of another run \(seed was 0, is 1\)"):
        LayerWriter(str(tmp_path), {"seed": 1}, weights(tmp_path)).reserve()
    with pytest.raises(InputError, match="results was 'LayerWriter', is 'Results'"):
        Results(str(tmp_path), {"seed": 0}, weights(tmp_path)).reserve()


def in_runtime(folder: Path, name: str | None) -> LayerWriter:
    """A writer of layers that this runtime computes."""
    inferer: Any = None if name is None else SimpleNamespace(runtime_name=name)
    return LayerWriter(str(folder / "out"), {}, weights(folder), inferer=inferer)


def test_another_runtime_makes_another_run_and_older_runs_are_of_torch(tmp_path: Path) -> None:
    in_runtime(tmp_path, None).reserve()
    (tmp_path / "out" / "quality.jsonl").touch()
    with pytest.raises(InputError, match=r"another run \(runtime was 'torch', is 'openvino'\)"):
        in_runtime(tmp_path, "openvino").reserve()
    in_runtime(tmp_path, "torch").reserve()
    with pytest.raises(InputError, match=r"another run \(runtime was 'torch', is 'openvino'\)"):
        in_runtime(tmp_path, "openvino").reserve()


def test_a_process_with_another_runtime_makes_no_block_of_a_run(tmp_path: Path) -> None:
    run = in_runtime(tmp_path, "openvino+numba").run
    with pytest.raises(InputError, match=r"here is openvino, .* openvino\+numba\. Install the same"):
        in_runtime(tmp_path, "openvino").in_block(tmp_path, run)
    assert in_runtime(tmp_path, "openvino+numba").in_block(tmp_path, run).known_run == run


def test_other_weights_make_another_run(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "no.pt")
    LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path)).reserve()
    (tmp_path / "out" / "quality.jsonl").touch()
    torch.save({"w": torch.ones(1)}, tmp_path / "no.pt")
    with pytest.raises(InputError, match=r"separator was 'no\.pt"):
        LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path)).reserve()


def test_a_joint_whose_files_have_changed_is_done_again(tmp_path: Path, joints: Dataset) -> None:
    first, second = ({**joints[row], "digest": "1"} for row in range(2))
    evaluate(LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path)), Dataset([first, second]))
    again = LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path))
    left = again.remaining([{**first, "digest": "2"}, second])
    assert [(joint["name"], joint["digest"]) for joint in left] == [(first["name"], "2")]
    evaluate(again, Dataset(left))
    lines = [json.loads(line) for line in (tmp_path / "out" / "quality.jsonl").read_text().splitlines()]
    assert [(line["name"], line["digest"]) for line in lines] == [(second["name"], "1"), (first["name"], "2")]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["_layers.nii.gz", "_soft.png", "_montage.png"])
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_joint_of_which_a_file_is_missing_or_damaged_is_done_again(
    tmp_path: Path, joints: Dataset, ending: str, harm: Any
) -> None:
    evaluate(LayerWriter(str(tmp_path), {}, weights(tmp_path)), joints)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("phantom")}
    harm(tmp_path / f"{joints[1]['name']}{ending}")
    again = LayerWriter(str(tmp_path), {}, weights(tmp_path))
    left = again.remaining(list(joints))
    assert [joint["name"] for joint in left] == [joints[1]["name"]]
    evaluate(again, Dataset(left))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("phantom")} == whole
    assert again.remaining(list(joints)) == []
    assert len((tmp_path / "quality.jsonl").read_text().splitlines()) == COUNT


@pytest.mark.parametrize("damage", ["removed", "random bytes", "other keys"])
def test_a_joint_without_its_row_of_the_table_is_done_again(tmp_path: Path, joints: Dataset, damage: str) -> None:
    out = tmp_path / "out"
    writer = partial(LayerWriter, str(out), {}, weights(tmp_path), writers=[], table=JointTable(out))
    items = [{**joint, "digest": ""} for joint in joints]
    writer().reserve()
    files = [write_layer_file(out, str(item["name"])) for item in items]
    table = JointTable(out)
    for item in items:
        table.append(item, measure_joint_space(item["image"][None], item["image"][None, 1:], 0.3), {})
    lines = [
        {"name": item["name"], "digest": "", "files": sums_of(out, [file])}
        for item, file in zip(items, files, strict=True)
    ]
    (out / "quality.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert writer().remaining(items) == []
    first, *others = (out / "joints.jsonl").read_bytes().splitlines(keepends=True)
    damaged = {"removed": b"", "random bytes": os.urandom(200) + b"\n", "other keys": b'{"name": "x"}\n'}[damage]
    (out / "joints.jsonl").write_bytes(damaged + b"".join(others))
    assert [item["name"] for item in writer().remaining(items)] == [json.loads(first)["name"]]


@pytest.mark.parametrize("option", [{"writers": [5]}, {"dicom": "x"}])
def test_what_is_no_writer_is_refused(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="does not write results"):
        LayerWriter(str(tmp_path), {}, weights(tmp_path), **option)


def test_rejected_joints_are_listed_with_the_reasons_and_no_longer_when_mended(tmp_path: Path) -> None:
    writer = LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path))
    assert writer.remaining(Joints([], [("hand", "no spacing")])) == []
    assert not (tmp_path / "out").exists()
    writer.begin()
    listed = tmp_path / "out" / "rejected.jsonl"
    assert json.loads(listed.read_text()) == {"name": "hand", "reason": "no spacing"}
    writer.remaining(Joints([]))
    writer.begin()
    assert not listed.exists()


def test_nothing_is_run_where_nothing_is_left(tmp_path: Path) -> None:
    loader = DataLoader(Dataset([]), batch_size=2, num_workers=0)
    evaluator = SupervisedEvaluator("cpu", loader, WeightFree())
    run_remaining(evaluator, LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path)))
    assert evaluator.state.iteration == 0


def test_results_of_a_batch_and_its_predictions_must_agree(
    tmp_path: Path, joints: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(engine: Engine, batch: Any) -> list[Any]:
        engine.state.batch = decollate_batch([joints[0]])
        return []

    evaluator = Engine(nothing)
    evaluator.data_loader = [0]  # type: ignore[attr-defined]
    monkeypatch.setattr(evaluator, "run", partial(evaluator.run, [0]))
    with pytest.raises(ValueError, match="zip"):
        run_remaining(evaluator, LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path)))
    release_outputs()


def test_lines_of_quality_that_are_damaged_are_joints_to_be_done(tmp_path: Path) -> None:
    writer = LayerWriter(str(tmp_path / "out"), {"seed": 0}, weights(tmp_path))
    damaged = [b"\x80\xff\x00", b"3", b"null", b'{"name": ', b"[" * 100_000, b"{}"]
    writer.reserve()
    files = sums_of(tmp_path / "out", [tmp_path / "out" / "run.json"])
    whole = [json.dumps({"name": name, "files": files}).encode() for name in "ab"]
    (tmp_path / "out" / "quality.jsonl").write_bytes(b"\n".join([whole[0], *damaged, whole[1]]))
    left = writer.remaining([{"name": name} for name in "abc"])
    writer.begin()
    assert [joint["name"] for joint in left] == ["c"]
    lines = (tmp_path / "out" / "quality.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["a", "b"]


class NoDicomOf:
    """Results as DICOM that one joint does not allow."""

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, joint: dict[str, Any]) -> None:
        if joint["name"] == self.name:
            msg = f"{self.name}: text in the pixels"
            raise InputError(msg)

    def write(self, folder: Path, result: Any) -> list[Path]:
        raise NotImplementedError


def test_a_joint_whose_results_cannot_be_written_is_listed_and_left_out(tmp_path: Path) -> None:
    options: dict[str, Any] = {"dicom": NoDicomOf("b")}
    writer = LayerWriter(str(tmp_path / "out"), {"seed": 0}, weights(tmp_path), **options)
    items = [{"name": name} for name in "abc"]
    assert [joint["name"] for joint in writer.remaining(Joints(items, [("d", "no file")]))] == ["a", "c"]
    writer.begin()
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert lines == [{"name": "d", "reason": "no file"}, {"name": "b", "reason": "b: text in the pixels"}]
    with pytest.raises(InputError, match="cannot be written:\nb: text in the pixels"):
        writer.remaining(Joints(items, strict=True))
    with pytest.raises(InputError, match="cannot be written:\nb: text in the pixels"):
        writer.remaining(Joints(items[1:2]))
