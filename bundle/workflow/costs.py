"""Cost of a training, estimated in advance: parameters, floating-point operations, bytes, time.

Operations are those of convolutions and matrix products in the forward pass of one image, counted on torch's meta
device, where nothing is computed (:class:`torch.utils.flop_counter.FlopCounterMode`). A backward pass takes twice as
many: for the gradient of the input and for that of the weights. Losses, motions and pseudo-images are excluded: they
move memory and take few operations. A multiply-add counts as two operations, as in the ratings of processors.
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
"""State tensors per parameter of AdamW with amsgrad: two moments and the largest second one."""

FLOAT = 4
"""Bytes of a float32."""


def parameters_of(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def forward_flop(network: nn.Module, *shape: int, **options: Any) -> int:
    """Count the operations of a network's forward pass of one image (C, H, W); ``options`` are its other arguments."""
    counted = copy.deepcopy(network).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        counted(torch.empty(1, *shape, device="meta"), **options)
    return int(counter.get_total_flops())


@dataclass(frozen=True)
class Passes:
    """Passes of a step through a network, in multiples of the batch.

    Attributes:
        learning: images with gradients of the network's weights: forward and backward.
        through: images whose gradient passes through the frozen network to the generator.
        still: images without gradients.
    """

    learning: float = 0.0
    through: float = 0.0
    still: float = 0.0

    @property
    def forwards(self) -> float:
        """Cost in forward passes; a backward pass counts as two with trained weights, as one with frozen weights."""
        return 3.0 * self.learning + 2.0 * self.through + self.still


def checked_rate(tflops: float) -> float:
    """Check the rate of a device in TFLOP/s.

    Raises:
        InputError: the rate is negative or not finite.
    """
    if not 0.0 <= float(tflops) < math.inf:
        msg = f"peak_tflops: {tflops} is not a rate. Pass a number of at least 0; 0 means unknown."
        raise InputError(msg)
    return float(tflops)


class Cost:
    """Cost of the networks of a training; base of all trainings.

    Attributes:
        players: networks by name.
        passes: passes of a step through each network.
        tflops: peak rate of the device in TFLOP/s, in the precision used; 0 if unknown.
    """

    players: Mapping[str, nn.Module]
    passes: Mapping[str, Passes]
    tflops: float

    @property
    def parameters(self) -> dict[str, int]:
        """Number of parameters of each network in use."""
        return {name: parameters_of(network) for name, network in self.players.items() if self.passes[name].forwards}

    @property
    def epochs(self) -> int:
        """Epochs of the whole schedule."""
        raise NotImplementedError

    def total_flop(self) -> float:
        """Count the operations of the whole schedule."""
        raise NotImplementedError

    def summary(self) -> str:
        """Summarize the cost as text."""
        raise NotImplementedError

    def seconds_in(self, output_dir: Path) -> float:
        """Read the seconds of a complete training from its record."""
        return float(read_record(output_dir / RECORD)["validations"][-1]["seconds"])

    def show(self) -> None:
        """Print the summary."""
        print(self.summary())

    def spent(self, output_dir: Path) -> dict[str, Any]:
        """Report the cost of a complete training: parameters, operations, seconds per epoch, fraction of the peak.

        Args:
            output_dir: output folder of the training, with its record (:class:`bundle.workflow.TrainingRecord`).
        """
        found = {"parameters": self.parameters, "epochs": self.epochs, "pflop": self.total_flop() / 1e15}
        return {**found, **self.pace(self.seconds_in(output_dir), self.epochs, self.total_flop())}

    def pace(self, seconds: float, epochs: int, flop: float) -> dict[str, float]:
        """Compute total seconds, seconds per epoch, the achieved rate, and its fraction of the peak if known."""
        rate = flop / max(seconds, 1e-9) / 1e12
        found = {"seconds": seconds, "seconds_per_epoch": seconds / max(epochs, 1), "tflops_reached": rate}
        return {**found, "part_of_peak": rate / self.tflops} if self.tflops else found

    def size_of_training(self) -> int:
        """Compute the bytes of weights, gradients and optimiser states, without activations."""
        return (2 + OPTIMISER_STATES) * sum(self.parameters.values()) * FLOAT

    def bytes_of_checkpoint(self) -> int:
        """Compute the bytes of one checkpoint."""
        return (1 + OPTIMISER_STATES) * sum(self.parameters.values()) * FLOAT

    def described_parameters(self) -> str:
        """Describe the parameters as text."""
        named = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in self.parameters.items())
        return f"parameters: {named}"

    def described_time(self) -> str:
        """Describe the time at the device's rate as text."""
        if not self.tflops:
            return "time: pass the rate of the device as --peak_tflops"
        seconds = self.total_flop() / self.tflops / 1e12
        return f"time at {self.tflops:g} TFLOP/s: {seconds / 60:.1f} minutes of training, without evaluation"


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """Step of a two-phase training of three networks.

    Attributes:
        motions: number of random motions.
        use_supervisor: whether N_S is trained.
        use_discriminator: whether N_D is trained, from epoch m on.
        channels: input channels of the supervisor and the discriminator, if not 1.
        supervised: images of the supervisor in multiples of the batch: those for its own training, and those through
            which the generator learns; by default the batch with its labels, and each motion of the batch.
        generator_options: options of the generator's call.
    """

    motions: int = 2
    use_supervisor: bool | str = True
    use_discriminator: bool | str = True
    channels: Mapping[str, int] = field(default_factory=dict)
    supervised: Sequence[float] = ()
    generator_options: Mapping[str, Any] = field(default_factory=dict)


class TrainingCost(Cost):
    """Cost of a two-phase training (:class:`bundle.separation.LayerSeparationTrainer`).

    Args:
        players: networks ``generator``, ``supervisor`` and ``discriminator``.
        joints: items of the training, with ``overlapping``.
        schedule: epochs of the training.
        batch_size: number of images per step.
        step: content of a step; None for the default.
        image_size: height and width in pixels.
        tflops: peak rate of the device in TFLOP/s, in the precision used; 0 if unknown.

    Raises:
        InputError: the peak rate is negative or not finite.
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
        """Epochs of both stages."""
        return self.schedule.epochs

    def flop_of_image(self, discriminated: bool = True) -> float:
        """Count the operations of a step per image of its batch."""
        return sum(flop for name, flop in self._flop_of_players.items() if discriminated or name != "discriminator")

    @cached_property
    def _flop_of_players(self) -> dict[str, float]:
        """Operations of a step per image of its batch, by network in use."""
        return {
            name: passes.forwards
            * forward_flop(self.players[name], self.channels[name], self.size, self.size, **self.options.get(name, {}))
            for name, passes in self.passes.items()
            if passes.forwards
        }

    def flop(self) -> dict[str, float]:
        """Count the operations of an epoch: of stage 1 before and after epoch m, and of stage 2."""
        early, late = self.flop_of_image(discriminated=False), self.flop_of_image()
        first, second = self.images["stage1"], self.images["stage2"]
        return {"early": first * early, "stage1": first * late, "stage2": second * late}

    def total_flop(self) -> float:
        """Count the operations of the whole schedule."""
        flop, plan = self.flop(), self.schedule
        late = plan.stage1 - plan.early
        return plan.early * flop["early"] + late * flop["stage1"] + plan.stage2 * flop["stage2"]

    def bytes_on_device(self) -> dict[str, int]:
        """Compute the bytes of the joints, and of weights, gradients and optimiser states, without activations."""
        joints = self.images["stage2"] * 6 * self.size**2 * FLOAT
        return {"joints": joints, "training": self.size_of_training()}

    def steps(self) -> dict[str, int]:
        """Count the steps of an epoch, by stage."""
        return {stage: math.ceil(count / self.batch_size) for stage, count in self.images.items()}

    def summary(self) -> str:
        """Summarize the cost as text."""
        plan, flop, steps, held = self.schedule, self.flop(), self.steps(), self.bytes_on_device()
        whole = plan.stage1 * steps["stage1"] + plan.stage2 * steps["stage2"]
        lines = [
            self.described_parameters(),
            f"joints: {self.images['stage1']} in stage 1, {self.images['stage2']} in stage 2",
            f"schedule: {plan.stage1} + {plan.stage2} epochs, m = {plan.early}; {whole} steps of "
            f"{self.batch_size} images",
            f"operations: {self.batch_size * self.flop_of_image() / 1e12:.3f} TFLOP per step; per epoch of stage 1 "
            f"{flop['early'] / 1e12:.1f} TFLOP up to epoch m, {flop['stage1'] / 1e12:.1f} after it, of stage 2 "
            f"{flop['stage2'] / 1e12:.1f}; in total {self.total_flop() / 1e15:.2f} PFLOP",
            f"memory: joints {held['joints'] / 1e9:.2f} GB, weights with gradients and optimisers "
            f"{held['training'] / 1e9:.2f} GB, without activations; a checkpoint "
            f"{self.bytes_of_checkpoint() / 1e9:.2f} GB",
            self.described_time(),
        ]
        return "\n".join(lines)
