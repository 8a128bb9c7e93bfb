"""Figures of an experiment, collected from those of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from bundle.experiments.agreement import ErrorColumn, Outcome, change, over_seeds, reduction
from bundle.experiments.figures import Cell, KnownResult, data_settings, keep_figures, read_figures
from bundle.experiments.markdown import EXPERIMENT, ExperimentReport
from bundle.experiments.runs import Downstream, Run
from bundle.io import file_stem, machine, plain, write_bytes, write_figures

SECTION = "experiment.md"
"""The results as a section of a document."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment: the compared arms, their runs, and the results.

    Attributes:
        name: name of the experiment, that of its definition.
        title: title of the experiment.
        question: question that it answers.
        task: runs of the experiment.
        output_dir: folder of the runs and of ``experiment.json``.
        figures_dir: folder of the stored figures of the runs (:mod:`bundle.experiments.figures`).
        figures: reported figures of an evaluation (:func:`bundle.io.flat_figures`), and their labels.
        errors: errors by which arms are compared, the main one first.
        base: arm with which the others are compared.
        compared: figures whose change by an arm is reported (:func:`bundle.experiments.agreement.change`).
        curves: figures that are plotted against the fraction of the joints.
        per_image: file of an evaluation with a row for each test image.
        seed: random seed of the intervals.
    """

    name: str
    title: str
    question: str
    task: Downstream
    output_dir: str
    figures_dir: str
    figures: Mapping[str, str]
    errors: Sequence[ErrorColumn]
    base: str
    compared: Sequence[str] = ()
    curves: Sequence[str] = ()
    per_image: str = "per_image.csv"
    seed: int = 0

    @cached_property
    def runs(self) -> dict[str, Run]:
        """All runs by their names (:meth:`Downstream.runs`)."""
        return {run.name: run for run in self.task.runs(self.output_dir)}

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """Arm, fraction and seed of each training, by its name."""
        return {self.task.trained(*cell): cell for cell in self.task.cells()}

    def kept(self, name: str) -> Path:
        """Return the file of the figures of a training."""
        return Path(self.figures_dir) / f"{name}.json"

    def keep(self, name: str) -> None:
        """Store the figures of a training from its evaluation.

        Raises:
            InputError: the evaluation is damaged.
        """
        cell = self.cells[name]
        folder = Path(self.output_dir) / self.task.evaluated(*cell)
        columns = [error.column for error in self.errors]
        measured = folder / self.task.metrics, folder / self.per_image
        keep_figures(self.kept(name), measured, cell, self._settings(cell[0]), columns)

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes of the trainings whose figures are stored.

        Raises:
            InputError: figures are damaged, or of other settings.
        """
        done = {name: cell for name, cell in self.cells.items() if self.kept(name).is_file()}
        names = list(self.figures)
        return [read_figures(self.kept(name), cell, self._settings(cell[0]), names) for name, cell in done.items()]

    def collect(self, command: str = "") -> None:
        """Write the results: ``experiment.json``, curves, and the section of a document.

        Args:
            command: command that has run the experiment.

        Raises:
            InputError: figures are damaged, or of other settings.
        """
        report = ExperimentReport(plain(self.found(command)))
        folder = Path(self.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_figures(folder / EXPERIMENT, report.found)
        report.plot(folder)
        write_bytes(folder / SECTION, f"{report.section()}\n".encode())

    def found(self, command: str = "") -> dict[str, Any]:
        """Return the content of ``experiment.json``."""
        outcomes = self.outcomes()
        return {
            "title": self.title,
            "question": self.question,
            "base": self.base,
            "settings": self._options | {"arms": {name: asdict(arm) for name, arm in self.task.arms.items()}},
            "figures": dict(self.figures),
            "curves": list(self.curves),
            "over_seeds": over_seeds(outcomes, list(self.figures)).to_dict("records"),
            "errors": [error.label for error in self.errors],
            "reductions": self.reductions(outcomes),
            "changes": self.changes(outcomes),
            "cells": [
                {"arm": out.arm, "fraction": out.fraction, "seed": out.seed, "figures": out.figures} for out in outcomes
            ],
            "command": command,
            "machine": machine(),
        }

    @property
    def _options(self) -> dict[str, Any]:
        """Settings of all arms."""
        names = ("options", "pretraining", "training", "evaluation")
        return {"configs": list(self.task.train), **{name: dict(getattr(self.task, name)) for name in names}}

    def _settings(self, arm: str) -> dict[str, Any]:
        """Return the settings of the runs of an arm, except their fraction and seed."""
        return {**data_settings(), **self._options, "arm": asdict(self.task.arms[arm])}

    def reductions(self, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """Compute the reduction of each error of each arm and fraction against the base, on every fraction."""
        done = sorted({(out.arm, out.fraction) for out in outcomes})
        bases, others = ([cell for cell in done if (cell[0] == self.base) == same] for same in (True, False))
        return [
            {
                "error": error.label,
                "arm": arm,
                "fraction": fraction,
                "base_fraction": base_fraction,
                **self._reduction(outcomes, error, (arm, fraction), (self.base, base_fraction)),
            }
            for error, (arm, fraction), (_, base_fraction) in product(self.errors, others, bases)
        ]

    def changes(self, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """Compute the change of the figures of each arm and fraction against the base on the same fraction."""
        done = sorted({(out.arm, out.fraction) for out in outcomes})
        cells = [(arm, fraction) for arm, fraction in done if arm != self.base and (self.base, fraction) in done]
        return [
            {"arm": arm, "fraction": fraction, "figure": name, **change(outcomes, name, self.base, arm, fraction)}
            for name, (arm, fraction) in product(self.compared, cells)
        ]

    def _reduction(
        self, outcomes: Sequence[Outcome], error: ErrorColumn, arm: tuple[str, float], base: tuple[str, float]
    ) -> Mapping[str, Any]:
        """:func:`bundle.experiments.agreement.reduction`, or the stored one if errors per image were not stored."""
        compared = [out for out in outcomes if (out.arm, out.fraction) in (arm, base)]
        if all(out.errors is not None for out in compared):
            return reduction(compared, error, base[0], *arm, base[1], seed=self.seed)
        return self._known.reduction(error.label, arm, base, compared)

    @cached_property
    def _known(self) -> KnownResult:
        """The result stored beside the figures."""
        return KnownResult(Path(self.figures_dir).parent / f"{file_stem(self.title)}.json")
