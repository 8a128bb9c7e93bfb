"""Trainer of Layer Separation Networks: one stage of Algorithm 1, which updates three networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from bundle.base import keep_freed_memory
from bundle.errors import flag
from bundle.joint import Keys
from bundle.physics import move, reconstruct, visible_region
from bundle.separation.losses import GeneratorLoss, Separation
from bundle.separation.stage import Objective, Player, Players, RandomMotions, StageSchedule
from bundle.separation.weighted_loss import EXTRA
from bundle.workflow import seed_epoch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer, Trainer
from monai.engines.utils import IterationEvents
from torch import Tensor, nn

STEP_KEYS = (Keys.IMAGE, Keys.LABEL, Keys.TRUTH, Keys.SOURCE, Keys.SPACING)
"""Batch keys that a training step uses."""

STEP_BYTES = 2**31 - 1
"""Freed memory that a training on a CPU keeps for its next step, at most."""


class LayerSeparationTrainer(SupervisedTrainer):
    """Trainer of the generator, supervisor and discriminator: one stage of Algorithm 1.

    A batch holds ``image``, ``label``, ``truth``, ``source`` and ``spacing``
    (:mod:`bundle.separation.transforms.dictionary`), and ``seen`` if the generator's input differs from the image of
    the losses (:class:`bundle.separation.transforms.RandPredictedMasksd`). A step updates the supervisor (Eq. 12, or
    Eq. 8 for an image that is its own source joint), the discriminator (Eq. 9, on detached soft tissue) and then the
    generator (Eq. 11 or 7), with the other two frozen. ``engine.state.output`` holds ``image``, ``label``, ``pred``,
    ``loss`` (the generator's) and every loss term by name.

    Epochs are counted over both stages. The randomness of an epoch depends only on the seed, the epoch number and the
    process rank, so a resumed run gives the result of an uninterrupted one.

    Args:
        device: device to train on.
        max_epochs: number of this stage's last epoch, counted over both stages; a stage without epochs is skipped.
        data_loader: loader of the batches.
        players: the three networks with their optimizers.
        objective: losses of the stage.
        schedule: number of earlier epochs and of epochs with the early loss.
        motion: random motions f_s; default: the published ones.
        seed: random seed.
        amp: mixed precision; bfloat16 on a CPU. Only float16 gradients are scaled.
        handlers: event handlers of the engine.
        kwargs: further arguments of :class:`monai.engines.SupervisedTrainer`, such as ``amp_kwargs`` for
            :class:`torch.autocast`.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        data_loader: Iterable[Any],
        players: Players,
        objective: Objective,
        schedule: StageSchedule | None = None,
        motion: RandomMotions | None = None,
        seed: int = 0,
        amp: bool = False,
        handlers: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.players, self.objective = players, objective
        nn.ModuleList(objective.extra.values()).to(device)
        self.schedule = StageSchedule() if schedule is None else schedule
        self.motion = RandomMotions() if motion is None else motion
        self.seed = seed
        self.random = np.random.RandomState(seed)
        super().__init__(
            device,
            max_epochs,
            data_loader,
            *(players.generator.network, players.generator.optimizer, objective.late),
            train_handlers=handlers,
            amp=flag(amp),
            **kwargs,
        )
        self.state.epoch = self.state.epochs_before = self.schedule.epochs_before
        self.state.iteration = self.schedule.epochs_before * (self.state.epoch_length or 0)
        half = self.state.device.type == "cuda" and self.amp_kwargs.get("dtype", torch.float16) == torch.float16
        self.grad_scaler = torch.amp.GradScaler(self.state.device.type, enabled=self.amp and half)
        self.state_dict_user_keys.append("epochs_before")
        self.add_event_handler(Events.EPOCH_STARTED, self.reseed)

    def run(self) -> None:  # type: ignore[override]
        """Run the remaining epochs."""
        if self.state.epoch >= self.state.max_epochs:
            return
        if self.state.device.type == "cpu":
            keep_freed_memory(STEP_BYTES)
        with warnings.catch_warnings():
            # the learning rate schedules also count epochs in which N_D is not trained
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            super(Trainer, self).run()

    def reseed(self, engine: Engine) -> None:
        """Seed all randomness at the start of an epoch."""
        self.random.seed(seed_epoch(self.seed, engine.state.epoch, getattr(self.data_loader, "dataset", None)))

    def epoch_loss(self) -> GeneratorLoss:
        """Select the generator's loss of the current epoch: early up to epoch m, late after it."""
        early = self.state.epoch <= self.schedule.early_epochs
        return self.objective.early if early and self.objective.early is not None else self.objective.late

    @property
    def supervised(self) -> bool:
        """Whether N_S is trained and used in the current epoch."""
        return self.players.use_supervisor and self.epoch_loss().uses("supervision")

    @property
    def discriminated(self) -> bool:
        """Whether N_D is trained and used in the current epoch: in stage 1 after epoch m."""
        return self.players.use_discriminator and self.epoch_loss().uses("discrimination")

    def _iteration(self, engine: Any, batchdata: Mapping[str, Tensor]) -> dict[str, Tensor]:
        batch = {key: self._to_device(batchdata[key]) for key in STEP_KEYS if key != Keys.SPACING}
        batch[Keys.SPACING] = torch.as_tensor(batchdata[Keys.SPACING])  # stays on the host, where it is used
        batch[Keys.SEEN] = self._to_device(batchdata[Keys.SEEN]) if Keys.SEEN in batchdata else batch[Keys.IMAGE]
        output = {Keys.IMAGE: batch[Keys.IMAGE], Keys.LABEL: batch[Keys.LABEL]}
        engine.state.output = output
        for player in self.players:
            player.network.train()
        self._play(engine, batch, output)
        self.grad_scaler.update()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    def _play(self, engine: Any, batch: Mapping[str, Tensor], output: dict[str, Tensor]) -> None:
        """Run Algorithm 1 on a batch."""
        if self.supervised:
            output["supervisor"] = self._step(self.players.supervisor, self._supervisor_loss(batch))  # Eq. 8, 12
        output[Keys.PRED] = self._generate(engine, batch[Keys.SEEN])  # L = N_G(J, M)
        joints = self._joints(output[Keys.PRED], batch)
        if self.discriminated:
            output["discriminator"] = self._step(self.players.discriminator, self._discriminator_loss(joints))  # Eq. 9
        self._step_generator(engine, lambda: self._generator_parts(joints, batch), batch, output)  # Eq. 7, 11

    def _generate(self, engine: Any, image: Tensor, **options: Any) -> Tensor:
        """The generator's output for the batch, in float32."""
        with self._autocast():
            output = self.players.generator.network(image, **options)
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        return output.float()

    def _to_device(self, values: Tensor) -> Tensor:
        return torch.as_tensor(values).to(self.state.device, non_blocking=self.non_blocking, **self.to_kwargs)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.state.device.type, enabled=self.amp, **self.amp_kwargs)

    def _step(self, player: Player, loss: Tensor) -> Tensor:
        """Update one network; without gradient scaling (CPU, no AMP) the scaler changes nothing."""
        player.optimizer.zero_grad(set_to_none=True)
        self.grad_scaler.scale(loss).backward()
        self.grad_scaler.step(player.optimizer)
        return loss.detach()

    def _supervisor_loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Eq. 12, or Eq. 8 for an image that is its own source joint."""
        joints = [batch[Keys.IMAGE], batch[Keys.SOURCE]]
        with self._autocast():
            found = self.players.supervisor.network(torch.cat(joints)[:, :1]).chunk(2)
        seen = [visible_region(joint[:, :1], joint[:, 1:]) for joint in joints]
        pseudo, source = zip(found, (joint[:, 1:] for joint in joints), seen, strict=True)
        return self.objective.supervisor(*pseudo, source=source)

    def _discriminator_loss(self, joints: Separation) -> Tensor:
        """Eq. 9."""
        with self._autocast():
            found = self.players.discriminator.network(joints.layers[:, :1].detach())
        return self.objective.discriminator(found, joints.masks, joints.visible)

    def _step_generator(
        self,
        engine: Any,
        parts: Callable[[], Mapping[str, Tensor]],
        batch: Mapping[str, Tensor],
        output: dict[str, Tensor],
    ) -> None:
        """Eq. 7 or 11 and the extra losses, with the supervisor and the discriminator frozen."""
        with _frozen(self.players.supervisor.network), _frozen(self.players.discriminator.network):
            output.update(parts())
            output.update({EXTRA + name: term(output[Keys.PRED], batch) for name, term in self.objective.extra.items()})
            output[Keys.LOSS] = self._weighted(output)
            engine.fire_event(IterationEvents.LOSS_COMPLETED)
            output[Keys.LOSS] = self._step(self.players.generator, output[Keys.LOSS])
        output.update({key: value.detach() for key, value in output.items()})
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)

    def _weighted(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the loss terms and extra losses; the terms of a disabled network count as 0."""
        players = self.players
        absent = {"supervision": not players.use_supervisor, "discrimination": not players.use_discriminator}
        zeros = {part: parts[Keys.PRED].new_zeros(()) for part, off in absent.items() if off}
        extra = [term.weight * parts[EXTRA + name] for name, term in self.objective.extra.items()]
        return torch.stack([self.epoch_loss()({**parts, **zeros}), *extra]).sum()

    def _generator_parts(self, joints: Separation, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss terms L0 to L3 with a weight in this epoch; L0 always."""
        layered = self.epoch_loss().uses("layers")
        compared = layered and self.objective.fidelity.moved > 0
        moved = joints
        if self.supervised or compared:
            moved = self._moved(joints, batch[Keys.SPACING], compared)  # L' = f_s(L, t) and M' = f_s(M, t)
        parts = {"reconstruction": self._reconstruction(joints, batch)}
        if self.supervised:
            parts["supervision"] = self._supervision(moved)
        if self.discriminated:
            parts["discrimination"] = self._discrimination(joints)
        if layered:
            parts["layers"] = self.objective.fidelity(joints, moved, batch[Keys.TRUTH])
        return parts

    def _reconstruction(self, joints: Separation, batch: Mapping[str, Tensor]) -> Tensor:
        """L0 on R = f_r(L)."""
        radiograph = reconstruct(joints.layers)
        return self.objective.reconstruction(radiograph, batch[Keys.IMAGE][:, :1], joints.masks, joints.visible)

    def _supervision(self, moved: Separation) -> Tensor:
        """L1 on N_S(R')."""
        with self._autocast():
            found = self.players.supervisor.bare(reconstruct(moved.layers))
        return self.objective.supervision(found, moved.masks, moved.visible)

    def _discrimination(self, joints: Separation) -> Tensor:
        """L2 on N_D(L_0)."""
        with self._autocast():
            found = self.players.discriminator.bare(joints.layers[:, :1])
        return self.objective.discrimination(found, joints.masks, joints.visible)

    def _joints(self, layers: Tensor, batch: Mapping[str, Tensor]) -> Separation:
        image, masks = batch[Keys.IMAGE][:, :1], batch[Keys.IMAGE][:, 1:]
        return Separation(layers, masks, visible_region(image, masks), batch[Keys.LABEL])

    def _moved(self, still: Separation, spacing: Tensor, compared: bool) -> Separation:
        """Random motions f_s of the batch, concatenated along it; if ``compared``, the true layers move too."""
        if not self.motion.used:
            return still
        times = self.motion.count
        layers, masks = (value.repeat(times, 1, 1, 1) for value in (still.layers, still.masks))
        spacing = spacing.repeat(times, 1)
        motion = self.motion.ranges.sample(layers.shape[0], self.random)
        moved, moved_masks = move(layers, masks, motion, spacing, exact=False)
        truth = None
        if compared and still.truth is not None:
            truth, _ = move(still.truth.repeat(times, 1, 1, 1), masks, motion, spacing, exact=False)
        visible = visible_region(reconstruct(moved.detach()), moved_masks)
        return Separation(moved, moved_masks, visible, truth)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Freeze the parameters of a network; gradients still flow to its input."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
