"""The trainer of Layer Separation Networks: one stage of Algorithm 1, stepping three networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from bundle.errors import flag
from bundle.physics import MotionRange, move, reconstruct, visible_region
from bundle.separation.adversarial import Discrimination, DiscriminatorLoss
from bundle.separation.losses import (
    GeneratorLoss,
    LayerDistance,
    LayerFidelity,
    Reconstruction,
    Separation,
    Supervision,
    SupervisorLoss,
    WeightedLoss,
)
from bundle.workflow import seed_epoch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer, Trainer
from monai.engines.utils import IterationEvents
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer


@dataclass(frozen=True)
class Player:
    """A network with the optimizer that steps it; of several processes the network is DistributedDataParallel."""

    network: nn.Module
    optimizer: Optimizer

    @property
    def bare(self) -> nn.Module:
        """The network as it is used in another player's step: no gradient is collected over the processes."""
        return self.network.module if isinstance(self.network, DistributedDataParallel) else self.network


class LayerSeparationTrainer(SupervisedTrainer):
    """Trains the generator with its supervisor and discriminator: a stage of Algorithm 1.

    A batch holds ``image``, ``label``, ``truth``, ``source`` and ``spacing``
    (:mod:`bundle.separation.transforms.dictionary`), and ``seen`` where the generator is given another image than the
    losses (:class:`bundle.separation.transforms.RandDrawnMasksd`). A step updates the supervisor (Eq. 12, which is Eq.
    8 where an image is its own source), the discriminator (Eq. 9, on detached soft tissue) and then the generator (Eq.
    11 or 7), with the other two frozen. ``engine.state.output`` holds ``image``, ``label``, ``pred``, ``loss`` (the
    generator's) and every part of the losses by name.

    Epochs are counted over both stages. All randomness of an epoch follows from the seed, its number and, of several
    processes, the rank, so a resumed run goes on as an uninterrupted one would.

    Args:
        device: where to train.
        max_epochs: number of this stage's last epoch; the stage is skipped if it has none.
        data_loader: of the batches.
        generator: N_G with its optimizer.
        supervisor: N_S with its optimizer.
        discriminator: N_D with its optimizer.
        generator_loss: Eq. 7, or Eq. 11 of the epochs after ``early_epochs``.
        early_loss: Eq. 11 of the first epochs.
        early_epochs: m, the number of these epochs.
        use_supervisor: False is the ablation without N_S. Epochs whose loss gives it no weight do not train it.
        use_discriminator: False is the ablation without N_D; likewise.
        use_motion: False is the ablation without f_s.
        reconstruction: L0, by default :class:`bundle.separation.losses.Reconstruction`.
        supervision: L1, by default :class:`bundle.separation.losses.Supervision`.
        discrimination: L2, by default :class:`bundle.separation.Discrimination`.
        fidelity: L3, by default :class:`bundle.separation.LayerFidelity`.
        supervisor_loss: by default :class:`bundle.separation.losses.SupervisorLoss`.
        discriminator_loss: by default :class:`bundle.separation.DiscriminatorLoss`.
        extra_losses: further terms of the generator's loss by name; the output has them as ``extra_<name>``.
        motion: ranges of the random motions f_s.
        motions: random motions a step, averaged.
        seed: of everything random.
        epochs_before: epochs of the stage before this one.
        amp: mixed precision; bfloat16 on a CPU. Gradients are scaled in float16 alone.
        handlers: of the engine's events.
        kwargs: further arguments of :class:`monai.engines.SupervisedTrainer`, as ``amp_kwargs`` of
            :class:`torch.autocast`.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        data_loader: Iterable[Any],
        generator: Player,
        supervisor: Player,
        discriminator: Player,
        generator_loss: GeneratorLoss,
        early_loss: GeneratorLoss | None = None,
        early_epochs: int = 0,
        use_supervisor: bool = True,
        use_discriminator: bool = True,
        use_motion: bool = True,
        reconstruction: nn.Module | None = None,
        supervision: nn.Module | None = None,
        discrimination: nn.Module | None = None,
        fidelity: LayerFidelity | LayerDistance | None = None,
        supervisor_loss: nn.Module | None = None,
        discriminator_loss: nn.Module | None = None,
        extra_losses: Mapping[str, WeightedLoss] | None = None,
        motion: MotionRange | None = None,
        motions: int = 2,
        seed: int = 0,
        epochs_before: int = 0,
        amp: bool = False,
        handlers: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.generator, self.supervisor, self.discriminator = generator, supervisor, discriminator
        self.late_loss = generator_loss
        self.early_loss = generator_loss if early_loss is None else early_loss
        self.early_epochs = early_epochs
        self.use_supervisor, self.use_discriminator = flag(use_supervisor), flag(use_discriminator)
        self.use_motion = flag(use_motion)
        self.motion = MotionRange() if motion is None else motion
        self.motions = motions
        self.seed = seed
        self.random = np.random.RandomState(seed)
        self.reconstruction = reconstruction or Reconstruction()
        self.supervision = supervision or Supervision()
        self.discrimination = discrimination or Discrimination()
        self.fidelity = fidelity or LayerFidelity()
        self.supervisor_loss = supervisor_loss or SupervisorLoss()
        self.discriminator_loss = discriminator_loss or DiscriminatorLoss()
        self.extra_losses = {f"extra_{name}": term.to(device) for name, term in (extra_losses or {}).items()}
        super().__init__(
            device,
            max_epochs,
            data_loader,
            *(generator.network, generator.optimizer, generator_loss),
            train_handlers=handlers,
            amp=flag(amp),
            **kwargs,
        )
        self.state.epoch = self.state.epochs_before = epochs_before
        self.state.iteration = epochs_before * (self.state.epoch_length or 0)
        half = self.state.device.type == "cuda" and self.amp_kwargs.get("dtype", torch.float16) == torch.float16
        self.grad_scaler = torch.amp.GradScaler(self.state.device.type, enabled=self.amp and half)
        self.state_dict_user_keys.append("epochs_before")
        self.add_event_handler(Events.EPOCH_STARTED, self.reseed)

    def run(self) -> None:  # type: ignore[override]
        """Run the epochs that are left."""
        if self.state.epoch >= self.state.max_epochs:
            return
        with warnings.catch_warnings():
            # the schedules count epochs, also those in which N_D is not trained
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            super(Trainer, self).run()

    def reseed(self, engine: Engine) -> None:
        """Seed everything random of the epoch that starts."""
        self.random.seed(seed_epoch(self.seed, engine.state.epoch, getattr(self.data_loader, "dataset", None)))

    def epoch_loss(self) -> GeneratorLoss:
        """The generator's loss of the current epoch: the switch at epoch m."""
        return self.early_loss if self.state.epoch <= self.early_epochs else self.late_loss

    def _iteration(self, engine: Any, batchdata: Mapping[str, Tensor]) -> dict[str, Tensor]:
        batch = {key: self._to_device(batchdata[key]) for key in ("image", "label", "truth", "source", "spacing")}
        batch["seen"] = self._to_device(batchdata["seen"]) if "seen" in batchdata else batch["image"]
        output = {"image": batch["image"], "label": batch["label"]}
        engine.state.output = output
        for player in (self.generator, self.supervisor, self.discriminator):
            player.network.train()
        self._play(engine, batch, output)
        self.grad_scaler.update()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    def _play(self, engine: Any, batch: Mapping[str, Tensor], output: dict[str, Tensor]) -> None:
        """Step each player once."""
        if self.use_supervisor and self.epoch_loss().uses("supervision"):
            output["supervisor"] = self._step(self.supervisor, self._supervisor_loss(batch))
        output["pred"] = self._generate(engine, batch["seen"])
        still = self._still(output["pred"], batch)
        if self.use_discriminator and self.epoch_loss().uses("discrimination"):
            output["discriminator"] = self._step(self.discriminator, self._discriminator_loss(still))
        self._step_generator(engine, lambda: self._parts(still, batch), batch, output)

    def _generate(self, engine: Any, image: Tensor, **options: Any) -> Tensor:
        """What the generator makes of the batch, in float32."""
        with self._autocast():
            made = self.generator.network(image, **options)
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        return made.float()

    def _to_device(self, values: Tensor) -> Tensor:
        return torch.as_tensor(values).to(self.state.device, non_blocking=self.non_blocking, **self.to_kwargs)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.state.device.type, enabled=self.amp, **self.amp_kwargs)

    def _step(self, player: Player, loss: Tensor) -> Tensor:
        """Step one network; what is not scaled (CPU, no AMP) passes the scaler unchanged."""
        player.optimizer.zero_grad(set_to_none=True)
        self.grad_scaler.scale(loss).backward()
        self.grad_scaler.step(player.optimizer)
        return loss.detach()

    def _supervisor_loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Eq. 12; of an image that is its own source Eq. 8."""
        joints = [batch["image"], batch["source"]]
        with self._autocast():
            found = self.supervisor.network(torch.cat(joints)[:, :1]).chunk(2)
        seen = [visible_region(joint[:, :1], joint[:, 1:]) for joint in joints]
        pseudo, source = zip(found, (joint[:, 1:] for joint in joints), seen, strict=True)
        return self.supervisor_loss(*pseudo, source=source)

    def _discriminator_loss(self, still: Separation) -> Tensor:
        """Eq. 9."""
        with self._autocast():
            found = self.discriminator.network(still.layers[:, :1].detach())
        return self.discriminator_loss(found, still.masks, still.visible)

    def _step_generator(
        self,
        engine: Any,
        parts: Callable[[], Mapping[str, Tensor]],
        batch: Mapping[str, Tensor],
        output: dict[str, Tensor],
    ) -> None:
        """Eq. 7 or 11 and the extra losses, with the supervisor and the discriminator frozen."""
        with _frozen(self.supervisor.network), _frozen(self.discriminator.network):
            output.update(parts())
            output.update({name: term(output["pred"], batch) for name, term in self.extra_losses.items()})
            output["loss"] = self._weighted(output)
            engine.fire_event(IterationEvents.LOSS_COMPLETED)
            output["loss"] = self._step(self.generator, output["loss"])
        output.update({key: value.detach() for key, value in output.items()})
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)

    def _weighted(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the parts and extra losses; parts of a player that is switched off count nothing."""
        absent = {"supervision": not self.use_supervisor, "discrimination": not self.use_discriminator}
        nothing = {part: parts["pred"].new_zeros(()) for part, off in absent.items() if off}
        extra = [term.weight * parts[name] for name, term in self.extra_losses.items()]
        return torch.stack([self.epoch_loss()({**parts, **nothing}), *extra]).sum()

    def _parts(self, still: Separation, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The parts L0 to L3 that have a weight in this epoch, L0 always, by what N_S and N_D find (Eq. 2 and 3)."""
        uses = self.epoch_loss().uses
        supervised = self.use_supervisor and uses("supervision")
        compared = uses("layers") and self.fidelity.moved > 0
        moved = self._moved(still, batch["spacing"], compared) if supervised or compared else still
        radiograph = reconstruct(still.layers)
        parts = {"reconstruction": self.reconstruction(radiograph, batch["image"][:, :1], still.masks, still.visible)}
        if supervised:
            with self._autocast():
                found = self.supervisor.bare(reconstruct(moved.layers))
            parts["supervision"] = self.supervision(found, moved.masks, moved.visible)
        if self.use_discriminator and uses("discrimination"):
            with self._autocast():
                found = self.discriminator.bare(still.layers[:, :1])
            parts["discrimination"] = self.discrimination(found, still.masks, still.visible)
        if uses("layers"):
            parts["layers"] = self.fidelity(still, moved, batch["truth"])
        return parts

    def _still(self, layers: Tensor, batch: Mapping[str, Tensor]) -> Separation:
        image, masks = batch["image"][:, :1], batch["image"][:, 1:]
        return Separation(layers, masks, visible_region(image, masks), batch["label"])

    def _moved(self, still: Separation, spacing: Tensor, compared: bool) -> Separation:
        """Random motions f_s of the batch, one after the other along it; if ``compared``, the true layers move too."""
        if not self.use_motion:
            return still
        layers, masks = (value.repeat(self.motions, 1, 1, 1) for value in (still.layers, still.masks))
        spacing = spacing.repeat(self.motions, 1)
        motion = self.motion.draw(layers.shape[0], self.random)
        moved, moved_masks = move(layers, masks, motion, spacing, exact=False)
        truth = None
        if compared and still.truth is not None:
            truth, _ = move(still.truth.repeat(self.motions, 1, 1, 1), masks, motion, spacing, exact=False)
        visible = visible_region(reconstruct(moved.detach()), moved_masks)
        return Separation(moved, moved_masks, visible, truth)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Keep gradients from the parameters of a network, not from its input."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
