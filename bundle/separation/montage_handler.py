"""Training logs: losses by name, and montages of separated layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from bundle.io import SHOWN_CHANGE_MM, TITLES, joint_row, montage_image, write_png
from bundle.physics import RigidMotion, synthesize
from bundle.separation.weighted_loss import EXTRA
from ignite.engine import Engine, Events
from torch import Tensor

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOSSES = ("loss", "reconstruction", "supervision", "discrimination", "layers", "supervisor", "discriminator")


def losses_from_engine(output: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> dict[str, float]:
    """Collect the computed losses of an iteration by name; an ``output_transform`` of MONAI's handlers."""
    first = output if isinstance(output, Mapping) else output[0]
    names = [name for name in first if name in LOSSES or name.startswith(EXTRA)]
    return {name: float(torch.as_tensor(first[name]).detach()) for name in names}


def separation_row(image: Tensor, layers: Tensor, spacing: float, change_mm: float = SHOWN_CHANGE_MM) -> list[Any]:
    """Create the standard montage row of a joint (:func:`bundle.io.joint_row`).

    Args:
        image: radiograph and masks, (3, H, W).
        layers: generated layers, (3, H, W).
        spacing: pixel size in mm.
        change_mm: change of the joint space width in mm, added and subtracted for the two synthetic radiographs; the
            titles (:data:`bundle.io.TITLES`) state the default.
    """
    changes = RigidMotion.widening(torch.tensor([change_mm, -change_mm], dtype=torch.float64))
    shown, masks = (values.detach().cpu().float().expand(2, -1, -1, -1) for values in (layers, image[1:]))
    made = synthesize(shown, masks, changes, spacing, [0, 0])
    return joint_row(image[0].cpu(), image[1:].cpu(), layers.detach().cpu(), made.image[0], made.image[1])


class TensorBoardWriter:
    """TensorBoard writer that creates its folder and file on the first write.

    For ``summary_writer`` of MONAI's handlers. Attributes are those of :class:`torch.utils.tensorboard.SummaryWriter`.

    Args:
        log_dir: folder of the event files.
    """

    def __init__(self, log_dir: str) -> None:
        self.log_dir = log_dir

    @cached_property
    def writer(self) -> SummaryWriter:
        """The underlying writer."""
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(self.log_dir)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.writer, name)


class LayerMontageHandler:
    """Writer of a montage of the first joints of every evaluation, as PNG and to TensorBoard.

    Attach it to an evaluator whose batches hold ``image``, ``name`` and ``spacing`` and whose output holds ``pred``.

    Args:
        output_dir: folder of the PNG files, ``layers_epoch_<n>.png``.
        summary_writer: TensorBoard writer.
        count: number of joints.
    """

    def __init__(self, output_dir: str, summary_writer: TensorBoardWriter | SummaryWriter, count: int = 6) -> None:
        self.writer = summary_writer
        self.output_dir = Path(output_dir)
        self.count = count
        self.rows: list[list[Any]] = []
        self.labels: list[str] = []

    def attach(self, engine: Engine) -> None:
        """Attach the handler to an engine: collect on every iteration, write at the end of the epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def clear(self, engine: Engine) -> None:
        """Discard the joints of the last evaluation."""
        self.rows, self.labels = [], []

    def collect(self, engine: Any) -> None:
        """Collect joints up to ``count``."""
        for joint, output in zip(engine.state.batch, engine.state.output, strict=True):
            if len(self.rows) < self.count:
                self.rows.append(separation_row(joint["image"], output["pred"], float(joint["spacing"])))
                self.labels.append(str(joint["name"]))

    def write(self, engine: Engine) -> None:
        """Write the montage of this evaluation."""
        montage = montage_image(self.rows, TITLES, self.labels)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        write_png(self.output_dir / f"layers_epoch_{engine.state.epoch:03d}.png", montage)
        self.writer.add_image("layers", montage, engine.state.epoch, dataformats="HWC")
