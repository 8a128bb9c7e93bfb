"""Checkpoints: the newest are kept, and a training resumes from them to the same weights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.workflow.checkpoints import RUN, TrainingCheckpointSaver, checkpoints, newest_checkpoint, reserve_training
from ignite.engine import Engine, Events
from tests.workflow.stages import Stage, names, things, train, weight


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
