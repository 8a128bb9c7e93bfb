"""A whole training: what it leaves, and trainings that resume it, repeat it or start from its weights."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.workflow.checkpoints import checkpoints
from monai.bundle import ConfigParser
from PIL import Image
from tests.configs.trainings import EPOCHS, NETWORKS, TINY, built, command, equal, newest, scalars, train

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")


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
