"""Weights of the networks in a run: loaded at its start, the best and the last ones saved."""

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
    """Saver that writes nothing."""

    def _save_func(self, checkpoint: Mapping[str, Any], path: Path, func: Callable[..., None]) -> None:
        """Write nothing."""


class BestWeightsSaver(CheckpointSaver):
    """Writer of the network with the best key metric as a flat state dict for inference.

    While the key metric is NaN (no joint of the validation has known layers), the newest network is saved. The best
    score is part of the state, so that a resumed training does not overwrite a better network.

    Args:
        save_dir: folder of the weights.
        network: network whose weights are saved.
        filename: name of the file.
        lowest: whether a lower key metric is better.
        follower: whether to write no file; the best score is tracked in either case.
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
        self.save_dir = save_dir  # MONAI would create the folder at once
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
        """Return the best score so far."""
        return {} if self._key_metric_checkpoint is None else dict(self._key_metric_checkpoint.state_dict())


class FinalWeightsSaver:
    """Writer of the network as a flat state dict after a complete training; a training ended early writes none.

    Args:
        save_dir: folder of the weights.
        network: network whose weights are saved.
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
    """Loader of the generator's weights when the engine starts; a missing file is logged.

    With the partition head, a generator without weights is the weight-free separator. A TorchScript network keeps its
    built-in weights unless a file is chosen.

    Args:
        load_path: flat state dict of the generator; the file may be absent.
        network: generator.
        map_location: device to load to.
        chosen: the user's file in place of ``load_path``, or "none" for no weights.
        metadata: metadata file of the bundle, which states the checksum of ``load_path`` (:func:`stated_sha256`).
            A chosen file has none.

    Raises:
        InputError: the chosen file does not exist. On running: the file is not a state dict of this generator, differs
            from the checksum in the metadata, or is a pointer of Git LFS; or it is absent and the head does not start
            at the weight-free separator.
    """

    def __init__(
        self, load_path: str, network: nn.Module, map_location: Any = None, chosen: str = "", metadata: str = ""
    ) -> None:
        if chosen not in ("", NO_WEIGHTS) and not Path(chosen).is_file():
            msg = f"{chosen}: no such weights file. Correct the path, or pass {NO_WEIGHTS} for no weights."
            raise InputError(msg)
        self.load_path, self.chosen = Path(chosen or load_path), chosen
        self.network = network
        self.map_location = map_location
        self.sha256 = stated_sha256(metadata, self.load_path.name) if metadata and not chosen else None
        self._logged: set[str] = set()

    @property
    def source(self) -> str:
        """Label of the separator: name and checksum of the weights file, or ``weight-free separator``."""
        if not self._takes_weights():
            return network_label(self.network)
        if not self._has_file():
            return "weight-free separator"
        return file_label(self.load_path)

    @property
    def training(self) -> dict[str, Any] | None:
        """Training record stored beside the weights, if any."""
        return training_of(self.load_path) if self._takes_weights() and self._has_file() else None

    def attach(self, engine: Engine) -> None:
        """Load when the engine starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights, or log their absence; a network without weights is unchanged."""
        if not self._takes_weights():
            return
        if not self._has_file():
            self._check_weight_free()
            missing = "" if self.chosen == NO_WEIGHTS else f"{self.load_path}: no such weights file. "
            self._say(f"{missing}The weight-free separator is used.", logging.WARNING if missing else logging.INFO)
            return
        remedy = "pass the file as --weights, with the backbone, head and reduction of its training"
        load_weights(self.network, self.load_path, "generator", remedy, self.map_location, self.sha256)
        self._say(f"Weights of the generator: {self.load_path}")

    def _say(self, message: str, level: int = logging.INFO) -> None:
        """Log a message, once."""
        if message not in self._logged:
            _log.log(level, message)
        self._logged.add(message)

    def _has_file(self) -> bool:
        return self.chosen != NO_WEIGHTS and self.load_path.is_file()

    def _takes_weights(self) -> bool:
        keeps_its_own = brings_weights(self.network) and self.chosen in ("", NO_WEIGHTS)
        return not keeps_its_own and any(True for _ in self.network.parameters())

    def _check_weight_free(self) -> None:
        head = getattr(self.network, "head", None)
        if not getattr(head, "zero_start", False):
            msg = (
                f"{self.load_path}: no such weights file. Pass a file as --weights; only the partition head separates "
                "without weights."
            )
            raise InputError(msg)


class NetworkWeights:
    """Loader of the weights of a scoring or registration network at the start of the first engine.

    Args:
        network: network that receives the weights.
        load_path: weights file of a training; empty leaves the network unchanged.
        map_location: device to load to.
        what: name of the network in messages.
        remedy: remedy in the message if the file is absent or of another network.
        chosen: the user's file in place of ``load_path``; empty for none.
        metadata: metadata file of the bundle, which states the checksum of ``load_path`` (:func:`stated_sha256`).
            A chosen file has none.

    Raises:
        InputError: on starting, the file is absent, of another network, or does not have the checksum in the metadata.
    """

    def __init__(
        self,
        network: nn.Module,
        load_path: str,
        map_location: Any = "cpu",
        what: str = "scorer",
        remedy: str = "run configs/jobs/read_joint_space.yaml, or name weights with --scorer_weights",
        chosen: str = "",
        metadata: str = "",
    ) -> None:
        self.network, self.load_path, self.map_location = network, chosen or load_path, map_location
        self.what, self.remedy, self.loaded = what, remedy, False
        self.sha256 = stated_sha256(metadata, Path(load_path).name) if metadata and not chosen else None

    @property
    def source(self) -> str:
        """Label of the weights file: name and checksum."""
        return file_label(Path(self.load_path))

    def attach(self, engine: Engine) -> None:
        """Load when the engine starts."""
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
    """Loader of optional initial weights at the start of the first stage of a separator's training.

    A weights file for inference contains the generator only. A checkpoint also contains N_S and N_D; if it has an
    averaged generator, that one is loaded.

    Args:
        load_path: weights or a checkpoint; empty or "none" for random initial weights.
        generator: generator.
        supervisor: N_S.
        discriminator: N_D.
        average: moving average of the generator's weights; it starts from the loaded weights.
        map_location: device to load to.

    Raises:
        InputError: on running, the file cannot be loaded (:func:`bundle.networks.load_weights`).
    """

    remedy = "pass another file as --weights, or the backbone, head and adversary of its training"

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
        _log.info(f"Training starts from {file_label(path)}: {', '.join(states)}")


def _players_of(held: Mapping[str, Any]) -> dict[str, Any]:
    """The state of each network in a file: three networks of a checkpoint, otherwise the generator alone."""
    if not isinstance(held.get("generator"), Mapping):
        return {"generator": dict(held)}
    players = {name: held[name] for name in ("generator", "supervisor", "discriminator") if name in held}
    return {**players, "generator": held.get("average") or held["generator"]}
