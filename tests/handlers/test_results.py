from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, decollate_batch
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler, from_engine
from PIL import Image
from torch import Tensor, nn

from bundle.data import phantom_items
from bundle.errors import InputError
from bundle.handlers import EvaluationReport, GeneratorWeights, LayerWriter, SyntheticJointWriter
from bundle.handlers.results import joint_space_changes
from bundle.harmonic import separate
from bundle.jsw import joint_space_width
from bundle.metrics import ReconstructionMSE, ReconstructionPSNR
from bundle.motion import RigidMotion
from bundle.synthesis import synthesize
from bundle.transforms import LoadJointd

SIZE = 64
COUNT = 3


class WeightFree(nn.Module):
    """Any separator with the signature of the generator; `fault` of an image is added to its soft tissue."""

    def __init__(self, faults: dict[int, float] | None = None) -> None:
        super().__init__()
        self.faults = faults or {}
        self.seen = 0

    def forward(self, image: Tensor) -> Tensor:
        layers = separate(image[:, :1], image[:, 1:])
        for row in range(len(image)):
            layers[row, 0] = (layers[row, 0] + self.faults.get(self.seen + row, 0.0)).clamp(0.0, 1.0)
        self.seen += len(image)
        return layers


@pytest.fixture(scope="module")
def joints() -> Dataset:
    loaded = [LoadJointd(SIZE)(item) for item in phantom_items(COUNT, 0, SIZE)]
    return Dataset(loaded)


def weights(folder: Path) -> GeneratorWeights:
    return GeneratorWeights(str(folder / "no.pt"), nn.Identity())


def evaluate(handler: Any, joints: Dataset, network: nn.Module | None = None, **options: Any) -> None:
    """Run an evaluator over the joints with the handler attached, as the configurations do."""
    loader = DataLoader(joints, batch_size=2, num_workers=0)
    network = WeightFree() if network is None else network
    SupervisedEvaluator("cpu", loader, network, val_handlers=[handler], **options).run()


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
        for layer, name in zip(layers, ("soft", "lower", "upper"), strict=True):
            written = pixels(tmp_path / "out" / f"{joint['name']}_{name}.png")
            assert np.abs(written - layer * 255.0).max() <= 0.5001
        assert (tmp_path / "out" / f"{joint['name']}_montage.png").is_file()
    assert len(list((tmp_path / "out").iterdir())) == 5 * COUNT + 1


def test_another_runs_results_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    LayerWriter(str(tmp_path), {"seed": 0}, weights(tmp_path))
    LayerWriter(str(tmp_path), {"seed": 0}, weights(tmp_path))
    with pytest.raises(InputError, match=r"the results of another run \(seed was 0, is 1\)"):
        LayerWriter(str(tmp_path), {"seed": 1}, weights(tmp_path))
    with pytest.raises(InputError, match="results was 'LayerWriter', is 'SyntheticJointWriter'"):
        SyntheticJointWriter(str(tmp_path), {"seed": 0}, weights(tmp_path), [0.5])


def test_other_weights_make_another_run(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "no.pt")
    LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path))
    torch.save({"w": torch.ones(1)}, tmp_path / "no.pt")
    with pytest.raises(InputError, match=r"separator was 'no\.pt"):
        LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"values": [-0.5, 0.5]}, [-0.5, 0.5]),
        ({"values": (1,), "count": 3}, [1.0]),
        ({"lowest": -1.0, "highest": 1.0, "count": 5}, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        ({"values": [], "lowest": 0.25, "highest": 0.25, "count": 1}, [0.25]),
    ],
)
def test_changes_are_those_given_or_evenly_spaced(given: dict[str, Any], expected: list[float]) -> None:
    assert joint_space_changes(**given) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"count": -1},
        {"values": [10.0]},
        {"values": [math.nan]},
        {"values": 0.5},
        {"values": "wide"},
        {"values": [0.5, 0.5002]},
        {"lowest": 1.0, "highest": -1.0, "count": 3},
        {"lowest": 0.5, "highest": 0.5, "count": 2},
        {"lowest": -20.0, "highest": 1.0, "count": 2},
    ],
)
def test_changes_that_cannot_be_made_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"expected a list of changes in mm, or a range .* got changes"):
        joint_space_changes(**given)


CHANGES = [-0.7, 0.0, 0.9]


def synthesis(folder: Path, tmp_path: Path, **options: Any) -> SyntheticJointWriter:
    return SyntheticJointWriter(str(folder), {"seed": 0}, weights(tmp_path), CHANGES, **options)


def truths(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory: pytest.TempPathFactory, joints: Dataset) -> Path:
    folder = tmp_path_factory.mktemp("synthesis")
    evaluate(synthesis(folder / "out", folder, upper_share=0.25, seed=5), joints)
    return folder / "out"


def test_each_joint_gets_a_line_of_truth_for_each_change(synthesized: Path, joints: Dataset) -> None:
    expected = [(joint["name"], change) for joint in joints for change in CHANGES]
    found = truths(synthesized)
    assert [(line["source"], line["change_mm"]) for line in found] == expected
    for line in found:
        assert line["separator"] == "weight-free separator"
        assert line["finger"] in ("small", "ring", "middle", "index", "thumb")
        assert line["side"] in ("left", "right")
        assert line["spacing_mm"] == pytest.approx(21 / SIZE)
        assert line["seed"] == 5
    assert len(list(synthesized.iterdir())) == 3 * len(expected) + 2


def test_a_line_of_truth_replays_its_radiograph_and_masks(synthesized: Path, joints: Dataset) -> None:
    sources = {joint["name"]: joint["image"] for joint in joints}
    for line in truths(synthesized):
        image, masks = sources[line["source"]][None, :1], sources[line["source"]][None, 1:]
        motion = RigidMotion.from_json(json.dumps(line["motion"]))
        made = synthesize(separate(image, masks), masks, motion, line["spacing_mm"], [line["grain_seed"]])
        assert np.abs(pixels(synthesized / line["image"]) - made.image[0, 0].numpy() * 255.0).max() < 1.0
        for bone, mask in zip(("lower", "upper"), made.masks[0], strict=True):
            assert np.array_equal(pixels(synthesized / line[bone]), (mask > 0.5).numpy() * 255)


def test_the_joint_space_changes_as_asked(synthesized: Path, joints: Dataset) -> None:
    widths = {joint["name"]: float(joint_space_width(joint["image"][None, 1:], 21 / SIZE)) for joint in joints}
    for line in truths(synthesized):
        assert line["jsw_before_mm"] == pytest.approx(widths[line["source"]], abs=1e-5)
        assert line["jsw_after_mm"] - line["jsw_before_mm"] == pytest.approx(line["change_mm"], abs=0.2 * 21 / SIZE)
        assert line["narrowing_grade"] in range(5)


def test_the_bones_share_a_change_as_told(synthesized: Path) -> None:
    for line in truths(synthesized):
        lower, upper = (bone[1] for bone in line["motion"]["translation"][0])
        assert lower == pytest.approx(0.75 * line["change_mm"])
        assert upper == pytest.approx(-0.25 * line["change_mm"])


def test_grain_differs_between_joints_and_changes_and_follows_the_seed(
    synthesized: Path, tmp_path: Path, joints: Dataset
) -> None:
    first = [line["grain_seed"] for line in truths(synthesized)]
    assert len(set(first)) == len(first)
    evaluate(synthesis(tmp_path / "same", tmp_path, upper_share=0.25, seed=5), joints)
    evaluate(synthesis(tmp_path / "other", tmp_path, upper_share=0.25, seed=6), joints)
    assert truths(tmp_path / "same") == truths(synthesized)
    assert not {line["grain_seed"] for line in truths(tmp_path / "other")} & set(first)


def test_repeating_a_synthesis_replaces_its_truth(tmp_path: Path, joints: Dataset) -> None:
    one = Dataset([joints[0]])
    for _ in range(2):
        evaluate(synthesis(tmp_path / "out", tmp_path), one)
    assert len(truths(tmp_path / "out")) == len(CHANGES)


def test_a_width_that_is_not_defined_is_null(tmp_path: Path, joints: Dataset) -> None:
    """Bones without a common column have no joint space."""
    image = joints[0]["image"].clone()
    image[1, :, : SIZE // 2] = 0.0
    image[2, :, SIZE // 2 :] = 0.0
    evaluate(synthesis(tmp_path / "out", tmp_path), Dataset([{**joints[0], "image": image}]))
    for line in truths(tmp_path / "out"):
        assert line["jsw_before_mm"] is None
        assert line["jsw_after_mm"] is None
        assert line["narrowing_grade"] is None


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_of_the_upper_bone_outside_its_range_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(InputError, match=r"expected upper_share, .* in \[0, 1\], got"):
        synthesis(tmp_path / "out", tmp_path, upper_share=share)
    assert not (tmp_path / "out").exists()


def metric(kind: type) -> IgniteMetricHandler:
    return IgniteMetricHandler(metric_fn=kind(), output_transform=from_engine(["pred", "image"]), save_details=True)


def report(folder: Path, joints: Dataset, network: nn.Module | None = None, **options: Any) -> Path:
    handler = EvaluationReport(str(folder / "out"), {"seed": 0}, weights(folder), **options)
    measured = {"mse": metric(ReconstructionMSE)}
    evaluate(handler, joints, network, key_val_metric={"psnr": metric(ReconstructionPSNR)}, additional_metrics=measured)
    return folder / "out"


def test_an_evaluation_is_reported_per_image_per_finger_and_overall(tmp_path: Path, joints: Dataset) -> None:
    folder = report(tmp_path, joints, rank_by="psnr")
    images = pd.read_csv(folder / "per_image.csv")
    assert list(images["name"]) == [joint["name"] for joint in joints]
    assert list(images["finger"]) == [joint["finger"] for joint in joints]
    assert (images["psnr"] > 90.0).all()
    table = pd.read_csv(folder / "metrics.csv")
    assert set(table["finger"]) == {*images["finger"], "overall"}
    overall = table[(table["finger"] == "overall") & (table["metric"] == "psnr")]
    assert float(overall["mean"].iloc[0]) == pytest.approx(images["psnr"].mean(), rel=1e-4)
    assert int(overall["count"].iloc[0]) == COUNT
    written = json.loads((folder / "metrics.json").read_text())
    assert written["images"] == COUNT
    assert written["settings"] == {"results": "EvaluationReport", "seed": 0, "separator": "weight-free separator"}
    assert len(written["summary"]) == len(table)
    lines = (folder / "metrics.md").read_text().splitlines()
    assert lines[0] == "| finger | n | psnr | mse |"
    assert lines[-1].startswith(f"| overall | {COUNT} |")


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"rank_by": "psnr", "worst": 2}, [2, 0]),
        ({"rank_by": "mse", "lowest_is_worst": "false"}, [2, 0, 1]),
    ],
)
def test_the_worst_joints_are_shown_in_their_order(
    tmp_path: Path, joints: Dataset, options: dict[str, Any], order: list[int]
) -> None:
    folder = report(tmp_path, joints, WeightFree({0: 0.1, 2: 0.3}), **options)
    expected = [f"{rank:02d}_{joints[index]['name']}.png" for rank, index in enumerate(order, start=1)]
    assert sorted(path.name for path in (folder / "worst").iterdir()) == expected


def test_a_metric_to_rank_by_that_is_not_measured_is_refused(tmp_path: Path, joints: Dataset) -> None:
    with pytest.raises(InputError, match="expected rank_by to be one of psnr, mse, got ssim"):
        report(tmp_path, joints, rank_by="ssim")


def test_results_of_a_batch_and_its_predictions_must_agree(tmp_path: Path, joints: Dataset) -> None:
    handler = LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path))
    engine = Engine(lambda engine, batch: None)
    engine.state.batch = decollate_batch([joints[0]])
    engine.state.output = []
    with pytest.raises(ValueError, match="zip"):
        handler(engine)
