from __future__ import annotations

import errno
import hashlib
import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.separation.generator import Generator
from bundle.separation.heads import PartitionHead, SigmoidHead
from bundle.workflow.checkpoints import (
    RUN,
    TrainingCheckpointLoader,
    TrainingCheckpointSaver,
    checkpoints,
    newest_checkpoint,
    reserve_training,
)
from bundle.workflow.run_settings import RunSettings
from bundle.workflow.weights import BestWeightsSaver, FinalWeightsSaver, GeneratorWeights, NetworkWeights
from ignite.engine import Engine, Events
from monai.data import DataLoader
from torch import nn

STEPS = 3


class Stage:
    """A stage as the handlers see it: an engine that counts epochs over both stages and learns one network."""

    def __init__(self, state: dict[str, Any], last: int, before: int = 0, steps: int = STEPS) -> None:
        self.state = state
        self.engine = Engine(self._step)
        self.engine.logger.setLevel(logging.ERROR)
        self.engine.state.epochs_before = before
        self.engine.state.max_epochs = last
        self.engine.state.epoch = before
        self.engine.state.epoch_length = steps
        self.engine.state.iteration = before * steps
        self.engine.state_dict_user_keys.append("epochs_before")
        self.epochs: list[int] = []
        self.engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: self.epochs.append(engine.state.epoch))

    def _step(self, engine: Engine, batch: Any) -> None:
        self.state["optimizer"].zero_grad()
        self.state["generator"](torch.ones(1, 2)).sum().backward()
        self.state["optimizer"].step()

    def run(self) -> list[int]:
        """Run the epochs that are left; their numbers."""
        if self.engine.state.epoch < (self.engine.state.max_epochs or 0):
            self.engine.run(DataLoader([torch.zeros(1)] * (self.engine.state.epoch_length or 0), batch_size=1))
        return self.epochs


def things(width: int = 2) -> dict[str, Any]:
    torch.manual_seed(0)
    generator = nn.Linear(2, width)
    optimizer = torch.optim.AdamW(generator.parameters(), lr=0.1)
    return {"generator": generator, "optimizer": optimizer}


def train(folder: Path, first: int, last: int, state: dict[str, Any] | None = None, **options: Any) -> list[list[int]]:
    """Both stages with saver and loader, as the configuration attaches them: the epochs run in each."""
    state = things() if state is None else state
    saver, loader = TrainingCheckpointSaver(str(folder), state), TrainingCheckpointLoader(str(folder), state)
    stages = [Stage(state, first, **options), Stage(state, last, before=first, **options)]
    for stage in stages:
        loader.attach(stage.engine)
        saver.attach(stage.engine)
    return [stage.run() for stage in stages]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def weight(state: dict[str, Any]) -> torch.Tensor:
    return state["generator"].weight.detach().clone()


def test_the_two_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    assert train(tmp_path, 2, 5) == [[1, 2], [3, 4, 5]]
    assert names(tmp_path) == ["checkpoint_epoch=4.pt", "checkpoint_epoch=5.pt"]


def test_checkpoints_of_the_run_before_are_not_kept_beyond_the_two_newest(tmp_path: Path) -> None:
    train(tmp_path, 2, 3)
    assert train(tmp_path, 2, 5) == [[], [4, 5]]
    assert names(tmp_path) == ["checkpoint_epoch=4.pt", "checkpoint_epoch=5.pt"]


def test_the_newest_checkpoint_is_that_of_the_highest_epoch(tmp_path: Path) -> None:
    for name in ("checkpoint_epoch=9.pt", "checkpoint_epoch=10.pt", "model.pt", ".checkpoint_epoch=11.pt.7.part"):
        (tmp_path / name).touch()
    assert [epoch for epoch, _ in checkpoints(tmp_path)] == [9, 10]
    assert newest_checkpoint(tmp_path) == (10, tmp_path / "checkpoint_epoch=10.pt")
    assert newest_checkpoint(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("interrupted", "resumed"),
    [(1, [[2], [3, 4]]), (2, [[], [3, 4]]), (3, [[], [4]]), (4, [[], []])],
    ids=["in stage 1", "between the stages", "in stage 2", "at the end"],
)
def test_a_resumed_training_does_what_is_left_and_ends_with_the_same_weights(
    tmp_path: Path, interrupted: int, resumed: list[list[int]]
) -> None:
    whole, part, rest = things(), things(), things()
    train(tmp_path / "whole", 2, 4, whole)
    interrupt(tmp_path / "part", interrupted, part)
    with torch.no_grad():
        rest["generator"].weight.zero_()
    assert train(tmp_path / "part", 2, 4, rest) == resumed
    assert torch.equal(weight(whole), weight(rest))


def interrupt(folder: Path, epoch: int, state: dict[str, Any]) -> None:
    """Stages of two epochs each, interrupted after the checkpoint of `epoch`."""
    saver = TrainingCheckpointSaver(str(folder), state)
    for first, last in ((0, 2), (2, 4)):
        stage = Stage(state, last, before=first)
        saver.attach(stage.engine)
        stage.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: stop_at(engine, epoch))
        if first < epoch:
            stage.run()


def stop_at(engine: Engine, epoch: int) -> None:
    if engine.state.epoch == epoch:
        engine.terminate()


def test_a_training_without_checkpoints_starts_from_its_beginning(tmp_path: Path) -> None:
    assert train(tmp_path / "absent", 1, 2) == [[1], [2]]


def misfit(folder: Path, remedy: str = "its settings", **options: Any) -> str:
    with pytest.raises(InputError) as raised:
        train(folder, options.pop("first", 2), options.pop("last", 3), **options)
    message = str(raised.value)
    assert message.startswith(f"{folder}/checkpoint_epoch=")
    assert "does not fit this configuration (" in message
    assert f"Resume with {remedy}, or train into another" in message
    return message


def test_a_checkpoint_of_other_settings_is_refused_with_its_name_and_the_reason(tmp_path: Path) -> None:
    train(tmp_path, 2, 3)
    assert "size mismatch" in misfit(tmp_path, state=things(width=5))
    fault = f"its stage began after epoch 2 with {STEPS} steps per epoch, not after epoch 2 with 7"
    assert fault in misfit(tmp_path, steps=7)
    assert "began after epoch 2" in misfit(tmp_path, first=1, last=4)
    assert "began after epoch 2" in misfit(tmp_path, first=3, last=4)
    assert "not found" in misfit(tmp_path, state={**things(), "more": nn.Linear(1, 1)})
    assert names(tmp_path) == ["checkpoint_epoch=2.pt", "checkpoint_epoch=3.pt"]


def flipped(content: bytes, place: float) -> bytes:
    at = int(place * (len(content) - 1))
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "garbage": lambda content: b"no checkpoint",
    "cut": lambda content: content[:-300],
    "longer": lambda content: content + b"x",
    **{f"flipped at {place}": partial(flipped, place=place) for place in (0.0, 0.01, 0.3, 0.5, 0.7, 0.95, 1.0)},
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_in_place_of_a_damaged_checkpoint_the_one_before_it_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    whole, rest = things(), things()
    train(tmp_path / "whole", 2, 4, whole)
    train(tmp_path, 2, 4)
    path = tmp_path / "checkpoint_epoch=4.pt"
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert train(tmp_path, 2, 4, rest) == [[], [4]]
    assert f"{path}: it is damaged" in caplog.text
    assert "Resuming from checkpoint_epoch=3.pt" in caplog.text
    assert torch.equal(weight(whole), weight(rest))


def test_where_all_checkpoints_are_damaged_they_are_named_and_left(tmp_path: Path) -> None:
    train(tmp_path, 2, 3)
    for path in tmp_path.iterdir():
        path.write_bytes(flipped(path.read_bytes(), 0.5))
    with pytest.raises(InputError, match=r"epoch=3\.pt: .*epoch=2\.pt: it is damaged.*\. Delete these checkpoints"):
        train(tmp_path, 2, 3)
    assert names(tmp_path) == ["checkpoint_epoch=2.pt", "checkpoint_epoch=3.pt"]


def test_whole_files_that_are_no_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    for content in ([1, 2], {"generator": 3}, nn.Linear(1, 1)):
        torch.save(content, tmp_path / "checkpoint_epoch=3.pt")
        with pytest.raises(InputError, match=rf"^{tmp_path}/checkpoint_epoch=3\.pt: (no|the) checkpoint"):
            train(tmp_path, 2, 3)


def unsealed(path: Path) -> None:
    """A checkpoint as it was written before there were checksums and settings."""
    torch.save(torch.load(path, weights_only=True), path)


def test_a_checkpoint_without_checksum_and_settings_is_taken_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, 2, 3)
    path = tmp_path / "checkpoint_epoch=3.pt"
    unsealed(path)
    state = {**things(), "settings": RunSettings([])}
    with caplog.at_level(logging.WARNING):
        assert train(tmp_path, 2, 4, state) == [[], [4]]
    assert f"{path}: the checkpoint contains no settings, so they are not compared" in caplog.text


def test_a_damaged_checkpoint_without_a_checksum_is_found_by_those_of_its_archive(tmp_path: Path) -> None:
    train(tmp_path, 2, 3)
    path = tmp_path / "checkpoint_epoch=3.pt"
    unsealed(path)
    content = path.read_bytes()
    at = content.index(weight_bytes(path))
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert train(tmp_path, 2, 3) == [[], [3]]


def weight_bytes(path: Path) -> bytes:
    return bytes(torch.load(path, weights_only=True)["generator"]["weight"].numpy().tobytes())


def test_a_setting_that_changed_is_refused_by_its_name_with_both_values(tmp_path: Path) -> None:
    settings = RunSettings([])
    settings.values = {"seed": 0, "lr": 0.1}
    train(tmp_path, 2, 3, {**things(), "settings": settings})
    settings.values = {"seed": 1, "lr": 0.1}
    state = things()
    before = weight(state)
    message = misfit(tmp_path, state={**state, "settings": settings})
    assert "(seed was 0 and is 1)" in message and "lr" not in message
    assert torch.equal(weight(state), before)
    settings.values = {"seed": 0, "lr": 0.1}
    assert train(tmp_path, 2, 4, {**things(), "settings": settings}) == [[], [4]]


def test_a_checkpoint_with_former_names_is_resumed_by_the_version_that_wrote_it(tmp_path: Path) -> None:
    settings = RunSettings([])
    settings.values = {"rotation": 0.1}
    train(tmp_path, 2, 3, {**things(), "settings": settings})
    settings.values = {"rotation_rad": 0.1}
    message = misfit(tmp_path, "that version", state={**things(), "settings": settings})
    assert "(it is of an earlier version: rotation is now rotation_rad)" in message


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`full_disk(n)`: the disk is full when the n-th file from now on is half written."""
    save, left = torch.save, [0]

    def limited(state: Any, file: Any, **options: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            save(state, file, **options)
            return
        file.write(b"half a checkpoint")
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(files: int) -> None:
        left[0] = files
        monkeypatch.setattr(torch, "save", limited)

    return fill


def test_a_full_disk_is_reported_and_leaves_the_checkpoints_before_whole(
    tmp_path: Path, full_disk: Callable[[int], None]
) -> None:
    state = things()
    full_disk(2)
    with pytest.raises(InputError, match=r"epoch=3\.pt could not be written .*: the disk is full\. Free space"):
        train(tmp_path, 2, 4, state)
    assert names(tmp_path) == ["checkpoint_epoch=1.pt", "checkpoint_epoch=2.pt"]
    full_disk(99)
    rest, whole = things(), things()
    assert train(tmp_path, 2, 4, rest) == [[], [3, 4]]
    train(tmp_path / "whole", 2, 4, whole)
    assert torch.equal(weight(whole), weight(rest))


def evaluator(values: list[float]) -> Engine:
    """An evaluator whose key metric takes these values, one an evaluation."""
    engine = Engine(lambda engine, batch: None)
    engine.logger.setLevel(logging.ERROR)
    engine.state.key_metric_name = "error"

    def measure(engine: Engine) -> None:
        engine.state.metrics["error"] = values.pop(0)

    engine.add_event_handler(Events.EPOCH_COMPLETED, measure)
    return engine


def evaluate(engine: Engine, network: nn.Linear, number: float) -> None:
    """An evaluation of the network with `number` as its weights."""
    nn.init.constant_(network.weight, number)
    engine.run([0], max_epochs=1)


def saved(folder: Path) -> float:
    network = nn.Linear(2, 1)
    network.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    return network.weight[0, 0].item()


def best_of(folder: Path, values: list[float], saver: BestWeightsSaver | None = None) -> list[float]:
    """The network in `model.pt` after each evaluation: its number counts them."""
    network = nn.Linear(2, 1)
    made = BestWeightsSaver(str(folder), network)
    if saver is not None:
        made.load_state_dict(saver.state_dict())
    engine = evaluator(list(values))
    made.attach(engine)
    kept = []
    for index in range(len(values)):
        evaluate(engine, network, float(index))
        kept.append(saved(folder))
    return kept


def test_the_generator_of_the_lowest_error_is_kept(tmp_path: Path) -> None:
    assert best_of(tmp_path, [0.5, 0.3, 0.4, 0.3, 0.2]) == [0, 1, 1, 1, 4]
    assert names(tmp_path) == ["model.pt"]


def test_a_diverged_generator_is_not_kept(tmp_path: Path) -> None:
    assert best_of(tmp_path, [0.5, float("inf")]) == [0, 0]


def test_the_newest_generator_is_kept_where_the_error_is_not_defined(tmp_path: Path) -> None:
    assert best_of(tmp_path, [float("nan")] * 3) == [0, 1, 2]


def test_a_resumed_training_does_not_overwrite_a_better_generator(tmp_path: Path) -> None:
    network = nn.Linear(2, 1)
    saver = BestWeightsSaver(str(tmp_path), network)
    engine = evaluator([0.1])
    saver.attach(engine)
    evaluate(engine, network, 7.0)
    assert best_of(tmp_path, [0.2, 0.05], saver) == [7, 1]


def test_a_full_disk_leaves_the_best_generator_whole(tmp_path: Path, full_disk: Callable[[int], None]) -> None:
    network = nn.Linear(2, 1)
    engine = evaluator([0.2, 0.1])
    BestWeightsSaver(str(tmp_path), network).attach(engine)
    evaluate(engine, network, 7.0)
    full_disk(0)
    with pytest.raises(InputError, match=r"model\.pt could not be written .*the disk is full"):
        evaluate(engine, network, 8.0)
    assert saved(tmp_path) == 7.0
    assert names(tmp_path) == ["model.pt"]


def reserve(folder: Path, resume: bool | str = False) -> None:
    reserve_training(str(folder), str(folder / "checkpoints"), resume)


def test_a_folder_with_a_training_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    reserve(tmp_path)
    train(tmp_path / "checkpoints", 1, 1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=rf"{tmp_path} contains the checkpoints of a training\. Pass --resume true"):
        reserve(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    reserve(tmp_path, "true")


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="contains other files"):
        reserve(tmp_path, True)
    assert names(tmp_path) == ["notes.txt"]


def test_resuming_without_a_checkpoint_says_that_it_starts_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        reserve(tmp_path / "new", "True")
    assert "the training starts from the beginning" in caplog.text
    assert RUN in (tmp_path / "new" / "run.json").read_text()


def started(weights: GeneratorWeights) -> None:
    engine = Engine(lambda engine, batch: None)
    weights.attach(engine)
    engine.run([0])


def test_weights_are_loaded_when_the_engine_starts(tmp_path: Path) -> None:
    trained, network = nn.Linear(2, 1), nn.Linear(2, 1)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    weights = GeneratorWeights(str(tmp_path / "model.pt"), network)
    started(weights)
    assert torch.equal(network.weight, trained.weight)


def test_the_source_tells_weights_of_one_name_apart(tmp_path: Path) -> None:
    sources = set()
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        network = nn.Linear(2, 1)
        torch.save(network.state_dict(), tmp_path / folder / "model.pt")
        sources.add(GeneratorWeights(str(tmp_path / folder / "model.pt"), network).source)
    assert len(sources) == 2
    assert all(source.startswith("model.pt (sha256 ") for source in sources)


def weight_free(head: nn.Module) -> Generator:
    return Generator(nn.Conv2d(head.in_channels, head.out_channels, 1), head)


def test_a_generator_without_weights_stays_as_built_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = weight_free(PartitionHead())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = GeneratorWeights(str(tmp_path / "model.pt"), network)
    assert weights.source == "weight-free separator"
    with caplog.at_level(logging.WARNING):
        started(weights)
    assert f"{tmp_path / 'model.pt'}: no such weights file. The weight-free separator is used." in caplog.text
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_generator_that_is_to_have_no_weights_takes_none_and_warns_of_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("none").write_bytes(b"of somebody else")
    weights = GeneratorWeights("model.pt", weight_free(PartitionHead()), chosen="none")
    with caplog.at_level(logging.INFO):
        started(weights)
    assert weights.source == "weight-free separator"
    assert [record.levelname for record in caplog.records if "weight" in record.message] == ["INFO"]


def test_a_chosen_file_takes_the_place_of_the_shipped_one_and_must_be_there(tmp_path: Path) -> None:
    shipped, chosen = tmp_path / "model.pt", tmp_path / "mine.pt"
    for path in (shipped, chosen):
        path.write_bytes(path.name.encode())
    network = nn.Linear(1, 1)
    assert GeneratorWeights(str(shipped), network).source.startswith("model.pt")
    assert GeneratorWeights(str(shipped), network, chosen=str(chosen)).source.startswith("mine.pt")
    assert GeneratorWeights(str(shipped), network, chosen="none").source == "weight-free separator"
    with pytest.raises(InputError, match=r"^typo\.pt: no such weights file\. .* pass none for no weights"):
        GeneratorWeights(str(shipped), network, chosen="typo.pt")


def test_a_generator_that_does_not_separate_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.pt: no such weights file\. Pass a file as --weights"):
        started(GeneratorWeights(str(tmp_path / "model.pt"), weight_free(SigmoidHead())))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "size mismatch for weight"), (b"no weights", "it is damaged, or torch did not write it")],
    ids=["of another network", "garbage"],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(3, 1).state_dict(), path)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path}: not the weights of this generator \(.*{reason}.*--weights"):
        started(GeneratorWeights(str(path), nn.Linear(2, 1)))


def weights_file(folder: Path) -> str:
    torch.save(nn.Linear(2, 1).state_dict(), folder / "model.pt")
    return str(folder / "model.pt")


def metadata_file(folder: Path, **weights: Any) -> str:
    (folder / "metadata.json").write_text(json.dumps({"weights": weights}))
    return str(folder / "metadata.json")


def test_shipped_weights_must_have_the_stated_checksum(tmp_path: Path) -> None:
    path = weights_file(tmp_path)
    content = Path(path).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    metadata = metadata_file(tmp_path, **{"model.pt": {"sha256": found.upper()}})
    started(GeneratorWeights(path, nn.Linear(2, 1), metadata=metadata))
    for damaged in (content[:-100], content[:200] + bytes([content[200] ^ 1]) + content[201:], b""):
        Path(path).write_bytes(damaged)
        with pytest.raises(InputError, match=rf"{path}: not the shipped weights \(sha256 {found[:12]}\): "):
            started(GeneratorWeights(path, nn.Linear(2, 1), metadata=metadata))


def test_chosen_weights_and_weights_without_a_stated_checksum_are_not_compared(tmp_path: Path) -> None:
    path, wrong = weights_file(tmp_path), metadata_file(tmp_path, **{"model.pt": {"sha256": "0" * 64}})
    started(GeneratorWeights("absent.pt", nn.Linear(2, 1), chosen=path, metadata=wrong))
    started(GeneratorWeights(path, nn.Linear(2, 1), metadata=metadata_file(tmp_path)))


def test_shipped_weights_of_a_network_must_have_the_stated_checksum_and_chosen_ones_need_none(tmp_path: Path) -> None:
    path, wrong = weights_file(tmp_path), metadata_file(tmp_path, **{"model.pt": {"sha256": "0" * 64}})
    with pytest.raises(InputError, match=rf"{path}: not the shipped weights \(sha256 000000000000\): "):
        started(NetworkWeights(nn.Linear(2, 1), path, metadata=wrong))
    chosen = NetworkWeights(nn.Linear(2, 1), "absent.pt", chosen=path, metadata=wrong)
    started(chosen)
    assert chosen.source.startswith("model.pt (sha256 ")


@pytest.mark.parametrize("chosen", [False, True])
def test_a_pointer_of_git_lfs_is_named_as_such(tmp_path: Path, chosen: bool) -> None:
    path = tmp_path / "model.pt"
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1504941\n")
    weights = GeneratorWeights("no.pt" if chosen else str(path), nn.Linear(2, 1), chosen=str(path) if chosen else "")
    with pytest.raises(InputError, match=rf"{path}: a Git LFS pointer .*git lfs pull"):
        started(weights)


def test_metadata_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path, metadata = weights_file(tmp_path), metadata_file(tmp_path)
    Path(metadata).write_text("[1]")
    with pytest.raises(InputError, match=rf"{metadata}: not a JSON object with the bundle's metadata"):
        GeneratorWeights(path, nn.Linear(2, 1), metadata=metadata)


@pytest.mark.parametrize(("ended", "saved"), [(0, True), (2, False), (3, True)])
def test_final_weights_are_those_of_a_training_that_is_complete(tmp_path: Path, ended: int, saved: bool) -> None:
    engine, network = Engine(lambda engine, batch: None), nn.Linear(1, 1)
    FinalWeightsSaver(str(tmp_path), network, "last.pt").attach(engine)
    if ended:
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=ended), Engine.terminate)
    engine.run([0], max_epochs=3)
    assert (tmp_path / "last.pt").is_file() == saved
    if saved:
        assert torch.equal(torch.load(tmp_path / "last.pt", weights_only=True)["weight"], network.weight)
