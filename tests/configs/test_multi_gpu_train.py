"""Two processes on the CPU train as one does with the doubled batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import create_workflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.configs.trainings import TINY_NETWORKS

EPOCHS = 2
FIXED: dict[str, Any] = {
    "phantoms": 10,
    "image_size": 64,
    "batch_size": 2,
    "early_epochs": 0,
    **TINY_NETWORKS,
    "stage1_epochs": 0,
    "stage2_epochs": EPOCHS,
    "stage2_pseudo": 0.0,
    "use_motion": False,
    "augmentation": {"_target_": "bundle.separation.transforms.RandAugmentLayersd"},
    "stage2_loss": {
        "_target_": "bundle.separation.GeneratorLoss",
        "reconstruction": 0.5,
        "supervision": 0.3,
        "discrimination": 0.1,
        "layers": 1.0,
    },
}
"""Nothing in it is random but the first weights and, unless it is switched off, the order of the joints."""


def descent(player: str) -> dict[str, Any]:
    """Plain gradient descent: Adam makes steps of rounding errors where there is no gradient."""
    return {"_target_": "torch.optim.SGD", "params": f"$@{player}#network.parameters()", "lr": 0.1}


FIXED |= {f"{player}#optimizer": descent(player) for player in ("generator", "supervisor", "discriminator")}


def train_in_two(root: Path, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    configs = ["configs/train.yaml", "configs/variants/multi_gpu.yaml"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "monai.bundle", "run", "training", "--config_file", str(configs), "--output_dir", str(folder)]
    for key, value in options.items():
        command += [f"--{key}", value if isinstance(value, str) else json.dumps(value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def newest(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / f"checkpoint_epoch={EPOCHS}.pt", weights_only=True)


def metric(folder: Path, name: str) -> list[float]:
    """A metric of each validation, as it was written for TensorBoard."""
    values = []
    for path in sorted((folder / "tensorboard").iterdir()):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0})
        events.Reload()
        if name in events.Tags()["scalars"]:
            values += [(event.step, event.value) for event in events.Scalars(name)]
    return [value for _, value in sorted(values)]


@pytest.mark.long
def test_two_processes_train_as_one_with_the_doubled_batch(bundle: Any, tmp_path: Path) -> None:
    """Losses, weights and validation; only the first process writes."""
    two, one = tmp_path / "two", tmp_path / "one"
    result = train_in_two(bundle.root, two, **FIXED, shuffle="False", average_momentum=0.3)
    assert result.returncode == 0, result.stderr
    doubled = {**FIXED, "batch_size": 4, "train#dataloader#shuffle": False}
    bundle.run("training", "train.yaml", output_dir=str(one), **doubled, average_momentum=0.3)
    found, expected = newest(two), newest(one)
    for name in ("generator", "supervisor", "discriminator", "average"):
        assert found[name].keys() == expected[name].keys()
        for key, value in expected[name].items():
            torch.testing.assert_close(found[name][key], value, rtol=1e-3, atol=1e-5)
    config = str(bundle.root / "configs" / "train.yaml")
    start = create_workflow(config_file=config, logging_file=False, output_dir=str(tmp_path / "start"), **FIXED)
    for name in ("generator", "supervisor", "discriminator"):
        before = start.parser.get_parsed_content(f"{name}#network").state_dict()
        assert max(float((before[key] - found[name][key]).abs().max()) for key in before) > 1e-3
    for name in ("soft_rmse", "psnr", "ssim"):
        values = [metric(folder, name) for folder in (two, one)]
        assert len(values[0]) == EPOCHS + 1
        torch.testing.assert_close(*map(torch.tensor, values), rtol=1e-4, atol=1e-5)
    assert len(list((two / "tensorboard").iterdir())) == len(list((one / "tensorboard").iterdir()))
    assert sorted(path.name for path in (two / "montages").iterdir()) == [
        f"layers_epoch_{number:03d}.png" for number in range(EPOCHS + 1)
    ]
