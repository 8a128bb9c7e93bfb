"""The regressor of the joint space, as a user trains, measures and uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from bundle.measurement.joint_space import narrowing_grade
from bundle.scoring.networks import make_scorer
from ignite.engine import Engine, Events
from tests.configs.conftest import of_job

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

TRAIN = of_job("read_joint_space")
PRETRAIN = of_job("pretrain_scorer")
RESIDENT = (*PRETRAIN, "variants/resident_scorer.yaml")
EVALUATE = of_job("evaluate_scorer")
PREDICT = of_job("predict_scorer")
GRADES = of_job("grade_narrowing")
SMALL = {"image_size": 64, "frame_size": 56, "reading_size": 48, "batch_size": 4, "phantoms": 12, "save_interval": 1}
TINY = {"widen_factor": 0.125}
GATE = {"tolerance_mm": 0.3, "plausible": "false"}


def options(folder: Path, **more: Any) -> dict[str, Any]:
    return {**SMALL, "scorer_options": TINY, "output_dir": str(folder), **more}


class Losses:
    """A handler that keeps the loss of every step, by its name."""

    kept: ClassVar[dict[str, list[float]]] = {}

    def __init__(self, name: str) -> None:
        self.found = self.kept[name] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        self.found.append(float(engine.state.output["loss"]))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scorer") / "scorer.pt"
    torch.manual_seed(0)
    torch.save(make_scorer("ResNet10", 2, TINY).state_dict(), path)
    return path


@pytest.mark.slow
def test_training_leaves_the_reader_that_validates_best(bundle: Any, tmp_path: Path) -> None:
    workflow = bundle.run("training", *TRAIN, **options(tmp_path, epochs=2))
    trainer = workflow.parser.get_parsed_content("train#trainer")
    best = workflow.parser.get_parsed_content("validate#evaluator").state.best_metric
    assert trainer.state.epoch == 2 and best > 0.0
    saved = torch.load(tmp_path / "scorer.pt", weights_only=True)
    make_scorer("ResNet10", 2, TINY).load_state_dict(saved)


@pytest.mark.long
def test_part_of_the_joints_can_be_trained_on(bundle: Any, tmp_path: Path) -> None:
    workflow = bundle.run("training", *TRAIN, **options(tmp_path, epochs=1, annotated=0.4))
    joints = {name: workflow.parser.get_parsed_content(name) for name in ("training_joints", "annotated_joints")}
    assert len(joints["annotated_joints"]) == round(0.4 * len(joints["training_joints"]))


@pytest.mark.long
def test_joints_without_a_table_are_measured_into_the_folder_of_the_training(
    bundle: Any, training_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    more = {"dataset_dir": str(training_data), "validation_fraction": 0.3, "epochs": 1}
    bundle.run("training", *TRAIN, **options(out, **more))
    assert (out / "scorer.pt").is_file() and len((out / "labels" / "joints.csv").read_text().splitlines()) == 13
    bundle.run("training", *TRAIN, **options(out, resume="true", **{**more, "epochs": 2}))
    assert len(json.loads((out / "training.json").read_text())["epochs"]) == 2


@pytest.mark.long
def test_pretraining_comes_first_on_images_of_training_joints_alone(bundle: Any, tmp_path: Path) -> None:
    more = {"epochs": 1, "pretraining_epochs": 2, "pretraining_images": 8, "weights": "none", **GATE}
    workflow = bundle.run("training", *PRETRAIN, **options(tmp_path, **more))
    parsed = workflow.parser.get_parsed_content
    assert parsed("pretrain#trainer").state.iteration == 4
    kept = {path.stem for path in (tmp_path / "sources").glob("*.pt")}
    assert kept == {item["name"] for item in parsed("training_joints")}
    validated = {sample["name"] for sample in parsed("validate#dataset").data}
    assert validated and not kept & validated
    first, last = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("pretrained", "scorer"))
    assert first.keys() == last.keys()
    assert any(not torch.equal(first[name], last[name]) for name in first)


@pytest.mark.long
def test_a_pretraining_alone_leaves_weights_to_start_from(bundle: Any, tmp_path: Path) -> None:
    more = {"pretraining_epochs": 1, "pretraining_images": 8, "weights": "none", **GATE}
    workflow = bundle.run("pretraining", *PRETRAIN, **options(tmp_path / "first", **more))
    assert workflow.parser.get_parsed_content("train#trainer").state.iteration == 0
    start = torch.load(tmp_path / "first" / "pretrained.pt", weights_only=True)
    more = {"epochs": 1, "learning_rate": 0.0, "pretrained": str(tmp_path / "first" / "pretrained.pt")}
    bundle.run("training", *TRAIN, **options(tmp_path / "second", **more))
    end = torch.load(tmp_path / "second" / "scorer.pt", weights_only=True)
    assert all(torch.equal(start[name], end[name]) for name in start if "running" not in name and "batches" not in name)


@pytest.mark.parametrize("run_id", ["training", "pretraining"])
@pytest.mark.long
def test_a_resumed_training_ends_in_the_weights_of_one_that_was_not_stopped(
    bundle: Any, tmp_path: Path, run_id: str
) -> None:
    configs, made = (TRAIN, "scorer") if run_id == "training" else (PRETRAIN, "pretrained")
    more = {"weights": "none", **GATE, "pretraining_images": 8, "sources_dir": str(tmp_path / "sources")}
    more = more if run_id == "pretraining" else {}
    of_epochs = {"training": "epochs", "pretraining": "pretraining_epochs"}[run_id]

    def run(folder: str, stop: int, resume: str) -> Path:
        at = {f"{name}#trainer#max_epochs": stop for name in ("train", "pretrain")[: 1 + len(more)]}
        bundle.run(run_id, *configs, **options(tmp_path / folder, resume=resume, **{of_epochs: 3}, **more, **at))
        return tmp_path / folder / "checkpoints"

    run("whole", 3, "false")
    run("halves", 1, "false")
    run("halves", 3, "true")
    folder = {"training": "checkpoints", "pretraining": "pretraining"}[run_id]
    whole, halves = (
        torch.load(tmp_path / name / folder / "checkpoint_epoch=3.pt", weights_only=False)["scorer"]
        for name in ("whole", "halves")
    )
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert (tmp_path / "halves" / f"{made}.pt").is_file()


@pytest.mark.parametrize("is_resident", [False, True])
@pytest.mark.long
def test_a_training_ended_by_its_minutes_every_epoch_ends_in_the_same_weights(
    bundle: Any, tmp_path: Path, is_resident: bool
) -> None:
    run_id, configs = ("fine_tuning", RESIDENT) if is_resident else ("training", TRAIN)
    bundle.run(run_id, *configs, **options(tmp_path / "whole", epochs=3))
    for epoch in (1, 2, 3):
        assert not (tmp_path / "parts" / "last.pt").exists()
        more = {"epochs": 3, "minutes": 1e-9, "resume": "true"}
        workflow = bundle.run(run_id, *configs, **options(tmp_path / "parts", **more))
        assert workflow.parser.get_parsed_content("train#trainer").state.epoch == epoch
        assert workflow.parser.get_parsed_content("limit").over
    whole, parts = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    epochs = json.loads((tmp_path / "parts" / "training.json").read_text())["epochs"]
    assert [entry["epoch"] for entry in epochs] == [1, 2, 3]


@pytest.mark.long
def test_a_pretraining_that_is_ended_leaves_no_weights_and_nothing_after_it_runs(bundle: Any, tmp_path: Path) -> None:
    more = {"epochs": 1, "pretraining_epochs": 2, "pretraining_images": 8, "weights": "none", **GATE}
    more |= {"minutes": 1e-9, "resume": "true"}
    workflow = bundle.run("training", *PRETRAIN, **options(tmp_path, **more))
    assert workflow.parser.get_parsed_content("train#trainer").state.epoch == 0
    assert not list(tmp_path.glob("*.pt"))
    bundle.run("training", *PRETRAIN, **options(tmp_path, **more))
    assert (tmp_path / "pretrained.pt").is_file() and not (tmp_path / "last.pt").exists()


@pytest.mark.long
def test_images_on_the_device_give_the_same_losses(bundle: Any, tmp_path: Path) -> None:
    for name in ("alone", "resident"):
        configs = RESIDENT if name == "resident" else PRETRAIN
        more = {"epochs": 2, "batch_size": 2, "log_dir": str(tmp_path / "log"), "train#trainer#max_epochs": 2}
        step = {"_target_": "tests.configs.test_scorers.Losses", "name": name}
        bundle.run("fine_tuning", *configs, **options(tmp_path / name, **more, **{"train#handlers#0": step}))
    alone, resident = (Losses.kept[name] for name in ("alone", "resident"))
    assert len(alone) == len(resident) == 12 and len(set(alone)) == 12
    assert resident[:3] == pytest.approx(alone[:3], abs=1e-5)


@pytest.mark.long
def test_a_folder_with_checkpoints_is_not_trained_into_unless_resumed(bundle: Any, tmp_path: Path) -> None:
    bundle.run("training", *TRAIN, **options(tmp_path, epochs=1))
    assert "Pass --resume true" in bundle.refusal("training", *TRAIN, **options(tmp_path, epochs=2))


@pytest.mark.parametrize("coding", ["OrdinalGrades", "NominalGrades"])
@pytest.mark.long
def test_grades_are_learned_measured_and_predicted(bundle: Any, tmp_path: Path, coding: str) -> None:
    more = {"grades": {"_target_": f"bundle.measurement.grading.{coding}"}}
    bundle.run("training", *GRADES, **options(tmp_path / "train", epochs=1, **more))
    more |= {"scorer_weights": str(tmp_path / "train" / "scorer.pt")}
    bundle.run("evaluating", *GRADES, "tasks/evaluate_scorer.yaml", **options(tmp_path / "evaluated", **more))
    found = json.loads((tmp_path / "evaluated" / "metrics.json").read_text())["figures"]
    assert sum(map(sum, found["confusion"])) == found["images"] == 12
    assert found["accuracy"] == sum(found["confusion"][grade][grade] for grade in range(5)) / 12
    assert (tmp_path / "evaluated" / "confusion.png").is_file()
    configs = of_job("predict_grader")
    bundle.run("predicting", *configs, **options(tmp_path / "read", **more))
    lines = [json.loads(line) for line in (tmp_path / "read" / "readings.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    assert all(sum(line["probabilities"]) == pytest.approx(1.0) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(("job", "outputs"), [("calibrate_scorer", 2), ("calibrate_grader", 4)])
def test_a_calibration_lies_beside_the_weights_and_is_used_with_them(
    bundle: Any, tmp_path: Path, job: str, outputs: int
) -> None:
    torch.manual_seed(0)
    torch.save(make_scorer("ResNet10", outputs, TINY).state_dict(), tmp_path / "scorer.pt")
    more = options(tmp_path / "out", scorer_weights=str(tmp_path / "scorer.pt"))
    bundle.run("calibrating", *of_job(job), **more)
    found = json.loads((tmp_path / "scorer_calibration.json").read_text())
    assert found["made"]["datalist"] == "phantoms" and found["made"]["joints"] == 12
    workflow = bundle.run("evaluating", *of_job(job.replace("calibrate", "evaluate")), **more)
    assert workflow.parser.get_parsed_content("reading").factor == found["factor"] > 0.0


@pytest.mark.slow
def test_an_evaluation_checks_the_dependence_on_the_mark_on_request(bundle: Any, tmp_path: Path, scorer: Path) -> None:
    more = {"phantoms": 3, "placements": 2, "scorer_weights": str(scorer), "image_size": 256}
    bundle.run("evaluating", *EVALUATE, **options(tmp_path, **more))
    found = json.loads((tmp_path / "metrics.json").read_text())["placement"]
    assert found["joints"] == 3 and found["marks"] + 6 * found["refused"] == 6


@pytest.mark.long
def test_an_evaluation_says_how_good_the_readings_are(bundle: Any, tmp_path: Path, scorer: Path) -> None:
    bundle.run("evaluating", *EVALUATE, **options(tmp_path, scorer_weights=str(scorer)))
    found = json.loads((tmp_path / "metrics.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "readings.jsonl").read_text().splitlines()]
    assert len(lines) == found["figures"]["images"] == 12
    error = [abs(line["network_mm"] - line["joint_space_mm"]) for line in lines]
    assert found["figures"]["mae_mm"] == pytest.approx(sum(error) / 12)
    assert found["settings"]["weights"].startswith("scorer.pt (sha256 ")
    assert (tmp_path / "bland_altman.png").is_file() and (tmp_path / "per_image.csv").is_file()


@pytest.mark.parametrize(
    ("configs", "weights", "figure"),
    [(TRAIN, "joint_space_regressor.pt", "pearson"), (GRADES, "grader.pt", "kappa_quadratic")],
)
@pytest.mark.long
def test_the_shipped_scoring_networks_score_phantoms(
    bundle: Any, tmp_path: Path, configs: tuple[str, ...], weights: str, figure: str
) -> None:
    bundle.run("evaluating", *configs, "tasks/evaluate_scorer.yaml", phantoms=32, output_dir=str(tmp_path))
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["settings"]["weights"].startswith(f"{weights} (sha256 ")
    assert found["figures"][figure] > 0.8


@pytest.mark.long
def test_a_reading_does_not_depend_on_the_joints_beside_it(bundle: Any, tmp_path: Path, scorer: Path) -> None:
    read = []
    for batch_size in (1, 12):
        folder = tmp_path / str(batch_size)
        bundle.run("evaluating", *EVALUATE, **options(folder, scorer_weights=str(scorer), batch_size=batch_size))
        read.append([json.loads(line)["network_mm"] for line in (folder / "readings.jsonl").read_text().splitlines()])
    assert read[0] == pytest.approx(read[1], abs=1e-4)


@pytest.mark.slow
def test_a_prediction_needs_no_masks(bundle: Any, data: Path, tmp_path: Path, scorer: Path) -> None:
    more = {"dataset_dir": str(data), "scorer_weights": str(scorer), "strict": "false"}
    for mask in data.rglob("*mask*"):
        mask.unlink()
    for datalist in data.glob("*.json"):
        datalist.unlink()
    bundle.run("predicting", *PREDICT, **options(tmp_path / "out", **more))
    lines = [json.loads(line) for line in (tmp_path / "out" / "readings.jsonl").read_text().splitlines()]
    assert lines
    for line in lines:
        assert line["narrowing_grade"] == int(narrowing_grade(torch.tensor(line["network_mm"])))
        assert line["network_sd_mm"] > 0.0 and line["plausible"] == (line["reasons"] == "")


@pytest.mark.long
def test_labels_are_those_of_the_table_and_joints_without_one_are_left_out(
    bundle: Any, data: Path, tmp_path: Path, scorer: Path
) -> None:
    more = {"dataset_dir": str(data), "datalist": "*", "strict": "false", "scorer_weights": str(scorer)}
    bundle.run("predicting", *PREDICT, **options(tmp_path / "read", **more))
    names = [json.loads(line)["name"] for line in (tmp_path / "read" / "readings.jsonl").read_text().splitlines()]
    rows = [f"{name},{1.0 + index / 10}" for index, name in enumerate(names[1:])]
    (tmp_path / "labels.csv").write_text("\n".join(["name,joint_space_mm", f"{names[0]},", *rows]))
    more["labels"] = str(tmp_path / "labels.csv")
    bundle.run("evaluating", *EVALUATE, **options(tmp_path / "out", **more))
    lines = [json.loads(line) for line in (tmp_path / "out" / "readings.jsonl").read_text().splitlines()]
    assert [line.get("joint_space_mm") for line in lines] == [
        None,
        *(pytest.approx(1.0 + index / 10) for index in range(len(names) - 1)),
    ]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["without_truth"] == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("run_id", "configs", "wrong", "message"),
    [
        ("training", TRAIN, {"annotated": 0.0}, "0.0 is not a fraction of the joints"),
        ("training", TRAIN, {"scorer_name": "ResNet11"}, "'ResNet11' is not a scoring network. Choose one of ResNet10"),
        ("evaluating", EVALUATE, {"scorer_weights": "none.pt"}, "none.pt"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(
    bundle: Any, tmp_path: Path, run_id: str, configs: tuple[str, ...], wrong: dict[str, Any], message: str
) -> None:
    said = bundle.refusal(run_id, *configs, **options(tmp_path / "out", **wrong))
    assert said.splitlines()[-1].startswith("error: ") and message in said
