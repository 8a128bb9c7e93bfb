"""Small trainings, and what is in their folders."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import torch
from bundle.workflow.checkpoints import checkpoints
from monai.bundle import ConfigParser, create_workflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

EPOCHS = 4
TINY_NETWORKS: dict[str, Any] = {"backbone_options": {"features": [8] * 6}, "adversary_options": {"features": [8] * 6}}
TINY: dict[str, Any] = {
    "phantoms": 10,
    "image_size": 64,
    "batch_size": 2,
    "stage1_epochs": 2,
    "stage2_epochs": 2,
    "early_epochs": 1,
    **TINY_NETWORKS,
}
NETWORKS = ("generator", "supervisor", "discriminator")


def train(bundle: Any, folder: Path, *overlays: str, **options: Any) -> Any:
    """Train in this process."""
    return bundle.run("training", "train.yaml", *overlays, output_dir=str(folder), **{**TINY, **options})


def built(bundle: Any, folder: Path, **options: Any) -> ConfigParser:
    """The parser of a training that has not started."""
    config = str(bundle.root / "configs" / "train.yaml")
    settings = {**TINY, "output_dir": str(folder), **options}
    parser: ConfigParser = create_workflow(config_file=config, logging_file=False, **settings).parser
    return parser


def command(bundle: Any, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return bundle.command("training", "train.yaml", output_dir=str(folder), **{**TINY, **options})


def newest(folder: Path) -> tuple[int, dict[str, Any]]:
    """Epoch and content of the newest checkpoint."""
    epoch, path = checkpoints(folder / "checkpoints")[-1]
    return epoch, torch.load(path, weights_only=True)


def equal(one: Any, other: Any) -> bool:
    """Whether two states are the same to the bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar that a training wrote for TensorBoard, by name."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
    return {tag: sorted(values) for tag, values in found.items()}
