"""Nothing of the patient: identifiers are planted wherever an input has room for them, and none is in any output."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.text
import pytest
import torch
import yaml
from bundle.base.redaction import REDACTION
from bundle.hands.networks import FinderNetwork
from bundle.io.identity import private_list
from bundle.io.packing import pack_joints
from bundle.registration.network import Registrar
from bundle.scoring.networks import make_scorer
from monai.bundle import create_workflow
from PIL import ImageDraw
from tests.configs.conftest import ROOT, of_job
from tests.configs.planted import HAND_SPACING, SIZE, films, frames, hands
from tests.configs.traces import Plants

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:parsing config_file")]
TINY = {"widen_factor": 0.125}
NARROW = {"features": [8] * 6}
GATE = {"tolerance_mm": 1.0, "plausible": "false"}


@dataclass(frozen=True)
class Planted:
    """Data sets with identifiers."""

    plants: Plants
    frames: Path
    hands: Path
    films: Path
    train: str
    test: str
    pack: Path
    weights: Path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    plants, root = Plants(), tmp_path_factory.mktemp("data")
    above = root / plants.word("folder above the data sets")
    joints, whole, drawn = (above / f"{plants.word('dataset_dir')} {plants.word('dataset_dir')}" for _ in range(3))
    train, test = frames(joints, plants)
    hands(whole, plants)
    films(drawn, plants)
    packed = above / f"{plants.word('pack')}.pack"
    pack_joints(joints, [train, test], packed, size=SIZE)
    torch.manual_seed(0)
    torch.save(make_scorer("ResNet10", 2, TINY).state_dict(), root / "scorer.pt")
    torch.save(Registrar("ResNet10", TINY, rounds=1, size=32, view=16).state_dict(), root / "registrar.pt")
    torch.save(FinderNetwork(**FINDER).state_dict(), root / "joints.pt")
    return Planted(plants, joints, whole, drawn, train, test, packed, root)


@dataclass(frozen=True)
class Run:
    """A run over one of the data sets: its configurations and its options, which may name things of the data."""

    run_id: str
    configs: tuple[str, ...]
    data: str = "train"
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.run_id} {self.configs[-1]}"

    def chosen(self, planted: Planted, out: Path) -> dict[str, Any]:
        """All options."""
        if self.data == "hands":
            data = {"dataset_dir": str(planted.hands), "datalist": "*", "spacing": HAND_SPACING, "strict": False}
        elif self.data == "films":
            data = {"dataset_dir": str(planted.films)}
        elif self.data == "pack":
            lists = {"datalist": private_list(planted.train), "test_datalist": private_list(planted.test)}
            data = {"packed": str(planted.pack), **lists, "image_size": SIZE}
        else:
            lists = {"datalist": getattr(planted, self.data)}
            data = {"dataset_dir": str(planted.frames), **lists, "image_size": SIZE}
        files = {"OUT": str(out), "WEIGHTS": str(planted.weights), "FILMS": str(planted.films)}
        known = {key: _filled(value, files) for key, value in self.options.items()}
        return {**data, "output_dir": str(out), **known}


def _filled(value: Any, files: dict[str, str]) -> Any:
    if isinstance(value, str):
        for name, path in files.items():
            value = value.replace(name, path)
    return value


FINDER = {"features": [8] * 6}
FIND = {"finder_features": [8] * 6}
TRAINING = {"stage1_epochs": 1, "stage2_epochs": 1, "early_epochs": 0, "batch_size": 2, "validation_fraction": 0.4}
READER = {"reading_size": 32, "batch_size": 4, "scorer_options": TINY}
READ = {**READER, "scorer_weights": "WEIGHTS/scorer.pt"}
REGISTER = {"batch_size": 4, "variations": 1, "rounds": 1, "registration_size": 32, "registration_view": 16}
REGISTER |= {"registrar_options": TINY, "validation_fraction": 0.4}
REGISTERED = {**REGISTER, "registrar_weights": "WEIGHTS/registrar.pt", "weights": "none"}
PAIRS = {f"pretrain#gate#{name}": value for name, value in GATE.items()}
TEST_PAIRS = {f"test#gate#{name}": value for name, value in GATE.items()}
CALIBRATED = {"uncertainty_calibration": "OUT/uncertainty.json", "plausibility_reference": "OUT/plausibility.json"}
CALIBRATED |= {"weights": "none", "closures": 1, "calibrated_role": "all"}
PRETRAINED = {**READER, **GATE, "weights": "none", "pretraining_epochs": 1, "pretraining_images": 8}
JOB = {"width": 8, "epochs": 2, "training_joints": 2, "detector_fits": 1, "detector_epochs": 1, "worst": 1}
JOB |= {"measures": ["E1", "E2"], "validation_fraction": 0.4}
SMALL_TASK = {"width": 8, "epochs": 2, "schedule#images": 8, "schedule#longer": 2, "weights": "none", **GATE}
SMALL_TASK |= {"reading_size": 32, "least_images": 8, "batch_size": 8, "validation_fraction": 0.4}
INFERENCE = ("inference.json",)
RUNS = [
    Run("evaluating", of_job("infer_dicom"), "hands", {"weights": "none"}),
    Run("synthesizing", of_job("synthesize_dicom"), "hands", {"changes_mm": [0.5], "weights": "none"}),
    Run(
        "synthesizing",
        of_job("synthesize"),
        options={"format": "webdataset", "changes_mm": [0.4], "weights": "none", "gate#plausible": False},
    ),
    Run(
        "evaluating",
        of_job("evaluate"),
        "test",
        {"weights": "none", "measures": ["E1", "E2", "E6"], "phantoms": 2, "training_joints": 2, "worst": 2},
    ),
    Run("exporting", of_job("evaluate"), "test", {"measures": ["E1"], "weights": "none"}),
    Run("training", ("train.yaml",), options={**TRAINING, "backbone_options": NARROW, "adversary_options": NARROW}),
    Run("training", of_job("segment_bones"), options={"epochs": 1, "batch_size": 2, "validation_fraction": 0.4}),
    Run("training", of_job("sample_overlap"), options={"epochs": 1, "batch_size": 2, "validation_fraction": 0.4}),
    Run("training", of_job("read_joint_space"), options={**READER, "epochs": 1, "validation_fraction": 0.4}),
    Run("evaluating", of_job("evaluate_scorer"), "test", READ),
    Run("calibrating", of_job("calibrate_scorer"), options={**READ, "calibrated_role": "all"}),
    Run("predicting", of_job("predict_scorer"), "test", READ),
    Run("pretraining", of_job("pretrain_scorer"), options=PRETRAINED),
    Run(
        "fine_tuning", of_job("pretrain_scorer"), options={**PRETRAINED, "pretrained": "WEIGHTS/scorer.pt", "epochs": 1}
    ),
    Run("training", of_job("register_joints"), options={**REGISTER, "epochs": 1}),
    Run(
        "evaluating",
        of_job("evaluate_registration"),
        "test",
        {**REGISTERED, **TEST_PAIRS, "repeats": 1, "synthetic_pairs": 2, "test#report#samples": 5},
    ),
    Run("predicting", of_job("predict_registration"), "test", REGISTERED),
    Run("following", of_job("follow"), "test", REGISTERED),
    Run(
        "pretraining",
        of_job("pretrain_registration"),
        options={**REGISTER, **PAIRS, "weights": "none", "pretraining_epochs": 1, "pretraining_pairs": 4},
    ),
    Run("calibrating_plausibility", of_job("calibrate"), options={**CALIBRATED, "phantoms": 3}),
    Run("calibrating_uncertainty", of_job("calibrate"), options={**CALIBRATED, "closure#outline_gap_mm": [-1.2, -0.4]}),
    Run("planning", ("jobs/ours_2x.yaml",), "pack", JOB),
    Run("evaluating", of_job("hands"), "hands", {"weights": "none"}),
    Run("evaluating", of_job("hands_blocks"), "hands", {"weights": "none", "block_size": 3}),
    Run(
        "synthesizing",
        of_job("synthesize_blocks"),
        "hands",
        {"changes_mm": [0.5], "gate#plausible": False, "weights": "none", "block_size": 3},
    ),
    Run("training", of_job("find_joints"), "films", {**FIND, "epochs": 1, "least_images": 2, "validation_views": 1}),
    Run(
        "evaluating",
        of_job("evaluate_finder"),
        "films",
        {**FIND, "finder_weights": "WEIGHTS/joints.pt", "no_hands_dir": "FILMS/none"},
    ),
    Run("training", of_job("grade_narrowing"), options={**READER, "epochs": 1, "validation_fraction": 0.4}),
    Run("working", ("jobs/resnet50_joint_space.yaml",), "pack", SMALL_TASK),
]
NO_RUNS = {"auditing": "a part of pretraining"}


def start(run: Run, options: dict[str, Any]) -> None:
    """Run in this process, as MONAI's command line does."""
    files = [str(ROOT / "configs" / name) for name in run.configs]
    given = {"args_file": files[0]} if run.configs[0].startswith("jobs/") else {"config_file": files}
    workflow = create_workflow(**given, logging_file=False, run_id=run.run_id, **options)
    workflow.run()
    workflow.finalize()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written into pictures and plots."""
    texts: list[str] = []

    def noted(function: Callable[..., Any], position: int) -> Callable[..., Any]:
        def write(*arguments: Any, **options: Any) -> Any:
            texts.append(str(options.get("text", options.get("s", arguments[position:][:1]))))
            return function(*arguments, **options)

        return write

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted(ImageDraw.ImageDraw.text, 2))
    monkeypatch.setattr(matplotlib.text.Text, "set_text", noted(matplotlib.text.Text.set_text, 1))
    return texts


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A log file, as a configuration of logging may ask for."""
    handler = logging.FileHandler(tmp_path / "log.txt")
    loggers = [logging.root, logging.getLogger("monai.bundle.scripts")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield tmp_path / "log.txt"
    for logger in loggers:
        logger.removeHandler(handler)
    handler.close()


def test_many_identifiers_of_many_kinds_are_planted(planted: Planted) -> None:
    assert len(planted.plants.places) >= 300 and len({*planted.plants.places.values()}) >= 100
    files = [path.read_bytes() for path in planted.frames.parent.rglob("*") if path.is_file()]
    names = [str(path).encode() for path in planted.frames.parent.rglob("*")]
    there = {text for part in files + names for text, *_ in planted.plants.found("", part)}
    missing = {text: place for text, place in planted.plants.places.items() if text not in there}
    assert set(missing.values()) <= {"pack"}, "what is planted can be found where it was planted"


def test_every_run_of_every_configuration_is_looked_at() -> None:
    tasks = {f"tasks/{path.name}" for path in (ROOT / "configs" / "tasks").iterdir()}
    assert tasks == {name for run in RUNS for name in run.configs if name.startswith("tasks/")}
    there = set()
    for path in (ROOT / "configs").rglob("*.*"):
        content = yaml.safe_load(path.read_text()) if path.suffix in (".yaml", ".json") else {}
        lists = {name: value for name, value in content.items() if isinstance(value, list)}
        runs = {name for name, value in lists.items() if "check_options" in str(value) or "'%" in str(value)}
        there |= runs - {"initialize"}
    assert there == {run.run_id for run in RUNS} | {*NO_RUNS}


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_no_run_leaves_an_identifier(
    bundle: Any, planted: Planted, run: Run, tmp_path: Path, drawn: list[str], log: Path, capfd: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(ROOT)
    out = tmp_path / "out"
    options = run.chosen(planted, out)
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["monai/bundle/__main__.py", "test", run.run_id, *given])
    out.mkdir(exist_ok=True)
    start(run, options)
    said = capfd.readouterr()
    found = planted.plants.found_below(tmp_path)
    for name, text in {"stdout": said.out, "stderr": said.err, "predicted": "\n".join(drawn)}.items():
        found += planted.plants.found(name, text.encode())
    assert found == []
    assert run.run_id == "planning" or any(out.iterdir())
    assert "> dataset_dir: 'folder_" in log.read_text() or "> packed: 'folder_" in log.read_text()


def test_the_copy_of_the_configuration_that_monai_writes_tells_nothing(
    bundle: Any, planted: Planted, tmp_path: Path
) -> None:
    (tmp_path / "tracking.json").write_text('{"handlers_id": {}, "configs": {}}')
    options = {**RUNS[0].chosen(planted, tmp_path / "out"), "save_execute_config": str(tmp_path / "copy.json")}
    files = [str(ROOT / "configs" / name) for name in INFERENCE]
    create_workflow(config_file=files, logging_file=False, tracking=str(tmp_path / "tracking.json"), **options)
    assert "folder_" in json.loads((tmp_path / "copy.json").read_text())["dataset_dir"]
    assert planted.plants.found_below(tmp_path) == []


def test_nothing_of_the_patient_is_packed(planted: Planted) -> None:
    assert planted.plants.found("", planted.pack.read_bytes()) == []


def _shared(root: Path, train: str, test: str) -> None:
    entries = [json.loads((root / f"{name}.json").read_text()) for name in (train, test)]
    (root / f"{test}.json").write_text(json.dumps([*entries[1], entries[0][0]]))


def _broken(root: Path, train: str, test: str) -> None:
    for path in root.rglob("*"):
        if path.is_file() and path.suffix != ".json" and "mask" not in path.name:
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _absent(root: Path, train: str, test: str) -> None:
    for path in [path for path in root.rglob("*_mask_lower.png")]:
        path.unlink()


def _wrong(root: Path, train: str, test: str) -> None:
    entries = json.loads((root / f"{train}.json").read_text())
    entries[0]["spacing"] = entries[0]["PatientName"]
    (root / f"{train}.json").write_text(json.dumps(entries))


@pytest.mark.parametrize("damage", [_shared, _broken, _absent, _wrong], ids=lambda damage: damage.__name__)
def test_no_refusal_tells_more_than_where_the_data_set_is(
    bundle: Any, tmp_path: Path, log: Path, damage: Callable[[Path, str, str], None]
) -> None:
    plants, root = Plants(), tmp_path / "Data"
    train, test = frames(root, plants, 3, 1)
    damage(root, train, test)
    options = {"image_size": SIZE, "strict": True, "output_dir": str(tmp_path / "out"), **TRAINING}
    said = bundle.refusal("training", "train.yaml", dataset_dir=str(root), datalist=train, **options)
    given = {text for text, place in plants.places.items() if place == "AdmissionID"}
    assert (said.startswith("error: ") and str(root) in said) or "joint" in said
    assert [trace for trace in plants.found("stderr", said.encode()) if trace[0] not in given] == []
    assert plants.found("log", log.read_bytes()) == []


def test_texts_are_left_alone_by_data_sets_that_tell_nothing() -> None:
    text = "epoch 1: /somewhere/else/Data of 2024-01-31, 1.2.3.4.5.6"
    assert REDACTION.in_record(text) == REDACTION.on_terminal(text) == text
