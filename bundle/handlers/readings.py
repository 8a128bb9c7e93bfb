"""What networks that read radiographs leave on disk: their readings, and how good they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.data.writing import append_line, claim_output, fingerprint, write_bytes
from bundle.errors import InputError
from bundle.handlers.results import write_plot
from bundle.jsw import narrowing_grade
from bundle.metrics.readings import reading_of_widths
from bundle.metrics.reconstruction import IDENTITY
from bundle.networks.weights import file_label, load_weights
from bundle.provenance import command_line, machine

READINGS = "readings.jsonl"
"""A line for each joint that was read."""


class ReaderWeights:
    """Loads the weights of a reader when an evaluator starts.

    Args:
        reader: the network.
        load_path: its weights, as a training wrote them.
        map_location: device to load to.

    Raises:
        InputError: on starting, if there is no such file, or it is of another network.
    """

    def __init__(self, reader: nn.Module, load_path: str, map_location: Any = "cpu") -> None:
        self.reader, self.load_path, self.map_location = reader, Path(load_path), map_location

    @property
    def source(self) -> str:
        """The file with what tells it from others."""
        return file_label(self.load_path)

    def attach(self, engine: Engine) -> None:
        """Load at the start."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load."""
        remedy = "train the reader by configs/read_jsw.yaml, or name its weights by --reader_weights"
        load_weights(self.reader, self.load_path, "reader", remedy, self.map_location)


class ReadingWriter:
    """Writes what was read of each joint as a line of ``readings.jsonl``: width in mm and grade of narrowing.

    Args:
        output_dir: refused when it holds another run's results.
        settings: of the run.
    """

    def __init__(self, output_dir: str, settings: Mapping[str, Any]) -> None:
        self.output_dir = claim_output(output_dir, fingerprint({"results": type(self).__name__, **settings}))
        self.lines: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Read and write with the evaluator."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def _begin(self, engine: Engine) -> None:
        self.lines.clear()
        write_bytes(self.output_dir / READINGS, b"")

    def __call__(self, engine: Any) -> None:
        """Write the joints of a batch."""
        for joint, output in zip(engine.state.batch, engine.state.output, strict=True):
            line = self._line(joint, float(output["pred"]))
            self.lines.append(line)
            append_line(self.output_dir / READINGS, json.dumps(line))

    def _line(self, joint: Mapping[str, Any], width: float) -> dict[str, Any]:
        grade = int(narrowing_grade(torch.tensor(width)))
        return {**{key: str(joint[key]) for key in (*IDENTITY, "side")}, "read_mm": width, "narrowing_grade": grade}


class ReadingReport(ReadingWriter):
    """Writes also how good the readings are: ``metrics.json``, ``per_image.csv`` and a Bland-Altman plot.

    Joints without a true width are counted and left out.

    Args:
        output_dir: as in :class:`ReadingWriter`.
        settings: of the run.
        seed: of the intervals.
    """

    def __init__(self, output_dir: str, settings: Mapping[str, Any], seed: int = 0) -> None:
        super().__init__(output_dir, settings)
        self.settings, self.seed = dict(settings), seed

    def attach(self, engine: Engine) -> None:
        """See :meth:`ReadingWriter.attach`."""
        super().attach(engine)
        engine.add_event_handler(Events.COMPLETED, self._report)

    def _line(self, joint: Mapping[str, Any], width: float) -> dict[str, Any]:
        known = {"jsw_mm": float(joint["jsw"]), "spacing_mm": float(joint["spacing"])}
        return {**super()._line(joint, width), **known}

    def _report(self, engine: Any) -> None:
        rows = pd.DataFrame(self.lines)
        known = rows[rows["jsw_mm"].notna()]
        if len(known) < 2:
            msg = f"expected at least two joints with a joint space width, got {len(known)}: name another datalist"
            raise InputError(msg)
        found = reading_of_widths(known, seed=self.seed)
        write_bytes(self.output_dir / "per_image.csv", found.per_image.to_csv(index=False).encode())
        for name, figure in found.plots.items():
            write_plot(self.output_dir / f"{name}.png", figure)
        made = {"command": command_line(), "machine": machine(engine.state.device)}
        counted = {**found.figures, "without_width": len(rows) - len(known), "worst": found.worst[:10]}
        whole = {"settings": self.settings, "figures": counted, **made}
        write_bytes(self.output_dir / "metrics.json", json.dumps(whole, indent=1, default=str).encode())
