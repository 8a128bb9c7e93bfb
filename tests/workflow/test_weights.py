"""Weights that a run keeps, and weights that it loads."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.separation.generator import Generator
from bundle.separation.heads import PartitionHead, SigmoidHead
from bundle.workflow.weights import BestWeightsSaver, FinalWeightsSaver, GeneratorWeights, NetworkWeights
from ignite.engine import Engine, Events
from tests.workflow.stages import names
from torch import nn


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
