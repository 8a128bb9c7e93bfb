"""Trainings with other settings than the default ones: losses, networks, joints."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.physics.radiograph import reconstruct
from bundle.separation.heads import SigmoidHead
from tests.configs.trainings import NETWORKS, TINY, built, equal, newest, train

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")


@pytest.mark.long
def test_a_training_warns_of_nothing(bundle: Any, tmp_path: Path) -> None:
    """The discriminator's schedule goes on while it is not trained, of which torch would warn."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(bundle, tmp_path / "out", stage1_epochs=1, stage2_epochs=0, phantoms=4)
    messages = [str(warning.message) for warning in caught]
    assert not [message for message in messages if not message.startswith("parsing config_file")]


@pytest.mark.long
def test_trainings_with_workers_are_reproducible(bundle: Any, tmp_path: Path) -> None:
    states = []
    for name in ("one", "two"):
        train(bundle, tmp_path / name, num_workers=2, stage1_epochs=1, stage2_epochs=0, phantoms=6)
        states.append(newest(tmp_path / name))
    assert equal(*states)


@pytest.mark.long
def test_an_averaged_generator_is_kept_in_the_networks_place_and_resumed_to_the_bit(
    bundle: Any, tmp_path: Path
) -> None:
    options = {"average_momentum": 0.2, "stage1_epochs": 1, "phantoms": 4, "generator_schedule#T_max": 9}
    train(bundle, tmp_path / "whole", stage2_epochs=1, **options)
    train(bundle, tmp_path / "halves", stage2_epochs=0, **options)
    train(bundle, tmp_path / "halves", stage2_epochs=1, resume="true", **options)
    whole, halves = newest(tmp_path / "whole"), newest(tmp_path / "halves")
    assert equal(whole, halves)
    assert not equal(whole[1]["average"], whole[1]["generator"])
    kept = [torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "halves")]
    assert equal(*kept)
    assert kept[0].keys() == whole[1]["generator"].keys()


@pytest.mark.long
def test_joints_are_augmented_and_cropped_for_training_and_whole_for_validation(bundle: Any, tmp_path: Path) -> None:
    augmentation = {
        "_target_": "bundle.separation.transforms.RandAugmentLayersd",
        "mirror": 0.5,
        "contrast": 0.2,
        "noise": 0.01,
    }
    options = {"augmentation": augmentation, "crop_size": 48, "stage1_epochs": 1, "stage2_epochs": 1, "phantoms": 4}
    parser = train(bundle, tmp_path / "out", **options).parser
    for stage in ("stage1", "train"):
        sample = parser.get_parsed_content(f"{stage}#dataset")[0]
        assert sample["image"].shape == sample["label"].shape == sample["source"].shape == (3, 48, 48)
        assert json.loads(sample["augmentation"])["noise"] > 0.0
        torch.testing.assert_close(reconstruct(sample["label"]), sample["image"][:1], atol=1e-5, rtol=0)
    assert parser.get_parsed_content("validate#dataset")[0]["image"].shape == (
        3,
        TINY["image_size"],
        TINY["image_size"],
    )
    assert newest(tmp_path / "out")[0] == 2


@pytest.mark.long
def test_other_losses_are_named_in_the_configuration(bundle: Any, tmp_path: Path) -> None:
    losses = {
        "fidelity": {"_target_": "bundle.separation.LayerDistance", "gradient": 0.5, "both": 2.0},
        "discrimination": {"_target_": "bundle.separation.HingeDiscrimination", "margin": 0.0},
        "discriminator_loss": {"_target_": "bundle.separation.HingeDiscriminatorLoss"},
    }
    parser = train(bundle, tmp_path / "out", stage1_epochs=0, stage2_epochs=1, phantoms=4, **losses).parser
    trainer = parser.get_parsed_content("train#trainer")
    for name, loss in losses.items():
        assert (
            type(getattr(trainer.objective, name.removesuffix("_loss"))).__name__
            == str(loss["_target_"]).rsplit(".", 1)[1]
        )
    assert newest(tmp_path / "out")[0] == 1


@pytest.mark.long
@pytest.mark.parametrize("backbone", ["AttentionUnet", "UNet"])
def test_head_and_backbone_are_switched_by_options(bundle: Any, tmp_path: Path, backbone: str) -> None:
    parser = train(
        bundle,
        tmp_path / "out",
        backbone=backbone,
        backbone_options={"channels": [4, 8], "strides": [2]},
        head={"_target_": "bundle.separation.SigmoidHead"},
        stage1_epochs=0,
        stage2_epochs=1,
        phantoms=4,
    ).parser
    network = parser.get_parsed_content("generator#network")
    assert isinstance(network.head, SigmoidHead)
    assert type(parser.get_parsed_content("network_def#backbone")).__name__ == backbone
    assert newest(tmp_path / "out")[0] == 1


@pytest.mark.parametrize(
    ("switch", "trained"),
    [
        ({"use_supervisor": "false"}, {"generator", "discriminator"}),
        ({"use_discriminator": "false"}, {"generator", "supervisor"}),
        ({"use_motion": "false"}, set(NETWORKS)),
    ],
    ids=["no supervisor", "no discriminator", "no motion"],
)
@pytest.mark.long
def test_an_ablation_leaves_its_network_as_built(
    bundle: Any, tmp_path: Path, switch: dict[str, str], trained: set[str]
) -> None:
    """Stage 1 is switched off too."""
    start = built(bundle, tmp_path / "start", phantoms=4)
    before = {name: start.get_parsed_content(f"{name}#network").state_dict() for name in NETWORKS}
    train(bundle, tmp_path / "out", stage1_epochs=0, stage2_epochs=1, phantoms=4, **switch)
    _, state = newest(tmp_path / "out")
    assert {name for name in NETWORKS if not equal(before[name], state[name])} == trained


@pytest.mark.long
def test_mixed_precision_trains(bundle: Any, tmp_path: Path) -> None:
    train(bundle, tmp_path / "out", amp="true", stage1_epochs=0, stage2_epochs=1, phantoms=4)
    _, state = newest(tmp_path / "out")
    assert all(value.isfinite().all() for value in state["generator"].values())


@pytest.mark.long
def test_real_joints_are_trained_on_and_validated_by_joint(bundle: Any, data: Path, tmp_path: Path) -> None:
    options = {"dataset_dir": str(data), "datalist": "LS_K1_all_test", "stage1_epochs": 1, "stage2_epochs": 1}
    parser = train(bundle, tmp_path / "out", **options).parser
    joints = parser.get_parsed_content("train#joints").data, parser.get_parsed_content("validate#dataset").data
    names = [{joint["joint"] for joint in side} for side in joints]
    assert len(names[0]) == 4
    assert len(names[1]) == 1
    assert not names[0] & names[1]
    assert newest(tmp_path / "out")[0] == 2


@pytest.mark.slow
def test_joints_that_all_overlap_train_without_stage_1(bundle: Any, data: Path, tmp_path: Path) -> None:
    """Their true layers are not known, so the newest generator is kept."""
    entries = json.loads((data / "LS_K1_all_test").read_text())
    twice = [entries[-1], {**entries[-1], "joint": "again"}]
    (data / "overlap").write_text(json.dumps(twice))
    options = {"dataset_dir": str(data), "datalist": "overlap", "stage1_epochs": 0, "stage2_epochs": 1}
    train(bundle, tmp_path / "out", **options)
    epoch, state = newest(tmp_path / "out")
    assert epoch == 1
    assert equal(state["average"], torch.load(tmp_path / "out" / "model.pt", weights_only=True))
