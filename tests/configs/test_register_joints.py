"""The registration of joints, as a user trains, measures and uses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from bundle.registration.network import Registrar
from tests.configs.conftest import of_job

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

TRAIN = of_job("register_joints")
PRETRAIN = of_job("pretrain_registration")
EVALUATE = of_job("evaluate_registration")
PREDICT = of_job("predict_registration")
OPTIONS = {"widen_factor": 0.125}
SMALL = {
    "image_size": 64,
    "batch_size": 4,
    "phantoms": 6,
    "variations": 2,
    "rounds": 2,
    "registration_size": 32,
    "registration_view": 16,
    "validation_fraction": 0.34,
    "registrar_options": OPTIONS,
}
GATE = {"tolerance_mm": 0.3, "plausible": False}
PRETRAINING = {
    "pretraining_epochs": 2,
    "pretraining_pairs": 4,
    "weights": "none",
    **{f"pretrain#gate#{name}": value for name, value in GATE.items()},
}
EVALUATION = {
    "repeats": 2,
    "synthetic_pairs": 3,
    "weights": "none",
    "test#report#samples": 20,
    **{f"test#gate#{name}": value for name, value in GATE.items()},
}


def options(folder: Path, **more: Any) -> dict[str, Any]:
    return {**SMALL, "output_dir": str(folder), **more}


def registrar() -> Registrar:
    torch.manual_seed(0)
    return Registrar("ResNet10", OPTIONS, rounds=2, size=32, view=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("registrar") / "registrar.pt"
    torch.save(registrar().state_dict(), path)
    return str(path)


@pytest.mark.slow
def test_training_leaves_the_network_that_registers_best_and_goes_on(bundle: Any, tmp_path: Path) -> None:
    workflow = bundle.run("training", *TRAIN, **options(tmp_path, epochs=1))
    parsed = workflow.parser.get_parsed_content
    assert parsed("train#trainer").state.epoch == 1
    assert parsed("validate#evaluator").state.best_metric > 0.0
    trained, validated = ({pair["joint"] for pair in parsed(f"{side}#dataset")} for side in ("train", "validate"))
    assert trained and validated and not trained & validated
    registrar().load_state_dict(torch.load(tmp_path / "registrar.pt", weights_only=True))
    workflow = bundle.run("training", *TRAIN, **options(tmp_path, epochs=2, resume=True))
    assert workflow.parser.get_parsed_content("train#trainer").state.epoch == 2


@pytest.mark.parametrize("run_id", ["training", "pretraining"])
@pytest.mark.long
def test_a_training_ended_by_its_minutes_every_epoch_ends_in_the_same_weights(
    bundle: Any, tmp_path: Path, run_id: str
) -> None:
    configs, epochs, stage, made = {
        "training": (TRAIN, {"epochs": 2}, "train", "last.pt"),
        "pretraining": (
            PRETRAIN,
            {**PRETRAINING, "sources_dir": str(tmp_path / "sources")},
            "pretrain",
            "pretrained.pt",
        ),
    }[run_id]
    configs = (*configs, "variants/resident_registration.yaml")
    bundle.run(run_id, *configs, **options(tmp_path / "whole", **epochs))
    for epoch in (1, 2):
        assert not (tmp_path / "parts" / made).exists()
        more = {**epochs, "minutes": 1e-9, "resume": "true"}
        workflow = bundle.run(run_id, *configs, **options(tmp_path / "parts", **more))
        assert workflow.parser.get_parsed_content(f"{stage}#trainer").state.epoch == epoch
    whole, parts = (torch.load(tmp_path / name / made, weights_only=True) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.long
def test_pretraining_is_on_pairs_of_training_joints_alone_and_can_be_started_from(bundle: Any, tmp_path: Path) -> None:
    workflow = bundle.run("pretraining", *PRETRAIN, **options(tmp_path / "first", **PRETRAINING))
    parsed = workflow.parser.get_parsed_content
    assert parsed("pretrain#trainer").state.iteration == 2
    assert not (tmp_path / "first" / "registrar.pt").exists()
    kept = {path.stem for path in (tmp_path / "first" / "sources").glob("*.pt")}
    assert kept == {item["name"] for item in parsed("training_joints")}
    assert not kept & {sample["name"] for sample in parsed("validate#dataset").samples}
    pretrained = tmp_path / "first" / "pretrained.pt"
    bundle.run("training", *TRAIN, **options(tmp_path / "second", epochs=1, pretrained=str(pretrained)))
    first = torch.load(pretrained, weights_only=True)
    last = torch.load(tmp_path / "second" / "registrar.pt", weights_only=True)
    assert first.keys() == last.keys() and any(not torch.equal(first[name], last[name]) for name in first)


@pytest.mark.long
def test_pretraining_and_training_run_one_after_the_other(bundle: Any, tmp_path: Path) -> None:
    bundle.run("training", *PRETRAIN, **options(tmp_path, epochs=1, **PRETRAINING))
    assert (tmp_path / "pretrained.pt").is_file() and (tmp_path / "registrar.pt").is_file()


@pytest.mark.long
def test_pairs_of_few_joints_come_several_times_in_an_epoch(bundle: Any, tmp_path: Path) -> None:
    workflow = bundle.run("training", *TRAIN, **options(tmp_path, epochs=1, least_pairs=7))
    names = [pair["name"] for pair in workflow.parser.get_parsed_content("train#dataset")]
    assert len(names) >= 7 and {names.count(name) for name in names} == {len(names) // len(set(names))}


@pytest.mark.long
def test_fine_tuning_is_on_real_and_synthetic_pairs(bundle: Any, tmp_path: Path, weights: str) -> None:
    more = {**PRETRAINING, "mixed_pairs": 3, "pretrained": weights, "epochs": 1}
    workflow = bundle.run("fine_tuning", *PRETRAIN, **options(tmp_path, **more))
    parsed = workflow.parser.get_parsed_content
    seen = [pair["name"] for pair in parsed("train#dataloader").dataset]
    assert len(seen) == len(parsed("train#dataset")) + 3
    assert parsed("pretrain#trainer").state.epoch == 0 and parsed("train#trainer").state.epoch == 1
    assert not (tmp_path / "pretrained.pt").exists() and (tmp_path / "last.pt").is_file()


@pytest.mark.parametrize("method", ["network", "gauss_newton"])
@pytest.mark.long
def test_an_evaluation_says_how_good_a_method_is(bundle: Any, tmp_path: Path, weights: str, method: str) -> None:
    more = {"method": method, "registrar_weights": weights if method == "network" else "none", **EVALUATION}
    bundle.run("evaluating", *EVALUATE, **options(tmp_path / "out", **more))
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["settings"]["method"] == method
    assert ("weights" in found["settings"]) == (method == "network")
    real, synthetic = (found["figures"][kind] for kind in ("real", "synthetic"))
    assert (real["pairs"], real["repeats"], synthetic["pairs"]) == (6, 12, 3)
    rows = pd.read_csv(tmp_path / "out" / "per_pair.csv")
    assert set(rows["pairs"]) == {"real", "synthetic"} and len(rows) == 6 * 3 + 3
    plain = rows[(rows["pairs"] == "real") & (rows["repeat"] == 0)]
    assert real["implausible_rate"] == pytest.approx(1.0 - plain["plausible"].mean())
    error = (rows["jsn_mm"] - rows["true_jsn_mm"])[rows["pairs"] == "synthetic"].abs()
    if error.notna().any():
        assert synthetic["mae_mm"] == pytest.approx(error.mean())


@pytest.mark.long
def test_the_shipped_network_registers_phantoms(bundle: Any, tmp_path: Path) -> None:
    more = {"phantoms": 6, "weights": "none", "flips": False, "synthetic_pairs": 8, "repeats": 1}
    bundle.run("evaluating", *EVALUATE, **more, output_dir=str(tmp_path / "out"))
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["settings"]["weights"].startswith("registrar.pt (sha256 ")
    assert found["figures"]["synthetic"]["pairs"] == 8 and found["figures"]["synthetic"]["mae_mm"] < 0.05


@pytest.mark.slow
def test_a_prediction_measures_all_pairs_of_a_folder_without_masks(
    bundle: Any, data: Path, tmp_path: Path, weights: str
) -> None:
    for mask in data.rglob("*mask*"):
        mask.unlink()
    (data / "LS_K1_all_test").unlink()
    first = sorted(data.rglob("1.jpg"))[0]
    shutil.copy(first, first.with_name("2.jpg"))
    more = {"dataset_dir": str(data), "registrar_weights": weights, "strict": "false"}
    bundle.run("predicting", *PREDICT, **options(tmp_path / "out", **more))
    lines = [json.loads(line) for line in (tmp_path / "out" / "narrowing.jsonl").read_text().splitlines()]
    assert len(lines) == 1
    assert lines[0]["fixed_name"] != lines[0]["moving_name"] and lines[0]["joint"] == first.parent.name
    assert lines[0]["jsn_mm"] == pytest.approx(0.0, abs=1e-6) and lines[0]["registration_mse"] == pytest.approx(0.0)
    assert lines[0]["lower"]["scale"] == pytest.approx(1.0)
    assert set(lines[0]["plausibility"]) == {"fixed", "moving", "registration"}
    assert lines[0]["plausible"] == (not any(verdict["flagged"] for verdict in lines[0]["plausibility"].values()))


@pytest.mark.long
@pytest.mark.parametrize(
    ("run_id", "configs", "wrong", "message"),
    [
        ("training", TRAIN, {"registrar_name": "ResNet11"}, "'ResNet11' is not a scoring network"),
        ("training", TRAIN, {"takes": 1}, "no two radiographs show the same joint"),
        ("training", TRAIN, {"pretrained": "none.pt"}, "none.pt"),
        ("evaluating", EVALUATE, {"method": "guess"}, "method is 'guess'. Choose one of network, phase_correlation"),
        ("evaluating", EVALUATE, {"registrar_weights": "none.pt"}, "none.pt"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(
    bundle: Any, tmp_path: Path, run_id: str, configs: tuple[str, ...], wrong: dict[str, Any], message: str
) -> None:
    said = bundle.refusal(run_id, *configs, **options(tmp_path / "out", **wrong))
    assert said.splitlines()[-1].startswith("error: ") and message in said
