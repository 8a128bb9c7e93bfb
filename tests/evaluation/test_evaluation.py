from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from bundle.errors import InputError
from bundle.evaluation.evaluation import Evaluation, Task, chosen_measures
from bundle.evaluation.export import export_joints
from bundle.evaluation.report import EvaluationReport
from bundle.evaluation.separators import LayersFolder, NetworkSeparator, choose_separator
from bundle.evaluation.sets import ClosedJoints, JointSet, PostprocessedJoints, as_a_file_holds
from bundle.io.lists import read_datalist
from bundle.io.phantom_lists import phantom_items
from bundle.io.writing import write_layer_images, write_layers
from bundle.physics.harmonic import separate
from bundle.separation.pseudo_overlap import OverlapRange
from bundle.separation.transforms.dictionary import PseudoOverlapd
from bundle.separation.transforms.layers import SeparateLayersd
from bundle.separation.transforms.loading import LoadJointd
from bundle.statistics.measured import Measured, SeparatedJoints
from bundle.workflow.weights import GeneratorWeights
from monai.inferers import SimpleInferer
from torch import Tensor, nn

SIZE = 64


class WeightFree:
    """A separator that notes what it is shown."""

    source = "weight-free"
    training = None

    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.seen: dict[str, Tensor] = {}

    def prepare(self, names: Iterable[str]) -> None:
        self.prepared = list(names)

    def __call__(
        self, names: Sequence[str], images: Tensor, postprocessed: bool = False, spacings: Sequence[float] = ()
    ) -> Tensor:
        self.seen.update(zip(names, images, strict=True))
        return separate(images[:, :1], images[:, 1:])


@dataclass(frozen=True, kw_only=True)
class Count:
    """A measure: how many joints it is called with; `broken` ends it."""

    factor: int = 1
    broken: bool = False

    def __call__(self, *joints: SeparatedJoints) -> Measured:
        if self.broken:
            raise RuntimeError("the machine was switched off")
        rows = pd.DataFrame([{key: item[key] for key in ("name", "joint", "finger")} for item in joints[-1].items])
        counts = {f"images_{index}": self.factor * len(part) for index, part in enumerate(joints)}
        return Measured(counts, rows.assign(value=1.0), worst=rows["name"].tolist())


def phantoms(count: int, seed: int) -> JointSet:
    return JointSet(lambda: phantom_items(count, seed, SIZE), SIZE)


def measures_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())["measures"]


def evaluation(folder: Path, tasks: dict[str, Task], measures: Any = None, **more: Any) -> Evaluation:
    sets = more.pop("sets", {"test": phantoms(4, 1), "training": phantoms(2, 2), "none": JointSet(list)})
    report = EvaluationReport(str(folder), {"seed": 0}, worst=1)
    return Evaluation(more.pop("separator", WeightFree()), sets, tasks, measures or list(tasks), report, shown=1)


@pytest.mark.slow
def test_a_set_is_listed_once_and_separated_in_its_order() -> None:
    calls: list[int] = []

    def listed() -> list[dict[str, Any]]:
        calls.append(1)
        return phantom_items(9, 0, SIZE)

    joints, separator = JointSet(listed, SIZE), WeightFree()
    assert not calls
    separated = joints.separate(separator)
    assert len(calls) == 1
    assert [item["name"] for item in separated.items] == [item["name"] for item in phantom_items(9, 0, SIZE)]
    assert separated.truth is not None
    assert torch.allclose(separated.layers, separate(separated.images[:, :1], separated.images[:, 1:]), atol=1e-6)


def test_a_separator_sees_what_a_file_holds_and_the_measure_the_exact_masks() -> None:
    joints, separator = phantoms(1, 0), WeightFree()
    separated = joints.separate(separator)
    seen = separator.seen[joints.items[0]["name"]]
    assert set(seen[1:].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(seen, as_a_file_holds(separated.images[0]))
    assert 0.0 < float(separated.images[0, 1:].frac().max()) < 1.0


@pytest.mark.slow
def test_joints_are_pushed_as_in_the_validation_of_a_training() -> None:
    overlap = OverlapRange(outline_gap_mm=(-1.0, -0.2))
    closed = ClosedJoints(phantoms(4, 0), {"deep": overlap, "still": OverlapRange(outline_gap_mm=(0.5, 0.5))}, seed=3)
    apart = [item for item in phantom_items(4, 0, SIZE) if not item["overlapping"]]
    assert [item["name"] for item in closed.items] == [
        f"{item['name']}_{depth}" for depth in ("deep", "still") for item in apart
    ]
    for item, source in zip(closed.items, apart, strict=False):
        expected = PseudoOverlapd(seed=3, overlap=overlap)(SeparateLayersd()(LoadJointd(SIZE)(source)))
        made = closed.load(item)
        assert torch.equal(made["image"], expected["image"])
        assert torch.equal(made["label"], expected["label"])
        assert float(made["truth"]) == 1.0


@pytest.mark.slow
def test_delivered_joints_are_those_of_the_set_with_postprocessed_layers() -> None:
    class Halving(WeightFree):
        def __call__(
            self, names: Sequence[str], images: Tensor, postprocessed: bool = False, spacings: Sequence[float] = ()
        ) -> Tensor:
            return super().__call__(names, images) * (0.5 if postprocessed else 1.0)

    joints = phantoms(3, 0)
    plain, postprocessed = (part.separate(Halving()) for part in (joints, PostprocessedJoints(joints)))
    assert plain.items == postprocessed.items
    assert torch.equal(plain.images, postprocessed.images)
    assert torch.equal(plain.layers / 2, postprocessed.layers)


@pytest.mark.slow
def test_exported_joints_are_read_back_as_every_separator_sees_them(tmp_path: Path) -> None:
    test = phantoms(3, 0)
    sets = {"test": test, "closed": ClosedJoints(test, {"deep": OverlapRange()}, seed=0)}
    sets = {**sets, "postprocessed": PostprocessedJoints(test)}
    tasks = {"one": Task(Count(), ["closed", "postprocessed"]), "other": Task(Count(), ["absent"])}
    source = export_joints(str(tmp_path / "out"), sets, tasks, "one", {"seed": 0})
    read = read_datalist(tmp_path / "out", source.name)
    items = [(sets[name], item) for name in ("test", "closed") for item in sets[name].items]
    assert len(items) == len(read) > 3
    for (part, item), found in zip(items, read, strict=True):
        assert found["name"] == item["name"]
        assert found["spacing"] == item["spacing"]
        assert torch.equal(LoadJointd(SIZE)(found)["image"], as_a_file_holds(part.load(item)["image"]))
    assert [entry["name"] for entry in json.loads(source.read_text())] == [item["name"] for item in read]


def test_joints_of_one_name_and_other_peoples_folders_are_not_exported_to(tmp_path: Path) -> None:
    tasks = {"one": Task(Count(), ["test"]), "two": Task(Count(), ["again", "test"])}
    sets = {"test": phantoms(2, 0), "again": phantoms(2, 0)}
    with pytest.raises(InputError, match="more than one joint has the name phantom_0, phantom_1"):
        export_joints(str(tmp_path / "out"), sets, tasks, "two", {})
    assert not (tmp_path / "out").exists()
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InputError, match="contains other files"):
        export_joints(str(tmp_path), sets, tasks, "one", {})


@pytest.fixture
def layers() -> Tensor:
    return torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def written(tmp_path: Path, layers: Tensor) -> Path:
    """Layers of joint a as NIfTI, of joint b as PNG."""
    write_layers(tmp_path / "a_layers.nii.gz", layers[0], 0.1)
    write_layer_images(tmp_path, "b", layers[1])
    return tmp_path


def test_layers_of_another_program_are_read_as_they_were_written(written: Path, layers: Tensor) -> None:
    folder = LayersFolder(written)
    folder.prepare(["a", "b"])
    read = folder(["a", "b"], torch.zeros(2, 3, 40, 48))
    assert torch.equal(read[0], layers[0])
    assert (read[1] - layers[1]).abs().max() <= 0.501 / 255


def test_other_layers_are_another_separator(written: Path, layers: Tensor) -> None:
    folder = LayersFolder(written)
    folder.prepare(["a"])
    before = folder.source
    write_layers(written / "a_layers.nii.gz", layers[1], 0.1)
    folder.prepare(["a"])
    assert before.startswith(f"layers in {written.name} (sha256 ")
    assert folder.source != before


def spoil(values: np.ndarray) -> Callable[[Path], None]:
    return lambda path: nib.save(nib.Nifti1Image(values.astype(np.float32), np.eye(4)), path / "a_layers.nii.gz")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: (path / "a_layers.nii.gz").unlink(), r"no layers of a, neither a_layers\.nii\.gz nor"),
        (lambda path: (path / "a_layers.nii.gz").write_bytes(b"text"), r"a_layers\.nii\.gz: the image cannot be read"),
        (spoil(np.zeros((48, 41, 1, 3))), r"a_layers\.nii\.gz: layers of 48 x 41 pixels, not 48 x 40"),
        (spoil(np.zeros((48, 40, 1, 2))), r"a_layers\.nii\.gz: .* \(48, 40, 2\), not 3 channels \(W, H, 1, 3\)"),
        (spoil(np.full((48, 40, 1, 3), np.nan)), r"a_layers\.nii\.gz: 1920 NaN"),
        (spoil(np.full((48, 40, 1, 3), 2.0)), r"a_layers\.nii\.gz: intensities from 2 to 2, outside \[0, 1\]"),
    ],
    ids=["missing", "damaged", "shape", "count", "nan", "range"],
)
def test_layers_that_cannot_be_used_are_named(written: Path, damage: Callable[[Path], None], expected: str) -> None:
    damage(written)
    folder = LayersFolder(written)
    with pytest.raises(InputError, match=expected):
        folder.prepare(["a"])
        folder(["a"], torch.zeros(1, 3, 40, 48))


def test_the_missing_one_of_three_pictures_is_named(written: Path) -> None:
    (written / "b_upper.png").unlink()
    with pytest.raises(InputError, match=r"neither b_layers\.nii\.gz nor b_upper\.png\."):
        LayersFolder(written).prepare(["a", "b"])


def test_a_folder_of_layers_takes_the_place_of_the_network(tmp_path: Path) -> None:
    weights = GeneratorWeights(str(tmp_path / "no.pt"), nn.Identity())
    arguments = {"network": nn.Identity(), "weights": weights, "inferer": SimpleInferer(), "device": "cpu"}
    arguments["corrections"] = lambda joint: joint
    arguments["postprocessing"] = lambda joint: {**joint, "pred": joint["pred"] / 2}
    assert isinstance(choose_separator(str(tmp_path), **arguments), LayersFolder)
    network = choose_separator("", **arguments)
    assert isinstance(network, NetworkSeparator)
    network.prepare([])
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(network(["a"], image), image)
    assert torch.equal(network(["a"], image, postprocessed=True), image / 2)
    assert network.source == "Identity (no weights)"
    with pytest.raises(InputError, match=r"absent: the folder of layers does not exist"):
        choose_separator(str(tmp_path / "absent"), **arguments)


def test_measures_are_chosen_by_a_list_or_a_name() -> None:
    assert chosen_measures(["E2", "E1", "E2"], ["E1", "E2"]) == ["E2", "E1"]
    assert chosen_measures("E1", ["E1", "E2"]) == ["E1"]
    for wrong in (["E1", "E9"], "E9", []):
        with pytest.raises(InputError, match="Choose from E1, E2"):
            chosen_measures(wrong, ["E1", "E2"])


@pytest.mark.slow
def test_each_measure_gets_its_sets_in_order(tmp_path: Path) -> None:
    tasks = {
        "one": Task(Count(), ["test"]),
        "two": Task(Count(), ["training", "test"]),
        "other": Task(Count(), ["absent"]),
    }
    separator = WeightFree()
    evaluation(tmp_path, tasks, ["one", "two"], separator=separator).run()
    found = measures_of(tmp_path)
    assert found["one"]["figures"] == {"images_0": 4}
    assert found["two"]["figures"] == {"images_0": 2, "images_1": 4}
    assert found["two"]["data"] == {"training": {"images": 2, "joints": 2}, "test": {"images": 4, "joints": 4}}
    assert len(separator.prepared) == len(set(separator.prepared)) == 6
    assert len(list((tmp_path / "random").iterdir())) == 1


@pytest.mark.slow
def test_without_joints_to_train_on_the_test_joints_are_split_by_joint(tmp_path: Path) -> None:
    evaluation(tmp_path, {"two": Task(Count(), ["none", "test"])}).run()
    assert measures_of(tmp_path)["two"]["figures"] == {"images_0": 2, "images_1": 2}


@pytest.mark.slow
def test_a_measure_without_joints_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    evaluation(tmp_path, {"empty": Task(Count(), ["none"]), "one": Task(Count(), ["test"])}).run()
    assert list(measures_of(tmp_path)) == ["one"]
    assert "empty is not measured: no joint of none can be used" in caplog.text


@pytest.mark.slow
def test_a_stopped_run_keeps_what_was_done_and_goes_on(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="switched off"):
        evaluation(tmp_path, {"one": Task(Count(), ["test"]), "two": Task(Count(broken=True), ["test"])}).run()
    before = measures_of(tmp_path)
    assert list(before) == ["one"]
    evaluation(tmp_path, {"one": Task(Count(), ["test"]), "two": Task(Count(), ["test"])}).run()
    assert list(measures_of(tmp_path)) == ["one", "two"]
    assert measures_of(tmp_path)["one"] == before["one"]


@pytest.mark.slow
def test_a_measure_with_other_settings_is_measured_again(tmp_path: Path) -> None:
    for factor in (1, 2, 2):
        evaluation(tmp_path, {"one": Task(Count(factor=factor), ["test"])}).run()
        assert measures_of(tmp_path)["one"]["figures"] == {"images_0": 4 * factor}
        assert measures_of(tmp_path)["one"]["settings"]["factor"] == factor


@pytest.mark.slow
def test_another_separator_s_folder_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    evaluation(tmp_path, {"one": Task(Count(), ["test"])}).run()
    other = WeightFree()
    other.source = "another"
    with pytest.raises(InputError, match="separator was 'weight-free', is 'another'"):
        evaluation(tmp_path, {"one": Task(Count(broken=True), ["test"])}, separator=other).run()


@pytest.mark.slow
@pytest.mark.parametrize("postprocessed", [False, True])
def test_transforms_of_layers_receive_the_pixel_size_of_their_joint(tmp_path: Path, postprocessed: bool) -> None:
    seen: list[float] = []

    def noting(joint: dict[str, Any]) -> dict[str, Any]:
        seen.append(joint["spacing"])
        return joint

    weights = GeneratorWeights(str(tmp_path / "no.pt"), nn.Identity())
    transforms = (lambda joint: joint, noting) if postprocessed else (noting, lambda joint: joint)
    separator = NetworkSeparator(nn.Identity(), weights, SimpleInferer(), *transforms)
    joints = phantoms(2, 0)
    joints.items[1]["spacing"] = 1.1 * float(joints.items[0]["spacing"])
    (PostprocessedJoints(joints) if postprocessed else joints).separate(separator)
    assert seen == [pytest.approx(float(item["spacing"])) for item in joints.items]
