"""Calibration of the uncertainty that a scoring network states, on joints that its training held out.

A network learns its own error on joints that it was trained on, and therefore states too little on others. One factor
corrects it: standard deviations are multiplied and the logits of grades divided by it. Predictions do not change.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from bundle.base import read_json
from bundle.errors import InputError
from bundle.io import command_line, name_result, private_setting, write_bytes
from bundle.networks import file_label
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

FEWEST = 4
"""Minimum number of joints for a calibration."""

JOB = "configs/jobs/calibrate_scorer.yaml"

Array = NDArray[np.float64]
_log = logging.getLogger("bundle.scoring")


class Calibrated(Protocol):
    """Reading whose uncertainty a factor corrects (:class:`bundle.scoring.agreement.Reading`).

    Attributes:
        figure: name of the figure that shows how well the uncertainty fits.
        ideal: its ideal value.
    """

    figure: str
    ideal: float

    def truth(self, joint: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the true value of a joint; None if unknown."""

    def fit_factor(self, outputs: Tensor, rows: pd.DataFrame) -> float:
        """Fit the factor to outputs (N, outputs) and the true values of as many images, with their ``joint``."""

    def figure_at(self, outputs: Tensor, rows: pd.DataFrame, factor: float) -> Array:
        """Return the figure of each image with a factor, (N,)."""


@dataclass(frozen=True)
class UncertaintyCalibration:
    """Factor of the uncertainty that a scoring network states.

    Attributes:
        factor: factor of standard deviations, divisor of logits.
        weights: weights that were calibrated (:func:`bundle.networks.file_label`).
        made: provenance: data, number of joints and split, with a figure before, and on left-out joints.
    """

    factor: float
    weights: str
    made: dict[str, Any]

    def write(self, path: str | Path) -> None:
        """Write as JSON; raises :class:`InputError` if the file cannot be written."""
        write_bytes(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: str | Path) -> UncertaintyCalibration:
        """Read a file from :meth:`write`.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            stated = read_json(path)
            found = cls(float(stated["factor"]), str(stated["weights"]), dict(stated["made"]))
            if not 0.0 < found.factor < math.inf:
                raise ValueError("the factor is not above 0")
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            msg = f"{path}: not a calibration of a scoring network ({error}). Restore the file, or run {JOB}."
            raise InputError(msg) from error
        return found


def calibration_path(weights: str | Path) -> Path:
    """Return the file of the calibration of a weights file, beside it."""
    path = Path(weights)
    return path.with_name(f"{path.stem}_calibration.json")


def uncertainty_factor(weights: str | Path) -> float:
    """Return the factor of the calibration beside a weights file; 1 if there is none of these weights.

    Raises:
        InputError: the calibration cannot be read.
    """
    path = calibration_path(weights)
    if not path.is_file():
        _log.info(f"The uncertainty that {Path(weights).name} states is not calibrated. Run {JOB}.")
        return 1.0
    found = UncertaintyCalibration.read(path)
    if found.weights != file_label(Path(weights)):
        _log.warning(f"{path}: the calibration of {found.weights}, not of these weights. Run {JOB}.")
        return 1.0
    return found.factor


class CalibrationWriter:
    """Handler of an evaluator that fits the calibration of its network and writes it beside the weights.

    Joints of unknown truth are left out.

    Args:
        weights: weights of the network (:class:`bundle.workflow.NetworkWeights`).
        reading: interpretation of the network's outputs.
        settings: data and seed, written to the file as well.
    """

    def __init__(self, weights: Any, reading: Calibrated, settings: Mapping[str, Any]) -> None:
        self.weights, self.reading, self.settings = weights, reading, dict(settings)
        self.outputs: list[Tensor] = []
        self.known: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Calibrate when the evaluator has seen all joints."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def __call__(self, engine: Any) -> None:
        """Keep the outputs and the truth of a batch."""
        for joint, output in zip(engine.state.batch, engine.state.output, strict=True):
            if (truth := self.reading.truth(joint)) is not None:
                self.outputs.append(output["pred"].detach().float().cpu())
                self.known.append({"joint": str(joint["joint"]), **truth})

    def _write(self, engine: Any) -> None:
        rows = pd.DataFrame(self.known, columns=list(self.known[0]) if self.known else ["joint"])
        if (count := rows["joint"].nunique()) < FEWEST:
            msg = f"a calibration needs {FEWEST} joints with a label, the list has {count}. Choose another datalist."
            raise InputError(msg)
        calibration = self._fitted(torch.stack(self.outputs), rows)
        path = calibration_path(self.weights.load_path)
        calibration.write(path)
        name_result(path)

    def _fitted(self, outputs: Tensor, rows: pd.DataFrame) -> UncertaintyCalibration:
        """Fit the factor; 1 if it is not better than 1 on joints that are left out of the fit."""
        reading = self.reading
        without, left = (
            float(np.mean(values))
            for values in (reading.figure_at(outputs, rows, 1.0), left_out(reading, outputs, rows))
        )
        better = abs(left - reading.ideal) < abs(without - reading.ideal)
        made = {
            **private_setting("", self.settings),
            "images": len(rows),
            "joints": rows["joint"].nunique(),
            "figure": reading.figure,
            "uncalibrated": round(without, 3),
            "joints_left_out": round(left, 3),
            "command": command_line(),
        }
        return UncertaintyCalibration(reading.fit_factor(outputs, rows) if better else 1.0, self.weights.source, made)


def left_out(reading: Calibrated, outputs: Tensor, rows: pd.DataFrame) -> Array:
    """Return the figure of each image, (N,), with the factor that is fitted to all other joints."""
    figures = np.empty(len(rows))
    for joint in rows["joint"].unique():
        out = (rows["joint"] == joint).to_numpy()
        factor = reading.fit_factor(outputs[~out], rows[~out])
        figures[out] = reading.figure_at(outputs[out], rows[out], factor)
    return figures
