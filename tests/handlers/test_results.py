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
from matplotlib.figure import Figure
from monai.data import DataLoader, Dataset, decollate_batch
from monai.engines import SupervisedEvaluator
from PIL import Image
from torch import Tensor, nn

from bundle.data import phantom_items
from bundle.data.joints import Joints
from bundle.errors import InputError
from bundle.handlers import EvaluationReport, GeneratorWeights, LayerWriter, SyntheticJointWriter
from bundle.handlers.results import flat_figures, joint_space_changes, run_remaining, shown_figure
from bundle.harmonic import separate
from bundle.jsw import joint_space_width
from bundle.metrics import Measured, SeparatedJoints
from bundle.motion import RigidMotion
from bundle.synthesis import synthesize
from bundle.transforms import LoadJointd

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


def evaluate(handler: Any, joints: Dataset) -> None:
    """Run an evaluator over the joints with the handler attached, as the configurations do."""
    loader = DataLoader(joints, batch_size=2, num_workers=0)
    SupervisedEvaluator("cpu", loader, WeightFree(), val_handlers=[handler]).run()


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
    assert len(list((tmp_path / "out").iterdir())) == 5 * COUNT + 2


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


def test_a_stopped_synthesis_goes_on_and_ends_as_if_it_had_not_stopped(tmp_path: Path, joints: Dataset) -> None:
    evaluate(synthesis(tmp_path / "whole", tmp_path), joints)
    stopped = synthesis(tmp_path / "out", tmp_path)
    evaluate(stopped, Dataset([joints[0], joints[1]]))
    lines = (tmp_path / "out" / "truth.jsonl").read_text()
    (tmp_path / "out" / "truth.jsonl").write_text(lines[: -len(lines) // 8])  # within a line of the second joint
    again = synthesis(tmp_path / "out", tmp_path)
    left = again.remaining(list(joints))
    assert [joint["name"] for joint in left] == [joint["name"] for joint in list(joints)[1:]]
    evaluate(again, Dataset(left))
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files
    assert synthesis(tmp_path / "out", tmp_path).remaining(list(joints)) == []


def test_a_joint_whose_files_have_changed_is_done_again(tmp_path: Path, joints: Dataset) -> None:
    first, second = ({**joints[row], "digest": "1"} for row in range(2))
    evaluate(LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path)), Dataset([first, second]))
    again = LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path))
    left = again.remaining([{**first, "digest": "2"}, second])
    assert [(joint["name"], joint["digest"]) for joint in left] == [(first["name"], "2")]
    evaluate(again, Dataset(left))
    lines = [json.loads(line) for line in (tmp_path / "out" / "quality.jsonl").read_text().splitlines()]
    assert [(line["name"], line["digest"]) for line in lines] == [(second["name"], "1"), (first["name"], "2")]


def test_rejected_joints_are_listed_with_the_reasons_and_no_longer_when_mended(tmp_path: Path) -> None:
    writer = LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path))
    assert writer.remaining(Joints([], [("hand", "no spacing")])) == []
    listed = tmp_path / "out" / "rejected.jsonl"
    assert json.loads(listed.read_text()) == {"name": "hand", "reason": "no spacing"}
    writer.remaining(Joints([]))
    assert not listed.exists()


def test_nothing_is_run_where_nothing_is_left(tmp_path: Path) -> None:
    loader = DataLoader(Dataset([]), batch_size=2, num_workers=0)
    evaluator = SupervisedEvaluator("cpu", loader, WeightFree())
    run_remaining(evaluator)
    assert evaluator.state.iteration == 0


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


@pytest.fixture(scope="module")
def separated(joints: Dataset) -> SeparatedJoints:
    images = torch.stack([joint["image"] for joint in joints])
    return SeparatedJoints(phantom_items(COUNT, 0, SIZE), images, separate(images[:, :1], images[:, 1:]))


def measured(joints: SeparatedJoints, **more: Any) -> Measured:
    """A measure's result: a value an image, an interval, a plot, and the last image as the worst."""
    rows = pd.DataFrame([{key: item[key] for key in ("name", "joint", "finger")} for item in joints.items])
    figures = {"mean": 1.0, "interval": (0.5, 1.5), "undefined": math.nan, "count": np.int64(3), "lost": math.inf}
    return Measured(
        {**figures, **more}, rows.assign(value=[0.0, 1.0, 2.0]), {"curve": Figure()}, rows["name"].tolist()[::-1]
    )


def opened(folder: Path, **settings: Any) -> EvaluationReport:
    report = EvaluationReport(str(folder), {"seed": 0, **settings}, worst=2)
    report.open("half split")
    return report


def test_an_evaluation_is_reported_per_measure_per_image_and_per_finger(
    tmp_path: Path, separated: SeparatedJoints
) -> None:
    opened(tmp_path).add("E9", measured(separated), {"epochs": 3}, {"test": separated}, 1.23)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["settings"] == {"results": "EvaluationReport", "seed": 0, "separator": "half split"}
    found = report["measures"]["E9"]
    figures = {"mean": 1.0, "interval": [0.5, 1.5], "undefined": None, "count": 3, "lost": "inf"}
    assert found["figures"] == figures
    assert found["settings"] == {"epochs": 3}
    assert found["data"] == {"test": {"images": 3, "joints": 3}}
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert {row["finger"] for row in found["fingers"]} == {"overall", *(item["finger"] for item in separated.items)}
    images = pd.read_csv(tmp_path / "E9" / "per_image.csv")
    assert images["value"].tolist() == [0.0, 1.0, 2.0]
    lines = (tmp_path / "metrics.md").read_text().splitlines()
    assert "| interval | 0.5 to 1.5 |" in lines
    assert "| undefined | not defined |" in lines
    assert lines[-1] == "| overall | 3 | 1 ± 1 |"


def test_kinds_of_an_image_have_means_of_their_own(tmp_path: Path, separated: SeparatedJoints) -> None:
    result = measured(separated)
    rows = pd.concat([result.per_image.assign(depth="deep"), result.per_image.assign(depth="real", value=5.0)])
    opened(tmp_path).add("E9", Measured({}, rows), {}, {"test": separated}, 1.0)
    table = pd.DataFrame(json.loads((tmp_path / "metrics.json").read_text())["measures"]["E9"]["fingers"])
    overall = table[table["finger"] == "overall"].set_index("metric")["mean"]
    assert overall.to_dict() == {"deep value": 1.0, "real value": 5.0}


def test_plots_and_the_worst_joints_in_their_order_are_shown(tmp_path: Path, separated: SeparatedJoints) -> None:
    opened(tmp_path).add("E9", measured(separated), {}, {"test": separated}, 1.0)
    with Image.open(tmp_path / "E9" / "curve.png") as picture:
        assert picture.format == "PNG"
    names = [item["name"] for item in separated.items]
    shown = sorted(path.name for path in (tmp_path / "worst" / "E9").iterdir())
    assert shown == [f"01_{names[2]}.png", f"02_{names[1]}.png"]


def test_joints_are_shown_in_a_folder_of_their_own(tmp_path: Path, separated: SeparatedJoints) -> None:
    opened(tmp_path).show("random", separated)
    assert {path.stem for path in (tmp_path / "random").iterdir()} == {item["name"] for item in separated.items}


def test_what_was_measured_with_the_same_settings_is_known_again(tmp_path: Path, separated: SeparatedJoints) -> None:
    report = opened(tmp_path)
    assert not report.holds("E9", {"motions": (1.0, 2.0)})
    report.add("E9", measured(separated), {"motions": (1.0, 2.0)}, {"test": separated}, 1.0)
    again = opened(tmp_path)
    assert again.holds("E9", {"motions": (1.0, 2.0)})
    assert not again.holds("E9", {"motions": (1.0, 3.0)})
    assert not again.holds("E8", {"motions": (1.0, 2.0)})
    again.add("E8", measured(separated), {}, {"test": separated}, 1.0)
    assert list(json.loads((tmp_path / "metrics.json").read_text())["measures"]) == ["E8", "E9"]


def test_the_folder_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(InputError, match=r"the results of another run \(seed was 0, is 1\)"):
        opened(tmp_path, seed=1)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(InputError, match="expected the figures of an evaluation, got a file that is damaged"):
        opened(tmp_path)


def test_groups_of_figures_are_flat_in_the_table_and_settings_are_left_out() -> None:
    given = {"mae": 0.1, "by_finger": {"thumb": {"mae": 0.2}}, "settings": {"seed": 0}}
    assert flat_figures(given) == {"mae": 0.1, "by_finger thumb mae": 0.2}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.123456, "0.1235"), ([0.5, None], "0.5 to not defined"), (3, "3"), ("inf", "inf"), (None, "not defined")],
)
def test_a_figure_is_shown_shortly(value: Any, expected: str) -> None:
    assert shown_figure(value) == expected


def test_results_of_a_batch_and_its_predictions_must_agree(tmp_path: Path, joints: Dataset) -> None:
    handler = LayerWriter(str(tmp_path / "out"), {}, weights(tmp_path))
    engine = Engine(lambda engine, batch: None)
    engine.state.batch = decollate_batch([joints[0]])
    engine.state.output = []
    with pytest.raises(ValueError, match="zip"):
        handler(engine)
