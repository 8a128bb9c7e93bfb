"""Training on resident joints (variants/resident.yaml) beside the training that it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.separation.trainer import LayerSeparationTrainer
from tests.configs.trainings import TINY_NETWORKS

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

LOSSES = ("loss", "reconstruction", "supervision", "discrimination", "layers", "supervisor", "discriminator")
TINY: dict[str, Any] = {
    "phantoms": 8,
    "image_size": 64,
    "batch_size": 2,
    "stage1_epochs": 1,
    "stage2_epochs": 1,
    "early_epochs": 0,
    "val_interval": 5,
}
LSN: dict[str, Any] = {
    "backbone_options": {
        "encoder_channels": [8, 8, 16, 16],
        "hidden_size": 16,
        "mlp_dim": 16,
        "num_blocks": 1,
        "bridge_channels": 8,
        "decoder_channels": [8, 8, 8, 8],
        "img_size": 64,
    },
    "adversary_options": {"channels": [2, 4, 8, 8, 8]},
}
BLS_GAN: dict[str, Any] = {**LSN, "correction_width": 2}
METHODS = {
    "ours": (("train.yaml",), TINY_NETWORKS),
    "lsn": (("train.yaml", "variants/lsn_paper.yaml"), LSN),
    "bls_gan": (("train.yaml", "variants/bls_gan_network.yaml", "variants/bls_gan.yaml"), BLS_GAN),
}


def losses(
    bundle: Any, monkeypatch: pytest.MonkeyPatch, folder: Path, *configs: str, **options: Any
) -> list[dict[str, float]]:
    """The losses of every step of a training."""
    found = []
    step = LayerSeparationTrainer._iteration

    def noted(trainer: Any, engine: Any, batch: Any) -> Any:
        step(trainer, engine, batch)
        output = engine.state.output if isinstance(engine.state.output, dict) else engine.state.output[0]
        found.append({key: float(torch.as_tensor(output[key]).detach()) for key in LOSSES if key in output})
        return engine.state.output

    with monkeypatch.context() as patched:
        patched.setattr(LayerSeparationTrainer, "_iteration", noted)
        bundle.run("training", *configs, output_dir=str(folder), **{**TINY, **options})
    return found


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_the_losses_are_those_of_the_usual_training(
    bundle: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str
) -> None:
    configs, options = METHODS[method]
    usual = losses(bundle, monkeypatch, tmp_path / "usual", *configs, **options)
    resident = losses(bundle, monkeypatch, tmp_path / "resident", *configs, "variants/resident.yaml", **options)
    assert len(usual) == len(resident) >= 5
    for one, other in zip(usual, resident, strict=True):
        assert one.keys() == other.keys()
        assert other == pytest.approx(one, abs=5e-5)  # another order of summation


@pytest.mark.long
def test_a_training_of_many_invocations_ends_with_the_weights_of_one(bundle: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {**TINY, **TINY_NETWORKS, "stage1_epochs": 2, "resume": True}
    configs = ("train.yaml", "variants/resident.yaml")
    bundle.run("training", *configs, output_dir=str(tmp_path / "whole"), **options)
    epochs = []
    for _ in range(3):  # an invocation has time for one epoch
        ended = bundle.run("training", *configs, output_dir=str(tmp_path / "parts"), minutes=1e-6, **options)
        epochs.append(max(int(path.stem.split("=")[1]) for path in (tmp_path / "parts" / "checkpoints").iterdir()))
        assert ended.parser.get_parsed_content("limit").over
    assert epochs == [1, 2, 3]
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints" / "checkpoint_epoch=3.pt") for name in ("whole", "parts")
    )
    for name in ("generator", "supervisor", "discriminator", "average"):
        for key, value in whole[name].items():
            assert torch.equal(value, parts[name][key]), key


@pytest.mark.slow
def test_crops_are_refused_before_anything_is_written(bundle: Any, tmp_path: Path) -> None:
    message = bundle.refusal(
        "training",
        "train.yaml",
        "variants/resident.yaml",
        output_dir=str(tmp_path / "out"),
        crop_size=32,
        **{**TINY, **TINY_NETWORKS},
    )
    assert "error: crop_size is 32, but crops are made joint by joint" in message
    assert "Traceback" not in message
