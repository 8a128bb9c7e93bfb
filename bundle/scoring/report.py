"""Results of scoring networks: their predictions and their accuracy."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from bundle.errors import InputError
from bundle.io import (
    METRICS,
    append_line,
    command_line,
    fingerprint,
    machine,
    reserve_output,
    write_bytes,
    write_figures,
    write_measured,
)
from bundle.scoring.agreement import Reading
from bundle.scoring.placement import PlacementCheck
from bundle.statistics import IDENTITY
from ignite.engine import Engine, Events
from torch import Tensor

READINGS = "readings.jsonl"
"""File with a line per scored joint."""


class ReadingWriter:
    """Writer of the prediction for each joint as a line of ``readings.jsonl``.

    Args:
        output_dir: output folder; refused if it holds the results of another run.
        settings: settings of the run.
        reading: interpretation of the network's outputs.
    """

    def __init__(self, output_dir: str, settings: Mapping[str, Any], reading: Reading) -> None:
        self.output_dir, self.settings, self.reading = Path(output_dir), dict(settings), reading
        self.lines: list[dict[str, Any]] = []

    def reserve(self) -> None:
        """Reserve the folder when the run starts."""
        reserve_output(self.output_dir, fingerprint({"results": type(self).__name__, **self.settings}))

    def attach(self, engine: Engine) -> None:
        """Write with the evaluator."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def _begin(self, engine: Engine) -> None:
        self.reserve()
        self.lines.clear()
        write_bytes(self.output_dir / READINGS, b"")

    def __call__(self, engine: Any) -> None:
        """Write the joints of a batch."""
        for joint, output in zip(engine.state.batch, engine.state.output, strict=True):
            line = self._line(joint, output["pred"])
            self.lines.append(line)
            append_line(self.output_dir / READINGS, json.dumps(line))

    def _line(self, joint: Mapping[str, Any], output: Tensor) -> dict[str, Any]:
        known = {key: str(joint[key]) for key in (*IDENTITY, "side")}
        return {**known, **self.reading.read(output), **_plausibility(joint)}


def _plausibility(joint: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a joint is plausible, and the reasons if not (:class:`bundle.quality.Plausibilityd`)."""
    if "reasons" not in joint:
        return {}
    score = float(joint["plausibility_score"])
    known = {"plausibility_score": round(score, 3) if math.isfinite(score) else None}
    return {"plausible": not joint["reasons"], **known, "reasons": joint["reasons"]}


class ReadingReport(ReadingWriter):
    """Writer of the predictions and their accuracy: ``metrics.json``, ``per_image.csv`` and plots.

    Joints of unknown truth are counted and left out.

    Args:
        output_dir: see :class:`ReadingWriter`.
        settings: settings of the run.
        reading: interpretation and evaluation of the network's outputs.
        seed: random seed of the intervals.
        placement: check of the dependence on the mark; None for none.
    """

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        reading: Reading,
        seed: int = 0,
        placement: PlacementCheck | None = None,
    ) -> None:
        super().__init__(output_dir, settings, reading)
        self.seed, self.placement = seed, placement
        self.known: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """See :meth:`ReadingWriter.attach`."""
        super().attach(engine)
        engine.add_event_handler(Events.COMPLETED, self._report)

    def _begin(self, engine: Engine) -> None:
        super()._begin(engine)
        self.known.clear()

    def _line(self, joint: Mapping[str, Any], output: Tensor) -> dict[str, Any]:
        line, truth = super()._line(joint, output), self.reading.truth(joint)
        if truth is None:
            return line
        self.known.append({**line, **truth})
        return self.known[-1]

    def _report(self, engine: Any) -> None:
        if len(self.known) < 2:
            msg = f"only {len(self.known)} joints have a joint space width, two are needed. Choose another datalist."
            raise InputError(msg)
        found = self.reading.measure(pd.DataFrame(self.known), self.seed)
        write_measured(self.output_dir, "per_image.csv", found.per_image, found.plots)
        made = {"command": command_line(), "machine": machine(engine.state.device)}
        without = {"without_truth": len(self.lines) - len(self.known), **self._placed()}
        whole = {"settings": self.settings, "figures": found.figures, **without, "worst": found.worst[:10], **made}
        write_figures(self.output_dir / METRICS, whole)

    def _placed(self) -> dict[str, Any]:
        figures = {} if self.placement is None else self.placement.figures()
        return {"placement": figures} if figures else {}
