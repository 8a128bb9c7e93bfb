"""Trainings of the published methods: LSN and BLS-GAN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.joint import MCP
from bundle.networks.transunet import TransUNet
from bundle.separation.heads import SigmoidHead
from bundle.separation.pseudo_overlap import compose_published
from monai.bundle import ConfigParser
from tests.configs.trainings import NETWORKS, TINY, newest, scalars, train

SPACING = MCP.spacing_mm

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

PAPER_TINY = {
    "backbone_options": {
        "img_size": 64,
        "encoder_channels": [8, 8, 8, 8],
        "hidden_size": 8,
        "num_heads": 2,
        "mlp_dim": 8,
        "num_blocks": 1,
        "bridge_channels": 8,
        "decoder_channels": [8, 8, 8, 8],
    },
    "adversary_options": {"channels": [4, 8], "strides": [2]},
    "phantoms": 6,
    "stage1_epochs": 1,
    "stage2_epochs": 1,
    "early_epochs": 0,
}


@pytest.mark.long
def test_the_papers_overlay_trains_with_its_head_and_its_pseudo_images(bundle: Any, tmp_path: Path) -> None:
    parser = train(bundle, tmp_path / "out", "variants/lsn_paper.yaml", **PAPER_TINY).parser
    network = parser.get_parsed_content("generator#network")
    assert isinstance(network.head, SigmoidHead)
    assert isinstance(parser.get_parsed_content("network_def#backbone"), TransUNet)
    for stage in ("stage1", "train"):
        closure, *_ = parser.get_parsed_content(f"{stage}#dataset").transform.transforms
        assert closure.closure.maker is compose_published
    assert newest(tmp_path / "out")[0] == 2
    found = scalars(tmp_path / "out")
    for part in ("reconstruction", "supervision", "discrimination"):
        assert found[part]


def test_the_papers_overlay_holds_the_papers_settings(bundle: Any) -> None:
    parser = ConfigParser()
    parser.read_config([str(bundle.root / "configs" / name) for name in ("train.yaml", "variants/lsn_paper.yaml")])
    expected = {
        "stage1_epochs": 300,
        "stage2_epochs": 100,
        "early_epochs": 200,
        "batch_size": 12,
        "image_size": 256,
        "halve_lr_every": 100,
        "generator_lr": 1e-4,
        "supervisor_lr": 1e-4,
        "discriminator_lr": 5e-4,
        "weight_decay": 0.01,
        "backbone": "TransUNet",
        "reduction": 1,
        "adversary_reduction": 1,
        "motions": 2,
    }
    assert {key: parser[key] for key in expected} == expected
    weights = {name: parser.get_parsed_content(name).weights for name in ("early_loss", "stage1_loss", "stage2_loss")}
    parts = ("reconstruction", "supervision", "discrimination", "layers")
    assert weights["early_loss"] == dict(zip(parts, (1.0, 0.4, 0.0, 0.4), strict=True))
    assert weights["stage1_loss"] == dict(zip(parts, (0.5, 0.2, 0.2, 0.1), strict=True))
    assert weights["stage2_loss"] == dict(zip(parts, (0.6, 0.3, 0.1, 0.0), strict=True))
    motion = parser.get_parsed_content("motion")
    assert (motion.x_mm, motion.y_mm, motion.rotation_deg) == pytest.approx((20 * SPACING, 30 * SPACING, 10.0))
    for name in NETWORKS:
        optimizer = parser[f"{name}#optimizer"]
        assert optimizer["_target_"] == "torch.optim.AdamW"
        assert optimizer["betas"] == [0.5, 0.999]
        assert optimizer["amsgrad"] is True


BLS_GAN = ("variants/bls_gan_network.yaml", "variants/bls_gan.yaml")
BLS_GAN_TINY = {
    "backbone": "BasicUNet",
    "backbone_options": TINY["backbone_options"],
    "correction_width": 2,
    "adversary_options": PAPER_TINY["adversary_options"],
    "phantoms": 6,
    "stage1_epochs": 1,
    "stage2_epochs": 1,
    "val_interval": 1,
}


@pytest.mark.long
def test_the_predecessors_overlay_trains_and_its_layers_are_evaluated(bundle: Any, tmp_path: Path) -> None:
    parser = train(bundle, tmp_path / "out", *BLS_GAN, **BLS_GAN_TINY).parser
    losses = [parser.get_parsed_content(name).weights for name in ("stage1_loss", "stage2_loss")]
    assert [tuple(weights.values()) for weights in losses] == [(0.3, 0.3, 0.0, 0.4), (0.3, 0.7, 0.0, 0.0)]
    epoch, state = newest(tmp_path / "out")
    assert epoch == 2
    assert state["generator_optimizer"]["param_groups"][0]["lr"] == pytest.approx(1e-8)
    found = scalars(tmp_path / "out")
    assert found["supervision"] and found["reconstruction"]
    assert len(found["layers"]) == len(found["supervisor"]) < len(found["loss"])
    inference = ConfigParser()
    inference.read_config([str(bundle.root / "configs" / name) for name in ("inference.json", BLS_GAN[0])])
    for key in ("backbone", "backbone_options", "correction_width"):
        inference[key] = BLS_GAN_TINY[key]
    network = inference.get_parsed_content("network").eval()
    network.load_state_dict(torch.load(tmp_path / "out" / "model.pt", weights_only=True))
    joint = parser.get_parsed_content("validate#dataset")[0]["image"][None]
    layers = network(joint)
    assert layers.shape == joint.shape
    assert layers[:, 1:].amin() == 0 and 0 < layers.amax() <= 1
