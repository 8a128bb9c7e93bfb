"""Cost of the trainings of a downstream task, estimated in advance (:mod:`bundle.workflow.costs`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bundle.workflow.costs import FLOAT, Cost, Passes, checked_rate, forward_flop
from bundle.workflow.training_record import RECORD, read_record
from torch import nn


@dataclass(frozen=True)
class Stage:
    """Training on its own number of images.

    Attributes:
        epochs: number of epochs.
        images: number of images per epoch, or their container.
        record: folder of its record inside that of the job.
        added: number of additional images per epoch.
    """

    epochs: int
    images: int | Sized
    record: str
    added: int = 0

    @property
    def count(self) -> int:
        """Number of images per epoch."""
        return (self.images if isinstance(self.images, int) else len(self.images)) + self.added


class TaskCost(Cost):
    """Cost of the trainings of a task with one network, trained on every image.

    The synthesis of radiographs before training and the validations are excluded.

    Args:
        name: name of the network.
        network: trained network.
        shape: shape of one image, (C, H, W).
        stages: trainings by name.
        batch_size: number of images per step.
        views: factors whose product is the number of passes of an image per step.
        kept: floats kept on the device per image of the largest stage; 0 for none.
        tflops: peak rate of the device in TFLOP/s, in the precision used; 0 if unknown.

    Raises:
        InputError: the peak rate is negative or not finite.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        shape: Sequence[int],
        stages: Mapping[str, Stage],
        batch_size: int,
        views: Sequence[int] = (1,),
        kept: int = 0,
        tflops: float = 0.0,
    ) -> None:
        self.tflops = checked_rate(tflops)
        self.players, self.passes = {name: network}, {name: Passes(learning=float(math.prod(views)))}
        self.name, self.shape, self.stages, self.kept = name, tuple(shape), dict(stages), kept
        self.batch_size = batch_size

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages.values())

    @cached_property
    def flop_of_image(self) -> float:
        """Operations of a step per image of its batch."""
        return self.passes[self.name].forwards * forward_flop(self.players[self.name], *self.shape)

    def flop(self) -> dict[str, float]:
        """Count the operations of an epoch, by stage."""
        each = self.flop_of_image
        return {name: stage.count * each for name, stage in self.stages.items()}

    def total_flop(self) -> float:
        """Count the operations of all stages."""
        return sum(self.stages[name].epochs * flop for name, flop in self.flop().items())

    def steps(self) -> dict[str, int]:
        """Count the steps of an epoch, by stage."""
        return {name: math.ceil(stage.count / self.batch_size) for name, stage in self.stages.items()}

    def summary(self) -> str:
        """Summarize the cost as text."""
        steps, flop = self.steps(), self.flop()
        whole = sum(stage.epochs * steps[name] for name, stage in self.stages.items())
        counts = ", ".join(f"{stage.count} in {name}" for name, stage in self.stages.items())
        plan = " + ".join(str(stage.epochs) for stage in self.stages.values())
        of_epochs = ", ".join(f"{flop[name] / 1e12:.1f} in {name}" for name in self.stages)
        held = max(stage.count for stage in self.stages.values()) * self.kept * FLOAT
        lines = [
            self.described_parameters(),
            f"images: {counts}",
            f"schedule: {plan} epochs; {whole} steps of {self.batch_size} images",
            f"operations: {self.batch_size * self.flop_of_image / 1e12:.3f} TFLOP per step; TFLOP per epoch "
            f"{of_epochs}; in total {self.total_flop() / 1e15:.2f} PFLOP",
            f"memory: images {held / 1e9:.2f} GB, weights with gradients and optimisers "
            f"{self.size_of_training() / 1e9:.2f} GB, without activations; a checkpoint "
            f"{self.bytes_of_checkpoint() / 1e9:.2f} GB",
            self.described_time(),
        ]
        return "\n".join(lines)

    def seconds_of(self, output_dir: Path) -> dict[str, float]:
        """Read the seconds of each complete stage from its record (:class:`bundle.workflow.EpochRecord`)."""
        return {
            name: float(read_record(output_dir / stage.record / RECORD)["epochs"][-1]["seconds"])
            for name, stage in self.stages.items()
        }

    def seconds_in(self, output_dir: Path) -> float:
        """Read the seconds of all stages."""
        return sum(self.seconds_of(output_dir).values())

    def spent(self, output_dir: Path) -> dict[str, Any]:
        """Report as :meth:`bundle.workflow.costs.Cost.spent`, and also for each stage."""
        flop, seconds = self.flop(), self.seconds_of(output_dir)
        stages = {
            name: {"epochs": stage.epochs, **self.pace(seconds[name], stage.epochs, stage.epochs * flop[name])}
            for name, stage in self.stages.items()
        }
        return {**super().spent(output_dir), "stages": stages}
