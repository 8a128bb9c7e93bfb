"""Checkpoints of a training, written atomically, and their loading on resume."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from bundle.errors import InputError, flag
from bundle.io import replacing, reserve_output, storing
from bundle.networks import load_failure
from bundle.workflow.run_settings import EarlierVersionError, RunSettings
from bundle.workflow.sealed import damage, load_sealed, seal
from bundle.workflow.time_limit import TimeLimit
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver
from monai.handlers import CheckpointSaver

RUN = "layer separation training"
"""Fingerprint of a training's output folder."""

KEPT = 2
"""Number of newest checkpoints that are kept."""

_EPOCH = re.compile(r"_epoch=(\d+)\.pt$")
_log = logging.getLogger("bundle.workflow")


class WholeFileSaver(DiskSaver):
    """Atomic writer of checkpoints; an error of the operating system becomes an InputError.

    The first file creates the folder.
    """

    def __init__(self, folder: str, filename: str | None = None) -> None:
        super().__init__(os.curdir, atomic=False, create_dir=False, require_empty=False)
        self.dirname, self.filename = Path(folder).expanduser(), filename

    def __call__(self, checkpoint: Mapping[str, Any], filename: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint under the chosen name."""
        super().__call__(checkpoint, self.filename or filename, metadata)

    def _save_func(self, checkpoint: Mapping[str, Any], path: Path, func: Callable[..., None]) -> None:
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            func(checkpoint, file, **self.kwargs)
            self.finish(file)

    def finish(self, file: BinaryIO) -> None:
        """Append data after the state."""

    def remove(self, filename: str) -> None:
        """Remove nothing: an old file stays until the new one is whole."""


class _SealedFileSaver(WholeFileSaver):
    """Writer of files with a checksum (:mod:`bundle.workflow.sealed`)."""

    def finish(self, file: BinaryIO) -> None:
        """See :meth:`WholeFileSaver.finish`."""
        seal(file, Path(file.name).read_bytes)


class TrainingCheckpointSaver(CheckpointSaver):
    """Writer of the complete state of a training at intervals of epochs: ``checkpoint_epoch=<n>.pt``.

    Attach it to the trainers of both stages; the running one is saved with the rest, and with it epoch and stage. The
    two newest files are kept; an older one is removed once the new one is complete.

    Args:
        save_dir: folder of the checkpoints.
        save_dict: networks, optimizers, schedulers, and other objects with a state.
        save_interval: interval between checkpoints in epochs. The last epoch, and one that the time limit ends, are
            always saved.
        limit: time limit of the invocation; it ends the training after the checkpoint. None for no limit.
    """

    def __init__(
        self, save_dir: str, save_dict: dict[str, Any], save_interval: int = 1, limit: TimeLimit | None = None
    ) -> None:
        super().__init__(save_dir=os.curdir, save_dict=dict(save_dict), save_interval=1, n_saved=None)
        self.save_dir = save_dir  # MONAI would create the folder now
        self.every = save_interval
        self.limit = TimeLimit() if limit is None else limit
        if self._interval_checkpoint is not None:
            self._interval_checkpoint.save_handler = _SealedFileSaver(save_dir)

    def attach(self, engine: Engine) -> None:
        """Save after epochs of the engine, which the limit times."""
        self.limit.attach(engine)
        super().attach(engine)

    def interval_completed(self, engine: Engine) -> None:
        """Save if a checkpoint is due, and end the training if another epoch does not fit into the limit."""
        last = engine.state.epoch == engine.state.max_epochs
        over = not self.limit.allows_another()
        if over or last or engine.state.epoch % self.every == 0:
            self._save(engine)
        if over:
            self.limit.end(engine)

    def _save(self, engine: Engine) -> None:
        """Save with the running trainer."""
        self.save_dict["trainer"] = engine
        super().interval_completed(engine)
        for _, old in checkpoints(self.save_dir)[:-KEPT]:
            old.unlink()


class TrainingCheckpointLoader:
    """Loader of the newest checkpoint: attach it to the trainers of both stages, or to the only one.

    A stage before that of the checkpoint ends at once; a later stage starts from its beginning. A damaged checkpoint
    is skipped in favour of the previous one.

    Args:
        load_dir: folder of the checkpoints.
        load_dict: as ``save_dict`` of :class:`TrainingCheckpointSaver`.
        map_location: device to load to.

    Raises:
        InputError: on running, the checkpoint does not fit the configuration, a setting differs from the checkpoint's
            (:class:`bundle.workflow.RunSettings`), or all checkpoints are damaged.
    """

    def __init__(self, load_dir: str, load_dict: dict[str, Any], map_location: Any = None) -> None:
        self.load_dir, self.load_dict, self.map_location = Path(load_dir), dict(load_dict), map_location

    def attach(self, engine: Engine) -> None:
        """Load when the engine starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Load the newest checkpoint into its stage."""
        newest = newest_whole_checkpoint(self.load_dir)
        if newest is None or newest[0] <= _stage(engine)[0]:
            return
        epoch, path = newest
        self.load_dict.pop("trainer", None)
        if epoch > engine.state.max_epochs:
            engine.state.epoch = engine.state.max_epochs
        else:
            self.load_dict["trainer"] = engine
        self._load(engine, path)
        _log.info(f"Resumed the training from {path}")

    def _load(self, engine: Any, path: Path) -> None:
        held = load_sealed(path, self.map_location)
        self._check_settings(held, path)
        wanted = {name: value for name, value in self.load_dict.items() if not isinstance(value, RunSettings)}
        before, epochs = _stage(engine), engine.state.max_epochs
        try:
            Checkpoint.load_objects(to_load=wanted, checkpoint=held)
        except Exception as error:  # a foreign checkpoint raises almost any error
            raise _misfit(path, load_failure(error)) from error
        engine.state.max_epochs = epochs
        found = _stage(engine)
        if found != before:
            raise _misfit(
                path,
                f"its stage began after epoch {found[0]} with {found[1]} steps per epoch, not after epoch {before[0]} "
                f"with {before[1]}",
            )

    def _check_settings(self, held: Mapping[str, Any], path: Path) -> None:
        """Compare the settings of a checkpoint, if it has any, before loading."""
        for name, settings in self.load_dict.items():
            if not isinstance(settings, RunSettings):
                continue
            if name not in held:
                _log.warning(f"{path}: the checkpoint contains no settings, so they are not compared")
                continue
            try:
                settings.load_state_dict(held[name])
            except EarlierVersionError as error:
                raise _misfit(path, str(error), "Resume with that version") from error
            except InputError as error:
                raise _misfit(path, str(error)) from error


def _misfit(path: Path, reason: str, remedy: str = "Resume with its settings") -> InputError:
    return InputError(
        f"{path}: the checkpoint does not fit this configuration ({reason}). {remedy}, or train into another "
        "--output_dir."
    )


def _stage(engine: Any) -> tuple[int, int | None]:
    """Epochs before the stage of a trainer, 0 for a single stage, and its steps per epoch."""
    return getattr(engine.state, "epochs_before", 0), engine.state.epoch_length


def checkpoints(folder: str | Path) -> list[tuple[int, Path]]:
    """List epoch and file of each checkpoint, the newest last."""
    found = [(path, _EPOCH.search(path.name)) for path in Path(folder).glob("*.pt")]
    return sorted((int(match[1]), path) for path, match in found if match)


def newest_checkpoint(folder: str | Path) -> tuple[int, Path] | None:
    """Find epoch and file of the newest checkpoint; None without a checkpoint."""
    return max(checkpoints(folder), default=None)


def newest_whole_checkpoint(folder: str | Path) -> tuple[int, Path] | None:
    """Find epoch and file of the newest intact checkpoint; None without a checkpoint.

    Raises:
        InputError: all checkpoints are damaged.
    """
    faults: list[str] = []
    for epoch, path in reversed(checkpoints(folder)):
        fault = damage(path)
        if fault is None:
            if faults:
                _log.warning(f"{'; '.join(faults)}. Resuming from {path.name}.")
            return epoch, path
        faults.append(f"{path}: {fault}")
    if not faults:
        return None
    raise InputError(f"{'; '.join(faults)}. Delete these checkpoints to train from the beginning.")


def reserve_training(output_dir: str, ckpt_dir: str = "", resume: bool = False, run: str = RUN) -> None:
    """Reserve a folder as the output of a training, or fail before anything is computed.

    Args:
        output_dir: output folder.
        ckpt_dir: folder of its checkpoints; empty for a training without checkpoints.
        resume: whether the training resumes from them.
        run: fingerprint of the training.

    Raises:
        InputError: the folder contains something else or cannot be written to, or it contains checkpoints and
            ``resume`` is false.
    """
    reserve_output(output_dir, run)
    if not ckpt_dir:
        return
    held = newest_checkpoint(ckpt_dir)
    if held is not None and not flag(resume):
        msg = (
            f"{output_dir} contains the checkpoints of a training. Pass --resume true to resume it, choose another "
            "--output_dir, or delete it."
        )
        raise InputError(msg)
    if flag(resume) and held is None:
        _log.warning(f"No checkpoint in {ckpt_dir} to resume from: the training starts from the beginning")
