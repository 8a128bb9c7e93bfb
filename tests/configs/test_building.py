"""A workflow can be created, looked at and then run: building its parts writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle.io.locking import LOCK
from monai.bundle import ConfigParser, ConfigWorkflow
from tests.configs.conftest import of_job
from tests.configs.trainings import TINY_NETWORKS
from tests.hands.conftest import write_hands

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
COMBINATIONS = [
    (*of_job("lsn_paper"), "variants/resident.yaml"),
    *(
        of_job(name)
        for name in (
            "train",
            "bls_gan",
            "multi_gpu_train",
            "segment_bones",
            "sample_overlap",
            "infer_dicom",
            "evaluate_lsn",
        )
    ),
    *(of_job(name) for name in ("calibrate", "synthesize_dicom", "evaluate_grader", "predict_scorer")),
    of_job("calibrate_scorer"),
    of_job("resident_scorer"),
    *(of_job(name) for name in ("evaluate_registration", "predict_registration", "follow", "hands")),
    of_job("resident_registration"),
    of_job("infer_blocks"),
    of_job("synthesize_blocks"),
    *(of_job(name) for name in ("find_joints", "evaluate_finder")),
]
SMALL: dict[str, Any] = {
    "phantoms": 4,
    "image_size": 64,
    "backbone": "SubpixelUNet",
    "adversary": "SubpixelUNet",
    **TINY_NETWORKS,
    "width": 8,
    "scorer_name": "ResNet10",
    "registrar_name": "ResNet10",
}


USED = {"tasks/calibrate.yaml": ConfigParser.load_config_file(str(CONFIGS / "tasks" / "calibrate.yaml"))}
"""Parts that alone are built: the others of inference would read what a calibration has not made yet, or list joints in
a folder of hands."""

_TASKS = {
    name: ConfigParser.load_config_file(str(CONFIGS / "tasks" / f"{name}.yaml"))
    for name in ("find_joints", "evaluate_finder")
}
USED["variants/blocks.yaml"] = USED["variants/source_blocks.yaml"] = ["block_separation"]
USED["tasks/find_joints.yaml"] = [*_TASKS["find_joints"], "train", "validate"]
USED["tasks/evaluate_finder.yaml"] = [*_TASKS["evaluate_finder"], "finder"]


def workflow(files: list[str], folder: Path, **options: Any) -> ConfigWorkflow:
    content = ConfigParser.load_config_files(files)
    small = {key: value for key, value in SMALL.items() if key in content}
    places = {"bundle_root": str(CONFIGS.parent), "output_dir": str(folder / "out")}
    kinds = {"train.yaml": "train", "inference.json": "infer"}
    kind = kinds.get(Path(files[0]).name) if "evaluator" in content or "train" in content else None
    return ConfigWorkflow(files, logging_file=False, workflow_type=kind, **{**small, **places, **options})


def build(made: ConfigWorkflow, only: Collection[str] | None = None) -> None:
    """Build every part; lists are those of what is run, or parts of others."""
    for name, value in dict(made.parser.get()).items():
        if not isinstance(value, list) and name not in ("run", made.parser.meta_key) and (only is None or name in only):
            made.parser.get_parsed_content(name)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty working directory, of one process of torchrun."""
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_PORT", "29517")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(*folders: Path) -> dict[Path, int]:
    """All files and folders, with when they were changed."""
    return {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*")}


def test_every_configuration_is_in_a_combination() -> None:
    known = {name for files in COMBINATIONS for name in files} | {"metadata.json", "experiment.yaml"}
    known |= {"train.json", "evaluate.json"}  # of train.yaml and evaluate.yaml, for tools that look for these names
    files = {str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*") if path.suffix in (".json", ".yaml")}
    assert {name for name in files - known if not name.startswith(("parts/", "jobs/", "experiments/"))} == set()


@pytest.mark.long
@pytest.mark.usefixtures("bundle")
@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_building_every_part_of_a_configuration_writes_nothing(
    names: tuple[str, ...], alone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = everything(CONFIGS, CONFIGS.parent / "models")
    given: dict[str, Any] = {}
    if "tasks/find_joints.yaml" in names:
        given["dataset_dir"] = str(write_hands(tmp_path_factory.mktemp("hands"), 4))
    if "tasks/sample_overlap.yaml" in names:
        given["weights"] = "none"  # its data set is separated when it is built, here by a tiny network
    made = workflow([str(CONFIGS / name) for name in names], alone, **given)
    made.initialize()
    try:
        build(made, USED.get(names[-1]))
        assert names[-1] in USED or not made.check_properties()
    finally:
        made.finalize()
    assert everything(alone) == {}
    assert everything(CONFIGS, CONFIGS.parent / "models") == kept


@pytest.mark.parametrize("path", sorted(path for path in CONFIGS.rglob("*.*") if path.suffix in (".json", ".yaml")))
def test_what_runs_before_the_bundle_can_be_imported_needs_none_of_it(path: Path) -> None:
    """A run from another folder: MONAI adds the bundle to the path only after ``initialize``."""
    content = ConfigParser.load_config_file(str(path))
    for item in [*content.get("initialize", []), *content.get("+initialize", [])]:
        assert not item["_target_"].startswith("bundle.") or "find_spec('bundle')" in item["_disabled_"]


@pytest.mark.slow
@pytest.mark.usefixtures("bundle")
def test_a_part_that_writes_when_it_is_built_is_found(alone: Path) -> None:
    planted = {"_target_": "torch.utils.tensorboard.SummaryWriter", "log_dir": "$@output_dir + '/log'"}
    made = workflow([str(CONFIGS / name) for name in of_job("segment_bones")], alone, tensorboard=planted)
    made.initialize()
    build(made)
    assert everything(alone) != {}


@pytest.mark.slow
@pytest.mark.usefixtures("bundle")
@pytest.mark.parametrize(
    ("name", "run_id", "result"),
    [("inference.json", "evaluating", "quality.jsonl"), ("train.yaml", "training", "model.pt")],
)
def test_a_workflow_that_was_looked_at_runs_and_gives_its_folder_back(
    alone: Path, name: str, run_id: str, result: str
) -> None:
    small = {"backbone": "SubpixelUNet", "weights": "none"} if name == "inference.json" else {"stage1_epochs": 1}
    more = {} if name == "inference.json" else {"stage2_epochs": 1, "phantoms": 4, "batch_size": 2}
    made = workflow([str(CONFIGS / name)], alone, run_id=run_id, **small, **more)
    made.initialize()
    assert not made.check_properties()
    assert made.evaluator is not None
    made.run()
    made.finalize()
    assert (alone / "out" / result).is_file() and not (alone / "out" / LOCK).exists()
