"""Checkpoints of a training, the best network, and weights for inference; each file whole or not at all."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver
from monai.handlers import CheckpointSaver
from torch import nn

from bundle.errors import InputError, flag
from bundle.io import claim_output, replacing, storing
from bundle.networks import file_label, load_failure, load_weights, put_state, read_state, stated_sha256
from bundle.workflow.averaging import WeightAverage
from bundle.workflow.option_kinds import NO_WEIGHTS
from bundle.workflow.own_weights import brings_weights, network_label
from bundle.workflow.run_settings import RunSettings
from bundle.workflow.sealed import damage, load_sealed, seal
from bundle.workflow.time_limit import TimeLimit
from bundle.workflow.training_record import training_of

RUN = "layer separation training"
"""Fingerprint of a training's output folder."""

KEPT = 2
"""Checkpoints that are kept, the newest."""

_EPOCH = re.compile(r"_epoch=(\d+)\.pt$")
_log = logging.getLogger("bundle.workflow")


class _WholeFileSaver(DiskSaver):
    """Writes to a temporary file and renames it; a refusal of the system becomes an InputError.

    The folder is made by the first file.
    """

    def __init__(self, folder: str, filename: str | None = None) -> None:
        super().__init__(os.curdir, atomic=False, create_dir=False, require_empty=False)
        self.dirname, self.filename = Path(folder).expanduser(), filename

    def __call__(self, checkpoint: Mapping[str, Any], filename: str, metadata: Mapping[str, Any] | None = None) -> None:
        super().__call__(checkpoint, self.filename or filename, metadata)

    def _save_func(self, checkpoint: Mapping[str, Any], path: Path, func: Callable[..., None]) -> None:
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            func(checkpoint, file, **self.kwargs)
            self.finish(file)

    def finish(self, file: BinaryIO) -> None:
        """Add what comes after the state."""

    def remove(self, filename: str) -> None:
        """Remove nothing: an old file stays until the new one is whole."""


class _NoFileSaver(_WholeFileSaver):
    """Writes nothing."""

    def _save_func(self, checkpoint: Mapping[str, Any], path: Path, func: Callable[..., None]) -> None:
        """See above."""


class _SealedFileSaver(_WholeFileSaver):
    """Gives files a checksum (:mod:`bundle.workflow.sealed`)."""

    def finish(self, file: BinaryIO) -> None:
        """See above."""
        seal(file, Path(file.name).read_bytes)


class TrainingCheckpointSaver(CheckpointSaver):
    """Saves all that a training needs to go on, after every few epochs: ``checkpoint_epoch=<n>.pt``.

    Attach it to the trainers of both stages; the one that runs is saved with the rest, and with it epoch and stage. The
    two newest files are kept; an older one is removed when the new one is whole.

    Args:
        save_dir: folder of the checkpoints.
        save_dict: networks, optimizers, schedulers, and what else has a state.
        save_interval: epochs from one checkpoint to the next. The last epoch, and one that ends an invocation in time,
            are always saved.
        limit: of the invocation's time, if there is one; it ends the training after the checkpoint.
    """

    def __init__(
        self, save_dir: str, save_dict: dict[str, Any], save_interval: int = 1, limit: TimeLimit | None = None
    ) -> None:
        super().__init__(save_dir=os.curdir, save_dict=dict(save_dict), save_interval=1, n_saved=None)
        self.save_dir = save_dir  # MONAI would make it now
        self.every = save_interval
        self.limit = TimeLimit() if limit is None else limit
        if self._interval_checkpoint is not None:
            self._interval_checkpoint.save_handler = _SealedFileSaver(save_dir)

    def attach(self, engine: Engine) -> None:
        """Save after epochs of the engine, whose time the limit takes."""
        self.limit.attach(engine)
        super().attach(engine)

    def interval_completed(self, engine: Engine) -> None:
        """Save if it is time to, and end what has no time for another epoch."""
        last = engine.state.epoch == engine.state.max_epochs
        over = not self.limit.allows_another()
        if over or last or engine.state.epoch % self.every == 0:
            self._save(engine)
        if over:
            self.limit.end(engine)

    def _save(self, engine: Engine) -> None:
        """Save with the trainer that runs."""
        self.save_dict["trainer"] = engine
        super().interval_completed(engine)
        for _, old in checkpoints(self.save_dir)[:-KEPT]:
            old.unlink()


class TrainingCheckpointLoader:
    """Goes on from the newest checkpoint: attach it to the trainers of both stages, or to the one there is.

    A stage that the checkpoint has left behind ends at once; one that it has not reached starts from its beginning. In
    place of a damaged checkpoint the one before it is taken.

    Args:
        load_dir: folder of the checkpoints.
        load_dict: as ``save_dict`` of :class:`TrainingCheckpointSaver`.
        map_location: device to load to.

    Raises:
        InputError: on running, if the checkpoint does not fit the configuration, a setting is another one than it was
            written with (:class:`bundle.workflow.RunSettings`), or all checkpoints are damaged.
    """

    def __init__(self, load_dir: str, load_dict: dict[str, Any], map_location: Any = None) -> None:
        self.load_dir, self.load_dict, self.map_location = Path(load_dir), dict(load_dict), map_location

    def attach(self, engine: Engine) -> None:
        """Load when the engine starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Load the newest checkpoint into the stage that it is of."""
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
        _log.info(f"Restored the training from {path}")

    def _load(self, engine: Any, path: Path) -> None:
        held = load_sealed(path, self.map_location)
        self._check_settings(held, path)
        wanted = {name: value for name, value in self.load_dict.items() if not isinstance(value, RunSettings)}
        before, epochs = _stage(engine), engine.state.max_epochs
        try:
            Checkpoint.load_objects(to_load=wanted, checkpoint=held)
        except Exception as error:  # a checkpoint of something else raises about anything
            raise _misfit(path, load_failure(error)) from error
        engine.state.max_epochs = epochs
        found = _stage(engine)
        if found != before:
            raise _misfit(
                path, f"its stage began after epoch {found[0]} and had {found[1]} steps an epoch, not {before}"
            )

    def _check_settings(self, held: Mapping[str, Any], path: Path) -> None:
        """Compare the settings of a checkpoint that has any, before anything is loaded."""
        for name, settings in self.load_dict.items():
            if not isinstance(settings, RunSettings):
                continue
            if name not in held:
                _log.warning(f"{path}: written before checkpoints held their settings: these are not compared")
                continue
            try:
                settings.load_state_dict(held[name])
            except InputError as error:
                raise _misfit(path, str(error)) from error


def _misfit(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: no checkpoint of this configuration ({reason}): resume with the settings it was written with, or "
        "train into another --output_dir"
    )


def _stage(engine: Any) -> tuple[int, int | None]:
    """Epochs before the stage of a trainer, 0 where there is but one, and its steps an epoch."""
    return getattr(engine.state, "epochs_before", 0), engine.state.epoch_length


def checkpoints(folder: str | Path) -> list[tuple[int, Path]]:
    """Epoch and file of each checkpoint, the newest last."""
    found = [(path, _EPOCH.search(path.name)) for path in Path(folder).glob("*.pt")]
    return sorted((int(match[1]), path) for path, match in found if match)


def newest_checkpoint(folder: str | Path) -> tuple[int, Path] | None:
    """Epoch and file of the newest checkpoint, None if there is none."""
    return max(checkpoints(folder), default=None)


def newest_whole_checkpoint(folder: str | Path) -> tuple[int, Path] | None:
    """Epoch and file of the newest checkpoint that is not damaged, None if there is none at all.

    Raises:
        InputError: all of them are damaged.
    """
    faults: list[str] = []
    for epoch, path in reversed(checkpoints(folder)):
        fault = damage(path)
        if fault is None:
            if faults:
                _log.warning(f"{'; '.join(faults)}: the training goes on from {path.name}")
            return epoch, path
        faults.append(f"{path}: {fault}")
    if not faults:
        return None
    raise InputError(f"{'; '.join(faults)}: delete these checkpoints to train from the beginning")


def claim_training(output_dir: str, ckpt_dir: str = "", resume: bool = False, run: str = RUN) -> None:
    """Make a folder the output of a training, or refuse before anything is computed.

    Args:
        output_dir: the folder.
        ckpt_dir: of its checkpoints; empty for a training without.
        resume: whether it goes on from them.
        run: fingerprint of the training.

    Raises:
        InputError: the folder holds something else or cannot be written to; or it holds checkpoints and ``resume`` is
            false.
    """
    claim_output(output_dir, run)
    if not ckpt_dir:
        return
    held = newest_checkpoint(ckpt_dir)
    if held is not None and not flag(resume):
        msg = (
            f"expected an output folder without checkpoints, got a training in {output_dir}: go on with --resume true, "
            "choose another --output_dir, or delete it"
        )
        raise InputError(msg)
    if flag(resume) and held is None:
        _log.warning(f"No checkpoint in {ckpt_dir} to resume from: the training starts from its beginning")


class BestWeightsSaver(CheckpointSaver):
    """Keeps the network with the best key metric as a flat state dict, as inference reads it.

    Where the key metric is not defined (NaN: no joint of the validation has known layers), it keeps the newest. It has
    a state, so that a resumed training does not overwrite a better network.

    Args:
        save_dir: folder of the weights.
        network: whose weights are kept.
        filename: name of the file.
        lowest: whether the lowest key metric is the best, or the highest.
        follower: whether the process writes nothing; the best score it remembers all the same.
    """

    def __init__(
        self,
        save_dir: str,
        network: nn.Module,
        filename: str = "model.pt",
        lowest: bool | str = True,
        follower: bool | str = False,
    ) -> None:
        super().__init__(
            save_dir=os.curdir,
            save_dict={"network": network},
            save_key_metric=True,
            key_metric_filename=filename,
            key_metric_negative_sign=flag(lowest),
        )
        self.save_dir = save_dir  # MONAI would make it now
        if self._key_metric_checkpoint is not None:
            saver = _NoFileSaver if flag(follower) else _WholeFileSaver
            self._key_metric_checkpoint.save_handler = saver(save_dir, filename)

    def metrics_completed(self, engine: Any) -> None:
        """Save the network if it is the best so far."""
        undefined = math.isnan(engine.state.metrics[engine.state.key_metric_name])
        if undefined and self._key_metric_checkpoint is not None:
            self._key_metric_checkpoint.reset()
        super().metrics_completed(engine)

    def state_dict(self) -> dict[str, Any]:
        """The best score so far."""
        return {} if self._key_metric_checkpoint is None else dict(self._key_metric_checkpoint.state_dict())


class FinalWeightsSaver:
    """Saves a network as a flat state dict when its training is complete, and not when that was ended before.

    Args:
        save_dir: folder of the weights.
        network: whose weights are saved.
        filename: name of the file.
    """

    def __init__(self, save_dir: str, network: nn.Module, filename: str) -> None:
        self.network, self.filename, self.saver = network, filename, _WholeFileSaver(save_dir)

    def attach(self, engine: Engine) -> None:
        """Save at the end of the engine."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save after the last epoch."""
        if engine.state.epoch >= (engine.state.max_epochs or 0):
            self.saver(self.network.state_dict(), self.filename)


class GeneratorWeights:
    """Loads the generator's weights when the engine starts; without a file it stays as built, and says so.

    Built with the partition head, a generator without weights is the weight-free separator. A TorchScript network keeps
    the weights that it brings along, unless a file is chosen.

    Args:
        load_path: flat state dict of the generator, where there is one.
        network: the generator.
        map_location: device to load to.
        chosen: the user's file in place of ``load_path``, or "none" for no weights.
        metadata: file of the bundle's metadata, which states the checksum of ``load_path`` (:func:`stated_sha256`).
            A chosen file has none.

    Raises:
        InputError: the chosen file does not exist; on running, if the file is not a state dict of this generator, is
            not the one that the metadata describes or is a pointer of Git LFS, or there is none and the generator is
            not weight-free (its head does not start at the weight-free separator).
    """

    def __init__(
        self, load_path: str, network: nn.Module, map_location: Any = None, chosen: str = "", metadata: str = ""
    ) -> None:
        if chosen not in ("", NO_WEIGHTS) and not Path(chosen).is_file():
            msg = f"expected a file of weights or {NO_WEIGHTS}, got {chosen}: there is no such file"
            raise InputError(msg)
        self.load_path, self.chosen = Path(chosen or load_path), chosen
        self.network = network
        self.map_location = map_location
        self.sha256 = stated_sha256(metadata, self.load_path.name) if metadata and not chosen else None

    @property
    def source(self) -> str:
        """What separates: the file's name and what tells it from others, or what separates without weights."""
        if not self._takes_weights():
            return network_label(self.network)
        if not self.load_path.is_file():
            return "weight-free separator"
        return file_label(self.load_path)

    @property
    def training(self) -> dict[str, Any] | None:
        """How the weights were trained, where a record of it lies beside them."""
        return training_of(self.load_path) if self._takes_weights() and self.load_path.is_file() else None

    def attach(self, engine: Engine) -> None:
        """Load when the engine starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights, or say that there are none; what takes none stays as it is."""
        if not self._takes_weights():
            return
        if not self.load_path.is_file():
            self._check_weight_free()
            _log.warning(f"No weights at {self.load_path}: the weight-free separator is used")
            return
        remedy = "name the file by --weights, and the backbone, head and reduction it was trained with"
        load_weights(self.network, self.load_path, "generator", remedy, self.map_location, self.sha256)
        _log.info(f"Weights of the generator: {self.load_path}")

    def _takes_weights(self) -> bool:
        keeps_its_own = brings_weights(self.network) and self.chosen in ("", NO_WEIGHTS)
        return not keeps_its_own and any(True for _ in self.network.parameters())

    def _check_weight_free(self) -> None:
        head = getattr(self.network, "head", None)
        if not getattr(head, "zero_start", False):
            msg = (
                f"expected weights, found none at {self.load_path}: name a file by --weights; only the partition head "
                "separates without"
            )
            raise InputError(msg)


class NetworkWeights:
    """Loads the weights of a network that reads or registers radiographs when an engine starts, the first that does.

    Args:
        network: that takes them.
        load_path: its weights, as a training wrote them; empty for none, with which the network stays as it is.
        map_location: device to load to.
        what: what the network is called in messages.
        remedy: what to do when there is no such file, or it is of another network.
        chosen: the user's file in place of ``load_path``; empty for none.
        metadata: file of the bundle's metadata, which states the checksum of ``load_path`` (:func:`stated_sha256`).
            A chosen file has none.

    Raises:
        InputError: on starting, if there is no such file, or it is of another network or not the one that the metadata
            describes.
    """

    def __init__(
        self,
        network: nn.Module,
        load_path: str,
        map_location: Any = "cpu",
        what: str = "reader",
        remedy: str = "train the reader by configs/read_jsw.yaml, or name its weights by --reader_weights",
        chosen: str = "",
        metadata: str = "",
    ) -> None:
        self.network, self.load_path, self.map_location = network, chosen or load_path, map_location
        self.what, self.remedy, self.loaded = what, remedy, False
        self.sha256 = stated_sha256(metadata, Path(load_path).name) if metadata and not chosen else None

    @property
    def source(self) -> str:
        """The file with what tells it from others."""
        return file_label(Path(self.load_path))

    def attach(self, engine: Engine) -> None:
        """Load at the start."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load, once."""
        if not self.loaded:
            self.load()
        self.loaded = True

    def load(self) -> None:
        """Load, without an engine."""
        if self.load_path:
            path = Path(self.load_path)
            load_weights(self.network, path, self.what, self.remedy, self.map_location, self.sha256)


class StartingWeights:
    """Loads what the training of a separator starts from, when the first of its stages starts; without a file nothing.

    Weights as inference takes them are those of the generator. A checkpoint also holds N_S and N_D; its generator is
    the averaged one, where an average was taken.

    Args:
        load_path: weights or a checkpoint; empty, or "none", for a training from chance.
        generator: the generator.
        supervisor: N_S.
        discriminator: N_D.
        average: of the generator's weights, which starts with them.
        map_location: device to load to.

    Raises:
        InputError: on running, if the file cannot be loaded (:func:`bundle.networks.load_weights`).
    """

    remedy = "name another file by --weights, or the backbone, head and adversary that it was trained with"

    def __init__(
        self,
        load_path: str,
        generator: nn.Module,
        supervisor: nn.Module,
        discriminator: nn.Module,
        average: WeightAverage,
        map_location: Any = None,
    ) -> None:
        self.load_path = "" if load_path == NO_WEIGHTS else load_path
        self.players = {"generator": generator, "supervisor": supervisor, "discriminator": discriminator}
        self.average, self.map_location, self.loaded = average, map_location, False

    def attach(self, engine: Engine) -> None:
        """Load when the engine starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load, once."""
        if self.load_path and not self.loaded:
            self._load(Path(self.load_path))
        self.loaded = True

    def _load(self, path: Path) -> None:
        held = read_state(path, "generator", self.remedy, self.map_location)
        states = _players_of(held) if isinstance(held, Mapping) else {"generator": held}
        for name, state in states.items():
            network = self.players[name]
            put_state(getattr(network, "module", network), state, path, name, self.remedy)
        if self.average.handler is not None:
            self.average.load_state_dict(states["generator"])
        _log.info(f"The training starts from {file_label(path)}: {', '.join(states)}")


def _players_of(held: Mapping[str, Any]) -> dict[str, Any]:
    """The state of each network in a file: of a checkpoint three, else the generator's alone."""
    if not isinstance(held.get("generator"), Mapping):
        return {"generator": dict(held)}
    players = {name: held[name] for name in ("generator", "supervisor", "discriminator") if name in held}
    return {**players, "generator": held.get("average") or held["generator"]}
