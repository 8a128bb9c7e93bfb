"""Weights of the networks in a run: loaded when it starts, the best and the last ones kept."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bundle.errors import InputError, flag
from bundle.networks import file_label, load_weights, put_state, read_state, stated_sha256
from bundle.workflow.averaging import WeightAverage
from bundle.workflow.checkpoints import WholeFileSaver
from bundle.workflow.option_kinds import NO_WEIGHTS
from bundle.workflow.own_weights import brings_weights, network_label
from bundle.workflow.training_record import training_of
from ignite.engine import Engine, Events
from monai.handlers import CheckpointSaver
from torch import nn

_log = logging.getLogger("bundle.workflow")


class _NoFileSaver(WholeFileSaver):
    """Writes nothing."""

    def _save_func(self, checkpoint: Mapping[str, Any], path: Path, func: Callable[..., None]) -> None:
        """See above."""


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
            saver = _NoFileSaver if flag(follower) else WholeFileSaver
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
        self.network, self.filename, self.saver = network, filename, WholeFileSaver(save_dir)

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
        what: str = "scorer",
        remedy: str = "train the reader by configs/jobs/read_jsw.yaml, or name its weights by --scorer_weights",
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
