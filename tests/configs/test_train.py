from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.joint import MCP
from bundle.networks.transunet import TransUNet
from bundle.physics.radiograph import reconstruct
from bundle.separation.heads import SigmoidHead
from bundle.separation.pseudo_overlap import compose_published
from bundle.workflow.checkpoints import checkpoints
from monai.bundle import ConfigParser, create_workflow
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

SPACING = MCP.spacing_mm

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

EPOCHS = 4
TINY: dict[str, Any] = {
    "phantoms": 10,
    "image_size": 64,
    "batch_size": 2,
    "stage1_epochs": 2,
    "stage2_epochs": 2,
    "early_epochs": 1,
    "backbone_options": {"features": [8] * 6},
    "adversary_options": {"features": [8] * 6},
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


@pytest.fixture(scope="module")
def whole(commands: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    result = command(commands, folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.long
def test_a_training_keeps_its_two_newest_checkpoints_with_all_that_it_needs(whole: Path) -> None:
    assert [epoch for epoch, _ in checkpoints(whole / "checkpoints")] == [EPOCHS - 1, EPOCHS]
    assert len(list((whole / "checkpoints").iterdir())) == 2
    _, state = newest(whole)
    kinds = {f"{name}{kind}" for name in NETWORKS for kind in ("", "_optimizer", "_schedule")}
    assert set(state) == kinds | {"average", "best", "settings", "trainer"}
    assert state["trainer"]["epochs_before"] == 2


@pytest.mark.long
def test_a_training_learns_in_every_network(whole: Path, bundle: Any, tmp_path: Path) -> None:
    start = built(bundle, tmp_path / "out")
    _, state = newest(whole)
    for name in NETWORKS:
        before = start.get_parsed_content(f"{name}#network").state_dict()
        assert not equal(before, state[name])


def test_a_training_ends_with_the_generator_that_inference_reads(whole: Path) -> None:
    inference = ConfigParser()
    inference.read_config(str(Path(__file__).parents[2] / "configs" / "inference.json"))
    inference["backbone_options"] = TINY["backbone_options"]
    network = inference.get_parsed_content("network_def")
    network.load_state_dict(torch.load(whole / "model.pt", weights_only=True))


def test_a_training_shows_a_montage_of_every_evaluation(whole: Path) -> None:
    names = [f"layers_epoch_{epoch:03d}.png" for epoch in range(EPOCHS + 1)]
    assert sorted(path.name for path in (whole / "montages").iterdir()) == names
    for name in names:
        with Image.open(whole / "montages" / name) as picture:
            picture.verify()


@pytest.mark.long
def test_a_training_warns_of_nothing(bundle: Any, tmp_path: Path) -> None:
    """The discriminator's schedule goes on while it is not trained, of which torch would warn."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(bundle, tmp_path / "out", stage1_epochs=1, stage2_epochs=0, phantoms=4)
    messages = [str(warning.message) for warning in caught]
    assert not [message for message in messages if not message.startswith("parsing config_file")]


def test_tensorboard_gets_losses_of_every_step_and_metrics_of_every_epoch(whole: Path) -> None:
    found = scalars(whole)
    losses = {"loss", "reconstruction", "supervision", "discrimination", "layers", "supervisor", "discriminator"}
    metrics = {"bone_rmse_overlap", "bone_rmse", "soft_rmse", "mse", "psnr", "ssim"}
    assert losses | metrics <= set(found)
    assert {epoch for epoch, _ in found["psnr"]} == set(range(EPOCHS + 1))
    assert min(value for _, value in found["psnr"]) > 90.0
    assert len(found["discriminator"]) == len(found["supervisor"]) < len(found["loss"])


def until(process: subprocess.Popen[str], file: Path) -> None:
    """Wait for a file that a training writes."""
    while not file.exists():
        if process.poll() is not None:
            pytest.fail(f"the training ended before it wrote {file.name}: {process.communicate()[1]}")
        time.sleep(0.01)


def kill_after(bundle: Any, folder: Path, epoch: int, **options: Any) -> None:
    """Kill a training in the epoch after `epoch`."""
    process = bundle.start("training", "train.yaml", output_dir=str(folder), **TINY, **options)
    until(process, folder / "checkpoints" / f"checkpoint_epoch={epoch}.pt")
    time.sleep(0.1)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert newest(folder)[0] < EPOCHS


@pytest.mark.long
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 0), (signal.SIGTERM, 2)])
def test_a_training_that_is_stopped_ends_in_a_line_and_goes_on(
    commands: Any, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    folder = tmp_path / "out"
    process = commands.start("training", "train.yaml", output_dir=str(folder), **TINY, num_workers=workers)
    until(process, folder / "checkpoints" / "checkpoint_epoch=1.pt")
    process.send_signal(number)
    _, stderr = process.communicate()
    assert process.returncode == 128 + number
    assert stderr.count("stopped: ") == 1
    assert stderr.endswith(f"results so far are in {folder}; run the command again with --resume true to resume\n")
    assert "Traceback" not in stderr
    assert not [path for path in folder.rglob("*") if path.suffix in (".part", ".lock")]
    assert command(commands, folder, resume="true", num_workers=workers).returncode == 0
    assert newest(folder)[0] == EPOCHS


def limit_files() -> None:
    """No file above 400 kB: a checkpoint is larger, the other files of a training are smaller."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))


@pytest.mark.long
def test_a_training_killed_in_both_stages_and_stopped_by_a_full_disk_ends_with_the_same_weights(
    whole: Path, commands: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    kill_after(commands, folder, 1)
    full = command(commands, folder, resume="true", preexec_fn=limit_files)
    assert full.returncode == 1
    assert re.search(r"error: .*checkpoint_epoch=\d+\.pt could not be written", full.stderr)
    assert "Choose another output folder" in full.stderr
    assert "Traceback" not in full.stderr
    kill_after(commands, folder, 3, resume="true")
    last = command(commands, folder, resume="true")
    assert last.returncode == 0, last.stderr
    assert equal(newest(whole), newest(folder))
    generators = [torch.load(path / "model.pt", weights_only=True) for path in (whole, folder)]
    assert equal(*generators)
    assert len(list((folder / "checkpoints").iterdir())) == 2


@pytest.mark.long
def test_one_seed_gives_one_training_and_another_another(whole: Path, bundle: Any, tmp_path: Path) -> None:
    train(bundle, tmp_path / "same")
    assert scalars(tmp_path / "same") == scalars(whole)
    assert equal(newest(whole), newest(tmp_path / "same"))
    train(bundle, tmp_path / "other", seed=1, stage1_epochs=1, stage2_epochs=0)
    assert not equal(newest(whole)[1]["generator"], newest(tmp_path / "other")[1]["generator"])


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


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.long
def test_a_folder_with_a_training_is_refused_by_the_command_line_and_left_as_it_is(whole: Path, commands: Any) -> None:
    before = contents(whole)
    result = command(commands, whole)
    assert result.returncode == 1
    assert f"error: {whole} contains the checkpoints of a training. " in result.stderr
    assert "--resume true" in result.stderr
    assert "Traceback" not in result.stderr
    assert contents(whole) == before


CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 7}, "seed was 0 and is 7"),
    "rate": ({"generator_lr": 0.1}, "generator_lr was 0.003 and is 0.1"),
    "nested": ({"stage1_loss#supervision": 0.5}, "stage1_loss#supervision was 0.005 and is 0.5"),
    "joints": ({"phantoms": 7}, f"phantoms was {TINY['phantoms']} and is 7"),
    "batch size": ({"batch_size": 3}, f"batch_size was {TINY['batch_size']} and is 3"),
    "width": ({"backbone_options": {"features": [4] * 6}}, "backbone_options#features#0 was"),
    "stages": ({"stage1_epochs": 1, "stage2_epochs": 9}, "stage1_epochs was 2 and is 1"),
    "switch": ({"use_motion": "false"}, "use_motion was True and is False"),
}


@pytest.mark.parametrize(("options", "reason"), CHANGED.values(), ids=list(CHANGED))
@pytest.mark.long
def test_resuming_with_other_settings_is_refused_by_their_names(
    whole: Path, bundle: Any, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    before = contents(folder / "checkpoints")
    settings = {**TINY, "stage2_epochs": 5, **options}
    message = bundle.refusal("training", "train.yaml", output_dir=str(folder), resume="true", **settings)
    assert message.startswith(f"error: {folder}/checkpoints/checkpoint_epoch={EPOCHS}.pt: ")
    assert message.count("\n") == 1
    assert reason in message
    assert "Resume with its settings, or train into another --output_dir" in message
    assert contents(folder / "checkpoints") == before


@pytest.mark.long
def test_a_finished_training_can_be_made_longer(whole: Path, bundle: Any, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "out")
    train(bundle, tmp_path / "out", resume="true", stage2_epochs=3, num_workers=1, log_interval=3, minutes=9)
    assert newest(tmp_path / "out")[0] == EPOCHS + 1


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


def validations(folder: Path) -> list[float]:
    record = json.loads((folder / "training.json").read_text())
    return [entry["bone_rmse_overlap"] for entry in record["validations"]]


SHORT = {"stage1_epochs": 1, "stage2_epochs": 0, "phantoms": 6}


@pytest.mark.parametrize(("file", "players"), [("model.pt", 1), ("checkpoints/checkpoint_epoch=4.pt", 3)])
@pytest.mark.long
def test_a_training_starts_from_the_weights_that_it_is_given_and_says_so(
    whole: Path, bundle: Any, tmp_path: Path, file: str, players: int
) -> None:
    given, out = whole / file, tmp_path / "out"
    options = {**SHORT, "generator_lr": 0.0, "supervisor_lr": 0.0, "discriminator_lr": 0.0, "weight_decay": 0.0}
    train(bundle, out, weights=str(given), **options)
    held = torch.load(given, weights_only=True)
    found = newest(out)[1]
    start = (
        {"generator": held}
        if players == 1
        else {name: held[name] for name in NETWORKS} | {"generator": held["average"]}
    )
    assert len(start) == players
    assert all(equal(dict(found[name]), dict(state)) for name, state in start.items())
    assert json.loads((out / "training.json").read_text())["started_from"].startswith(f"{given.name} (sha256 ")
    train(bundle, tmp_path / "chance", **options)
    assert validations(out)[0] == validations(out)[1] < validations(tmp_path / "chance")[0]
    assert json.loads((tmp_path / "chance" / "training.json").read_text())["started_from"] == "chance"


@pytest.mark.long
@pytest.mark.parametrize("content", [None, b"no weights", {"generator": {"a": 1}}, [1]])
def test_weights_that_a_training_cannot_start_from_are_refused(bundle: Any, tmp_path: Path, content: Any) -> None:
    path = tmp_path / "mine.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    options = {**TINY, **SHORT, "weights": str(path), "output_dir": str(tmp_path / "out")}
    message = bundle.refusal("training", "train.yaml", **options)
    assert message.startswith(f"error: {path}: ") and "the weights of this generator" in message
    assert message.count("\n") == 1 and not list((tmp_path / "out").rglob("*.pt"))
