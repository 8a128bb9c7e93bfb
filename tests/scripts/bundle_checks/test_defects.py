"""Every defect of a bundle is found, and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scripts import verify_bundle
from tests.scripts.bundle_checks.small_bundle import (
    COMMANDS,
    DOCUMENTS,
    EXPORT,
    FILES,
    IMPORTS,
    INFERRING,
    LARGE,
    OVERLAY,
    PINS,
    SCHEMA,
    SHAPES,
    TRAINING,
    VERSION,
    WEIGHTS,
    edit,
    large,
    overlay,
    put,
)


def drop(*names: str) -> Callable[[Path], None]:
    return lambda root: [(root / name).unlink() for name in names] and None


def state(command: str) -> Callable[[Path], Any]:
    return put("README.md", f"Type `python -m monai.bundle run {command}` to run it.")


def describe(**values: Any) -> Callable[[Path], None]:
    return lambda root: edit(root / "configs" / "metadata.json", lambda metadata: metadata.update(values))


def undescribe(name: str) -> Callable[[Path], None]:
    return lambda root: edit(root / "configs" / "metadata.json", lambda metadata: metadata.pop(name))


def configure(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda root: edit(root / "configs" / name, change)


def damage(root: Path) -> None:
    path = root / "models" / "model.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def save_weights(weights: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def save(root: Path) -> None:
        path = root / "models" / "model.pt"
        torch.save(weights(torch.load(path, weights_only=True)), path)

    return save


DEFECTS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no licence": (drop("LICENSE"), FILES, "missing LICENSE"),
    "no weights": (drop("models/model.pt"), FILES, "missing models/model.pt"),
    "no inference config": (drop("configs/inference.json"), FILES, "missing configs/inference.json"),
    "no metadata": (drop("configs/metadata.json"), SCHEMA, "configs/metadata.json"),
    "metadata that is no JSON": (put("configs/metadata.json", "{"), SCHEMA, "JSON object"),
    "weights that MONAI Label would take first": (
        put("models/g.pt", ""),
        FILES,
        "models/g.pt: a shorter name than model.pt",
    ),
    "large file not listed": (large, LARGE, "model_large.bin has 25 MB"),
    "large file listed by halves": (
        put("large_files.yml", "large_files: [{path: a.pt, url: u}]"),
        LARGE,
        "lacks hash_val",
    ),
    "section missing in the document": (put("docs/README.md", "# Model Overview"), DOCUMENTS, "no heading '## Data'"),
    "unfinished document": (put("docs/README.md", "## Performance\nTODO"), DOCUMENTS, "it contains TODO"),
    "empty data licence": (put("docs/data_license.txt", "\n"), DOCUMENTS, "is empty"),
    "no document": (drop("docs/README.md"), DOCUMENTS, "missing docs/README.md"),
    "metadata without a task": (undescribe("task"), SCHEMA, "'task' is a required property"),
    "metadata of a wrong type": (describe(references="a paper"), SCHEMA, "$.references"),
    "another schema": (
        describe(schema="https://example.org/meta_schema_20220324.json"),
        SCHEMA,
        "meta_schema_20240725",
    ),
    "damaged weights": (damage, WEIGHTS, "--state_checksums"),
    "weights without a checksum": (undescribe("weights"), WEIGHTS, "metadata.json states None"),
    "weights of the metadata that are missing": (
        describe(weights={"model.pt": {}, "joints.pt": {"sha256": "0123"}}),
        WEIGHTS,
        "models/joints.pt is missing",
    ),
    "expected errors of other weights": (
        put("models/uncertainty.json", '{"separator": "model.pt (sha256 0123456789ab)"}'),
        WEIGHTS,
        "calibrate again with configs/jobs/calibrate.yaml",
    ),
    "uncertainty of other weights": (
        put("models/grader_calibration.json", '{"weights": "grader.pt (sha256 0123456789ab)"}'),
        WEIGHTS,
        "calibrate again with configs/jobs/calibrate_grader.yaml",
    ),
    "version without a change": (describe(version="9.9.9"), VERSION, "9.9.9"),
    "metadata pins another version": (describe(numpy_version="1.26.4"), PINS, "numpy: 1.26.4 in metadata.json, 2.2.6"),
    "requirement not in the metadata": (put("requirements.txt", "six==1.0"), PINS, "six: none in metadata.json, 1.0"),
    "import that is not pinned": (put("bundle/shapes.py", "import hypothesis"), IMPORTS, "imports hypothesis"),
    "import when needed that no requirements pin": (
        put("bundle/shapes.py", "def shapes():\n    import hypothesis"),
        IMPORTS,
        "imports hypothesis",
    ),
    "import at once of what is optional": (put("bundle/shapes.py", "import zlib_ng"), IMPORTS, "imports zlib_ng"),
    "config that is no YAML": (overlay("a: [1"), OVERLAY, "slow.yaml does not parse"),
    "reference to nothing": (
        configure("train.yaml", lambda config: config["train"]["dataloader"].update(dataset="@train#data_set")),
        "train.yaml",
        "train::dataloader::dataset refers to @train::data_set",
    ),
    "reference to nothing in an overlay": (overlay("doubled: $2 * @rate"), OVERLAY, "doubled refers to @rate"),
    "target that does not exist": (
        configure("train.yaml", lambda config: config["network_def"].update(_target_="bundle.nowhere.Network")),
        "train.yaml",
        "no target bundle.nowhere.Network",
    ),
    "argument that the target does not know": (
        configure("train.yaml", lambda config: config["network_def"].update(width=4)),
        "train.yaml",
        "unexpected keyword argument 'width'",
    ),
    "argument that the target needs": (
        configure("inference.json", lambda config: config["dataloader"].pop("dataset")),
        "inference.json",
        "missing a required argument: 'dataset'",
    ),
    "expression that is no Python": (overlay("doubled: $2 *"), OVERLAY, "'2 *'"),
    "expression with an unknown name": (overlay("here: $os.getcwd()"), OVERLAY, "unknown name os in 'os.getcwd()'"),
    "import of the bundle in a config": (
        overlay("imports: [$import bundle.physics.masks]"),
        OVERLAY,
        "before the bundle is on the path",
    ),
    "command with a config that is not there": (
        state("--config_file configs/test.yaml"),
        COMMANDS,
        "configs/test.yaml",
    ),
    "command with an unknown run": (
        state("testing --config_file configs/train.yaml"),
        COMMANDS,
        "README.md: train.yaml has no 'testing'",
    ),
    "command with an unknown option": (
        state("--config_file configs/train.yaml --learning_rate 1 --rate=2"),
        COMMANDS,
        "train.yaml has no 'rate'",
    ),
    "command that lacks its base config": (
        state('--config_file "configs/slow.yaml" --doubled 1'),
        COMMANDS,
        "slow.yaml has no 'run'",
    ),
    "no inferer for training": (
        configure("train.yaml", lambda config: config["train"].pop("inferer")),
        TRAINING,
        "train_inferer",
    ),
    "no evaluator for inference": (
        configure("inference.json", lambda config: config.pop("evaluator")),
        INFERRING,
        "evaluator",
    ),
    "handlers under another name": (
        configure("train.yaml", lambda config: config["train"]["trainer"].update(train_handlers="@train#extras")),
        TRAINING,
        "train_handlers",
    ),
    "handlers in place": (
        configure("train.yaml", lambda config: config["train"]["trainer"].update(train_handlers=[])),
        TRAINING,
        "handlers are dicts behind a reference",
    ),
    "interval in place": (
        configure("train.yaml", lambda config: config["train"]["handlers"][0].update(interval=1)),
        TRAINING,
        "MONAI's check of the properties breaks on train.yaml",
    ),
    "logging that runs code": (
        put("configs/logging.conf", "[handler_x]\nclass=StreamHandler\nargs=(print('x'),)\n"),
        TRAINING,
        "ValueError",
    ),
    "more output channels than described": (
        configure("inference.json", lambda config: config["network_def"].update(out_channels=4)),
        SHAPES,
        "output channel number `4`",
    ),
    "weights of another network": (save_weights(lambda weights: {"other": torch.zeros(1)}), EXPORT, "flat state dict"),
    "weights inside a checkpoint": (save_weights(lambda weights: {"network": weights}), EXPORT, "flat state dict"),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_found_and_named(root: Path, defect: str) -> None:
    spoil, title, reason = DEFECTS[defect]
    spoil(root)
    passed, found = verify_bundle.run_check(dict(verify_bundle.checks(root))[title], verbose=False)
    assert not passed
    assert reason in found
