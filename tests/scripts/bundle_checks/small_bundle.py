"""A complete bundle around a network of a few thousand weights, and ways to change it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from scripts import verify_bundle
from scripts.bundle_checks import files, network

ROOT = Path(__file__).parents[3]
CONFIGS = ("configs/metadata.json", "configs/logging.conf", network.ONNX_ARGUMENTS)
FEATURES = [4, 4, 4, 4, 4, 4]
NETWORK = {
    "_target_": "BasicUNet",
    "spatial_dims": 2,
    "in_channels": 3,
    "out_channels": 3,
    "features": FEATURES,
    "upsample": "nontrainable",
}
PLACE = {"bundle_root": ".", "device": "$torch.device('cpu')", "dataset_dir": ""}
INFERENCE = {
    "imports": ["$from pathlib import Path"],
    **PLACE,
    "run": ["$@evaluator.run()"],
    "output_dir": "$str(Path(@bundle_root) / 'eval')",
    "network_def": NETWORK,
    "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in range(2)]"},
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset"},
    "inferer": {"_target_": "SimpleInferer"},
    "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network_def",
        "inferer": "@inferer",
        "val_handlers": "@handlers",
    },
}
TRAIN = {
    **PLACE,
    "learning_rate": 0.1,
    "val_interval": 1,
    "training": ["$@train#trainer.run()"],
    "run": "%training",
    "network_def": NETWORK,
    "train": {
        "dataset": {"_target_": "Dataset", "data": [1, 2]},
        "dataloader": {"_target_": "DataLoader", "dataset": "@train#dataset"},
        "inferer": {"_target_": "SimpleInferer"},
        "handlers": [
            {"_target_": "ValidationHandler", "validator": "@validate#evaluator", "interval": "@val_interval"}
        ],
        "trainer": {
            "_target_": "SupervisedTrainer",
            "device": "@device",
            "max_epochs": 1,
            "train_data_loader": "@train#dataloader",
            "network": "@network_def",
            "optimizer": {
                "_target_": "torch.optim.SGD",
                "params": "$@network_def.parameters()",
                "lr": "@learning_rate",
            },
            "loss_function": {"_target_": "torch.nn.MSELoss"},
            "train_handlers": "@train#handlers",
        },
    },
    "validate": {
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@train#dataloader",
            "network": "@network_def",
        }
    },
}
SLOW_COMMAND = """\
# Slow training:
#
#   python -m monai.bundle run training \\
#     --config_file "['configs/train.yaml', 'configs/slow.yaml']" --learning_rate 0.02

"""


def write_yaml(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the content of a JSON or YAML file in place."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def overlay(text: str) -> Callable[[Path], Any]:
    """Write an overlay of the training config, with the command that runs it in its comments."""
    return put("configs/slow.yaml", SLOW_COMMAND + text)


def shrink(metadata: dict[str, Any]) -> None:
    formats = metadata["network_data_format"]
    for description in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        description["spatial_shape"] = [32, 32]


def failures(root: Path, *titles: str) -> dict[str, str]:
    """Titles and reasons of the checks that fail: of all, or of those with these titles."""
    known = dict(verify_bundle.checks(root))
    results = {title: verify_bundle.run_check(known[title], verbose=False) for title in titles or known}
    return {title: reason for title, (passed, reason) in results.items() if not passed}


def put(name: str, text: str) -> Callable[[Path], Any]:
    return lambda root: (root / name).write_text(text, encoding="utf-8")


def large(root: Path) -> None:
    with (root / "models" / "model_large.bin").open("wb") as file:
        file.truncate(files.LARGE + 1)


FILES, LARGE, DOCUMENTS = "necessary and preferred files", "large files", "documents"
SCHEMA, VERSION = "metadata by the schema", "version in the changelog"
WEIGHTS = "checksums of the weights"
PINS, IMPORTS = "pins of metadata and requirements", "imports are pinned"
SHAPES, EXPORT = "inputs and outputs of the network", "TorchScript export"
OVERLAY, COMMANDS = "train.yaml + slow.yaml", "commands in documents and configs"
PARTS = "parts of configs"
TRAINING, INFERRING = "properties of train", "properties of inference"
