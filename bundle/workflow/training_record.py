"""Record of a training beside its weights: command, machine, metrics of validations and times of epochs."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from bundle.base import read_json
from bundle.errors import InputError, flag
from bundle.io import command_line, machine, storing, write_bytes
from bundle.networks import file_label
from ignite.engine import Engine, Events

RECORD = "training.json"
"""Name of the record, beside the weights."""


class TrainingRecord:
    """Writer of ``training.json`` after every validation; attach it to the evaluator after the weights saver.

    The record contains the commands and the machine of the training, its initial weights, the SHA-256 of the best
    weights so far and, for each validation, ``epoch``, ``seconds`` of training until then and the metrics. A resumed
    training extends it.

    Args:
        output_dir: output folder of the training.
        weights: name of the file of the best weights in it.
        device: device of the training.
        started_from: file of the initial weights; empty or "none" for random ones.
        follower: whether this process writes no file.

    Raises:
        InputError: on running, an existing record cannot be read.
    """

    entries = "validations"

    def __init__(
        self,
        output_dir: str,
        weights: str = "model.pt",
        device: Any = "cpu",
        started_from: str = "",
        follower: bool | str = False,
    ) -> None:
        self.path = Path(output_dir) / RECORD
        self.weights = self.path.parent / weights
        self.device = device
        self.started_from = file_label(Path(started_from)) if started_from not in ("", "none") else "chance"
        self.follower = flag(follower)
        self.before: float | None = None
        self.started = 0.0

    def attach(self, engine: Engine) -> None:
        """Write after each validation."""
        if self.follower:
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def start(self, engine: Engine) -> None:
        """Start the clock of a new or resumed training at its first validation."""
        if self.before is None:
            self.resume(self._done(engine))

    def resume(self, epoch: int) -> None:
        """Start the clock from the last entry up to an epoch."""
        earlier = [entry for entry in self._read()[self.entries] if entry["epoch"] <= epoch]
        self.before = float(earlier[-1]["seconds"]) if earlier else 0.0
        self.started = time.perf_counter()

    def __call__(self, engine: Engine) -> None:
        """Add a validation and remove those of later epochs, left by a training stopped before its checkpoint."""
        record, epoch = self._read(), engine.state.epoch
        seconds = round((self.before or 0.0) + time.perf_counter() - self.started, 1)
        metrics = {name: float(value) for name, value in sorted(engine.state.metrics.items())}
        earlier = [entry for entry in record[self.entries] if entry["epoch"] < epoch]
        record[self.entries] = [*earlier, {"epoch": epoch, "seconds": seconds, **metrics}]
        record["commands"] = list(dict.fromkeys([*record["commands"], command_line() or "not started by a command"]))
        record |= {"started_from": self.started_from, "machine": machine(self.device)}
        record["weights_sha256"] = sha256(self.weights)
        with storing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.path, json.dumps(record, indent=1).encode())

    def _done(self, engine: Engine) -> int:
        """Number of recorded epochs when the engine starts: a validation follows its epoch."""
        return int(engine.state.epoch)

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = {"commands": [], self.entries: []}
        if self.path.is_file():
            found |= read_record(self.path)
        try:
            found["commands"] = [str(command) for command in found["commands"]]
            found[self.entries] = [{**entry, "seconds": float(entry["seconds"])} for entry in found[self.entries]]
            found[self.entries].sort(key=lambda entry: int(entry["epoch"]))
        except (ValueError, LookupError, TypeError) as error:
            raise _damaged(self.path, error) from error
        return found


class TrainingClock:
    """Clock of a :class:`TrainingRecord`: attach it to the trainers of both stages after the checkpoint loader.

    A resumed training continues from the time of the last validation before its checkpoint.

    Args:
        record: record of the training.
    """

    def __init__(self, record: TrainingRecord) -> None:
        self.record = record

    def attach(self, engine: Engine) -> None:
        """Start the clock with the engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Start the clock of a new or resumed training."""
        self.record.resume(engine.state.epoch)


class EpochRecord(TrainingRecord):
    """Writer of ``training.json`` after every epoch of a trainer; attach it after the validation.

    Its ``epochs`` have the form of the ``validations`` of a :class:`TrainingRecord`. The time of an epoch includes its
    validation, but neither the work before the first epoch of an invocation nor the checkpoints.

    Args:
        output_dir: as in :class:`TrainingRecord`.
        weights: as in :class:`TrainingRecord`.
        device: as in :class:`TrainingRecord`.
        started_from: as in :class:`TrainingRecord`.
    """

    entries = "epochs"

    def _done(self, engine: Engine) -> int:
        return int(engine.state.epoch) - 1


def sha256(path: Path) -> str | None:
    """Compute the SHA-256 of a file; None if it is absent."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of a training.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: the record of the training is damaged ({error}). Delete it.")


def training_of(weights: Path) -> dict[str, Any] | None:
    """Read the record beside a weights file; None if it is absent or of other weights."""
    path = weights.parent / RECORD
    if not path.is_file():
        return None
    record = read_record(path)
    return record if record.get("weights_sha256") == sha256(weights) else None
