"""What a training takes, counted before it is run: parameters, floating-point operations, bytes, time.

Operations are those of convolutions and matrix products, of one image forwards, counted on torch's meta device, where
nothing is computed (:class:`torch.utils.flop_counter.FlopCounterMode`). Backwards they are twice as many: once for the
gradient of the input, once for that of the weights. Losses, motions and pseudo-images are left out: they move memory
and take few operations. A multiplication with its addition counts as two, as in the figures of processors.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from bundle.errors import InputError, flag
from bundle.joint import MCP
from bundle.workflow.jobs import Schedule
from bundle.workflow.training_record import RECORD, read_record
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

OPTIMISER_STATES = 3
"""Of AdamW with amsgrad: two moments and the largest second one."""

FLOAT = 4
"""Bytes of a float32."""


def parameters_of(network: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


def forward_flop(network: nn.Module, *shape: int, **options: Any) -> int:
    """Floating-point operations of a network for one image (C, H, W), forwards; ``options`` are its other arguments."""
    counted = copy.deepcopy(network).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        counted(torch.empty(1, *shape, device="meta"), **options)
    return int(counter.get_total_flops())


@dataclass(frozen=True)
class Passes:
    """How often a step sends images through a network, as multiples of the batch.

    Attributes:
        learning: images that it learns from: forwards, and backwards to its weights.
        through: images whose gradient passes through it to the generator, its weights being frozen.
        still: images without any gradient.
    """

    learning: float = 0.0
    through: float = 0.0
    still: float = 0.0

    @property
    def forwards(self) -> float:
        """The same in passes forwards; one backwards is two where weights learn, one where they are frozen."""
        return 3.0 * self.learning + 2.0 * self.through + self.still


def checked_rate(tflops: float) -> float:
    """The rate of a device in TFLOP/s.

    Raises:
        InputError: it is negative or not finite.
    """
    if not 0.0 <= float(tflops) < math.inf:
        msg = f"peak_tflops: expected a rate of at least 0 (0: not known), got {tflops}"
        raise InputError(msg)
    return float(tflops)


class Cost:
    """What the networks of a training take: the part that all trainings share.

    Attributes:
        players: the networks, by name.
        passes: how a step sends images through each.
        tflops: of the device at its peak, in the precision used; 0 if it is not known.
    """

    players: Mapping[str, nn.Module]
    passes: Mapping[str, Passes]
    tflops: float

    @property
    def parameters(self) -> dict[str, int]:
        """Of each network that takes part."""
        return {name: parameters_of(network) for name, network in self.players.items() if self.passes[name].forwards}

    @property
    def epochs(self) -> int:
        """Of the whole schedule."""
        raise NotImplementedError

    def total_flop(self) -> float:
        """Operations of the whole schedule."""
        raise NotImplementedError

    def summary(self) -> str:
        """All of it in words."""
        raise NotImplementedError

    def seconds_in(self, output_dir: Path) -> float:
        """What a training that is done took by its records."""
        return float(read_record(output_dir / RECORD)["validations"][-1]["seconds"])

    def show(self) -> None:
        """Print the summary."""
        print(self.summary())

    def spent(self, output_dir: Path) -> dict[str, Any]:
        """What a training that is done took: parameters, operations, seconds of an epoch, its part of the peak.

        Args:
            output_dir: of the training, with its record (:class:`bundle.workflow.TrainingRecord`).
        """
        found = {"parameters": self.parameters, "epochs": self.epochs, "pflop": self.total_flop() / 1e15}
        return {**found, **self.pace(self.seconds_in(output_dir), self.epochs, self.total_flop())}

    def pace(self, seconds: float, epochs: int, flop: float) -> dict[str, float]:
        """Seconds in all and of an epoch, the rate that was reached, and its part of the peak where that is known."""
        rate = flop / max(seconds, 1e-9) / 1e12
        found = {"seconds": seconds, "seconds_per_epoch": seconds / max(epochs, 1), "tflops_reached": rate}
        return {**found, "part_of_peak": rate / self.tflops} if self.tflops else found

    def size_of_training(self) -> int:
        """Bytes of weights, their gradients and what the optimisers keep; activations are not counted."""
        return (2 + OPTIMISER_STATES) * sum(self.parameters.values()) * FLOAT

    def bytes_of_checkpoint(self) -> int:
        """Bytes of one checkpoint."""
        return (1 + OPTIMISER_STATES) * sum(self.parameters.values()) * FLOAT

    def described_parameters(self) -> str:
        """The parameters in words."""
        named = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in self.parameters.items())
        return f"parameters: {named}"

    def described_time(self) -> str:
        """The time at the device's rate in words."""
        if not self.tflops:
            return "time: name the rate that the device reaches by --peak_tflops"
        seconds = self.total_flop() / self.tflops / 1e12
        return f"time at {self.tflops:g} TFLOP/s: {seconds / 60:.1f} minutes of training, evaluation besides"


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """What a step of a two-phase training does with its three networks.

    Attributes:
        motions: random motions.
        use_supervisor: whether N_S is trained.
        use_discriminator: whether N_D is trained, from epoch m on.
        channels: of the images that the supervisor and the discriminator see, where it is not 1.
        supervised: images that the supervisor sees, as a multiple of the batch, and those through which the generator
            learns from it; by default the batch with its sources, and each motion of the batch.
        generator_options: how the generator is called.
    """

    motions: int = 2
    use_supervisor: bool | str = True
    use_discriminator: bool | str = True
    channels: Mapping[str, int] = field(default_factory=dict)
    supervised: Sequence[float] = ()
    generator_options: Mapping[str, Any] = field(default_factory=dict)


class TrainingCost(Cost):
    """What a two-phase training takes (:class:`bundle.separation.LayerSeparationTrainer`).

    Args:
        players: the networks ``generator``, ``supervisor`` and ``discriminator``.
        joints: items of the training, each with ``overlapping``.
        schedule: its epochs.
        batch_size: of a step.
        step: what is done in a step.
        image_size: height and width in pixels.
        tflops: of the device at its peak, in the precision used; 0 if it is not known.

    Raises:
        InputError: a peak that is negative or not finite.
    """

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        joints: Sequence[Mapping[str, Any]],
        schedule: Schedule,
        batch_size: int,
        step: TrainingStep | None = None,
        image_size: int = MCP.pixels,
        tflops: float = 0.0,
    ) -> None:
        step = step or TrainingStep()
        self.tflops = checked_rate(tflops)
        self.players, self.schedule, self.batch_size, self.size = players, schedule, batch_size, image_size
        self.channels = {"generator": 3, "supervisor": 1, "discriminator": 1, **step.channels}
        self.images = {"stage1": sum(not joint["overlapping"] for joint in joints), "stage2": len(joints)}
        self.options = {"generator": dict(step.generator_options)}
        learning, through = step.supervised or (2.0, float(step.motions))
        self.passes = {
            "generator": Passes(learning=1.0),
            "supervisor": Passes(learning, through) if flag(step.use_supervisor) else Passes(),
            "discriminator": Passes(1.0, 1.0) if flag(step.use_discriminator) else Passes(),
        }

    @property
    def epochs(self) -> int:
        """Of both stages."""
        return self.schedule.epochs

    def flop_of_image(self, discriminated: bool = True) -> float:
        """Operations of a step for one image of its batch."""
        return sum(flop for name, flop in self._flop_of_players.items() if discriminated or name != "discriminator")

    @cached_property
    def _flop_of_players(self) -> dict[str, float]:
        """Operations of a step for one image of its batch, of each network that takes part."""
        return {
            name: passes.forwards
            * forward_flop(self.players[name], self.channels[name], self.size, self.size, **self.options.get(name, {}))
            for name, passes in self.passes.items()
            if passes.forwards
        }

    def flop(self) -> dict[str, float]:
        """Operations of an epoch: of stage 1 before and after epoch m, and of stage 2."""
        early, late = self.flop_of_image(discriminated=False), self.flop_of_image()
        first, second = self.images["stage1"], self.images["stage2"]
        return {"early": first * early, "stage1": first * late, "stage2": second * late}

    def total_flop(self) -> float:
        """Operations of the whole schedule."""
        flop, plan = self.flop(), self.schedule
        late = plan.stage1 - plan.early
        return plan.early * flop["early"] + late * flop["stage1"] + plan.stage2 * flop["stage2"]

    def bytes_on_device(self) -> dict[str, int]:
        """Bytes of the joints, and of weights, gradients and what the optimisers keep; activations are not counted."""
        joints = self.images["stage2"] * 6 * self.size**2 * FLOAT
        return {"joints": joints, "training": self.size_of_training()}

    def steps(self) -> dict[str, int]:
        """Steps of an epoch, by stage."""
        return {stage: math.ceil(count / self.batch_size) for stage, count in self.images.items()}

    def summary(self) -> str:
        """All of it in words."""
        plan, flop, steps, held = self.schedule, self.flop(), self.steps(), self.bytes_on_device()
        whole = plan.stage1 * steps["stage1"] + plan.stage2 * steps["stage2"]
        lines = [
            self.described_parameters(),
            f"joints: {self.images['stage1']} in stage 1, {self.images['stage2']} in stage 2",
            f"schedule: {plan.stage1} + {plan.stage2} epochs, m = {plan.early}; {whole} steps of "
            f"{self.batch_size} images",
            f"operations of a step: {self.batch_size * self.flop_of_image() / 1e12:.3f} TFLOP; of an epoch of stage 1 "
            f"{flop['early'] / 1e12:.1f} to epoch m, {flop['stage1'] / 1e12:.1f} after it, of stage 2 "
            f"{flop['stage2'] / 1e12:.1f} TFLOP; of all {self.total_flop() / 1e15:.2f} PFLOP",
            f"memory: joints {held['joints'] / 1e9:.2f} GB, weights with gradients and optimisers "
            f"{held['training'] / 1e9:.2f} GB, activations besides; a checkpoint "
            f"{self.bytes_of_checkpoint() / 1e9:.2f} GB",
            self.described_time(),
        ]
        return "\n".join(lines)
