"""The record of a training: a curve that goes on after a stop, and belongs to the weights beside it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.workflow.training_record import RECORD, EpochRecord, TrainingClock, TrainingRecord, training_of
from ignite.engine import Engine, Events


def validate(folder: Path, errors: dict[int, float], record: TrainingRecord | None = None) -> dict[str, Any]:
    """Validations of some epochs with these errors; returns what is in the file then."""
    record = TrainingRecord(str(folder)) if record is None else record
    for epoch, error in errors.items():
        evaluator = Engine(lambda engine, batch: None)
        evaluator.state.metrics = {"bone_rmse_overlap": error}

        def set_epoch(engine: Engine, epoch: int = epoch) -> None:
            engine.state.epoch = epoch

        evaluator.add_event_handler(Events.EPOCH_STARTED, set_epoch)
        record.attach(evaluator)
        evaluator.run([0])
    return dict(json.loads((folder / RECORD).read_text()))


def test_every_validation_is_in_the_record_with_its_time(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    record = validate(tmp_path, {0: 0.2, 2: 0.1}, TrainingRecord(str(tmp_path)))
    assert [(entry["epoch"], entry["bone_rmse_overlap"]) for entry in record["validations"]] == [(0, 0.2), (2, 0.1)]
    first, second = (entry["seconds"] for entry in record["validations"])
    assert 0.0 <= first <= second
    assert record["machine"]["device"] == "cpu"
    assert record["commands"] == ["not started by a command"]


def test_a_resumed_training_replaces_what_is_later_and_goes_on_with_the_clock(tmp_path: Path) -> None:
    record = validate(tmp_path, {0: 0.2, 1: 0.15, 2: 0.1})
    record["validations"][1]["seconds"] = 500.0
    (tmp_path / RECORD).write_text(json.dumps(record))
    resumed = validate(tmp_path, {1: 0.14})
    assert [(entry["epoch"], entry["bone_rmse_overlap"]) for entry in resumed["validations"]] == [(0, 0.2), (1, 0.14)]
    assert resumed["validations"][1]["seconds"] >= 500.0


def test_a_stage_resumes_the_clock_at_its_own_epoch_even_after_a_stage_that_is_complete(tmp_path: Path) -> None:
    record = validate(tmp_path, {0: 0.2, 1: 0.15, 2: 0.1})
    record["validations"][1]["seconds"], record["validations"][2]["seconds"] = 300.0, 500.0
    (tmp_path / RECORD).write_text(json.dumps(record))
    resumed = TrainingRecord(str(tmp_path))
    for epoch in (1, 2):  # the trainers of stage 1, complete, and of stage 2
        trainer = Engine(lambda engine, batch: None)
        trainer.add_event_handler(Events.STARTED, lambda engine, epoch=epoch: setattr(engine.state, "epoch", epoch))
        TrainingClock(resumed).attach(trainer)
        trainer.run([0], max_epochs=epoch)
    after = validate(tmp_path, {3: 0.05}, resumed)["validations"]
    assert after[:3] == record["validations"] and after[3]["seconds"] >= 500.0


def test_a_follower_writes_no_record(tmp_path: Path) -> None:
    evaluator = Engine(lambda engine, batch: None)
    TrainingRecord(str(tmp_path), follower=True).attach(evaluator)
    evaluator.run([0])
    assert not (tmp_path / RECORD).exists()


def test_a_record_is_that_of_the_weights_beside_it_or_none(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    assert training_of(weights) is None
    record = validate(tmp_path, {0: 0.2})
    assert training_of(weights) == record
    weights.write_bytes(b"others")
    assert training_of(weights) is None


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(InputError, match=r"training\.json: the record of the training is damaged .*\. Delete it"):
        validate(tmp_path, {0: 0.2})


def train(folder: Path, last: int, first: int = 0) -> list[dict[str, Any]]:
    """Epochs of a trainer that goes on after the first ones; what is in the file then."""
    trainer = Engine(lambda engine, batch: time.sleep(0.06))
    EpochRecord(str(folder), "last.pt").attach(trainer)
    trainer.state.max_epochs, trainer.state.epoch, trainer.state.epoch_length = last, first, 1
    trainer.state.iteration = first
    trainer.run([0])
    return list(json.loads((folder / RECORD).read_text())["epochs"])


def test_the_time_of_every_epoch_counts_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    before = train(tmp_path, 3)
    assert [entry["epoch"] for entry in before] == [1, 2, 3] and before[0]["seconds"] >= 0.1
    after = train(tmp_path, 4, first=2)  # the third epoch was stopped before its checkpoint
    assert [entry["epoch"] for entry in after] == [1, 2, 3, 4] and after[:2] == before[:2]
    assert before[1]["seconds"] + 0.1 <= after[2]["seconds"] < before[2]["seconds"] + 5.0
