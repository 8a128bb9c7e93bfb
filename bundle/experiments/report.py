"""The figures of an experiment: read from its runs, put together and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from bundle.base import parse_json
from bundle.errors import InputError
from bundle.experiments.agreement import ErrorColumn, Outcome, change, over_seeds, plot_curves, reduction
from bundle.experiments.experiments import Downstream, Runner
from bundle.io import (
    claim_output,
    command_line,
    file_stem,
    fingerprint,
    flat_figures,
    machine,
    write_figures,
    write_plot,
)

EXPERIMENT = "experiment.json"
"""What an experiment found."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Carries out the runs of a task and writes ``experiment.json`` and learning curves.

    Attributes:
        title: of the experiment.
        question: that it answers.
        task: its runs.
        runner: that carries them out.
        figures: of an evaluation that are told (:func:`bundle.io.flat_figures`), and their labels.
        errors: that arms are compared by, the first one above all.
        base: arm that the others are compared with.
        compared: figures whose change by an arm is told (:func:`bundle.experiments.agreement.change`).
        curves: figures that are drawn against the part of the joints.
        per_image: file of an evaluation with a row for each test image.
        seed: of the intervals.
    """

    title: str
    question: str
    task: Downstream
    runner: Runner
    figures: Mapping[str, str]
    errors: Sequence[ErrorColumn]
    base: str
    compared: Sequence[str] = ()
    curves: Sequence[str] = ()
    per_image: str = "per_image.csv"
    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What tells experiments apart; parts and seeds can be added to one."""
        options = {
            name: dict(getattr(self.task, name)) for name in ("options", "pretraining", "training", "evaluation")
        }
        arms = {name: asdict(arm) for name, arm in self.task.arms.items()}
        return {"configs": list(self.task.train), "arms": arms, **options}

    @property
    def folder(self) -> Path:
        """Of the results."""
        return Path(self.runner.output_dir)

    def run(self) -> None:
        """Carry out what is left, and write what was found, also when a run has failed.

        Raises:
            InputError: the folder is another experiment's, or a run has failed.
        """
        claim_output(self.folder, fingerprint({"results": type(self).__name__, "title": self.title, **self.settings}))
        try:
            self.runner(self.task.runs(self.folder))
        finally:
            self.write()

    def write(self) -> None:
        """Write what the evaluations that are done have found."""
        outcomes = self.outcomes()
        if not outcomes:
            return
        table = over_seeds(outcomes, list(self.figures))
        labels = {name: arm.label for name, arm in self.task.arms.items()}
        for name in self.curves:
            write_plot(self.folder / f"{file_stem(name)}.png", plot_curves(table, name, labels, self.figures[name]))
        cells = [{"arm": out.arm, "part": out.part, "seed": out.seed, "figures": out.figures} for out in outcomes]
        found = {
            "title": self.title,
            "question": self.question,
            "base": self.base,
            "settings": self.settings,
            "figures": dict(self.figures),
            "curves": list(self.curves),
            "over_seeds": table.to_dict("records"),
            "errors": [error.label for error in self.errors],
            "reductions": self.reductions(outcomes),
            "changes": self.changes(outcomes),
            "cells": cells,
            "command": command_line(),
            "machine": machine(),
        }
        write_figures(self.folder / EXPERIMENT, found)

    def outcomes(self) -> list[Outcome]:
        """What each evaluation that is done has found."""
        return [self._outcome(*cell) for cell in self.task.cells() if self._evaluated(*cell)]

    def reductions(self, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """Of each error, arm and part what is gone of it against the base, of the same part and of the others."""
        done = sorted({(out.arm, out.part) for out in outcomes})
        bases, others = ([cell for cell in done if (cell[0] == self.base) == same] for same in (True, False))
        return [
            {
                "error": error.label,
                "arm": arm,
                "part": part,
                "base_part": base_part,
                **reduction(outcomes, error, self.base, arm, part, base_part, seed=self.seed),
            }
            for error, (arm, part), (_, base_part) in product(self.errors, others, bases)
        ]

    def changes(self, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """Of each arm and part how the figures that are compared differ from those of the base on the same part."""
        done = sorted({(out.arm, out.part) for out in outcomes})
        cells = [(arm, part) for arm, part in done if arm != self.base and (self.base, part) in done]
        return [
            {"arm": arm, "part": part, "figure": name, **change(outcomes, name, self.base, arm, part)}
            for name, (arm, part) in product(self.compared, cells)
        ]

    def _evaluated(self, arm: str, part: float, seed: int) -> bool:
        return (self._evaluation(arm, part, seed) / self.task.metrics).is_file()

    def _evaluation(self, arm: str, part: float, seed: int) -> Path:
        return self.folder / self.task.evaluated(arm, part, seed)

    def _outcome(self, arm: str, part: float, seed: int) -> Outcome:
        folder = self._evaluation(arm, part, seed)
        try:
            figures = flat_figures(parse_json((folder / self.task.metrics).read_bytes())["figures"])
            rows = pd.read_csv(folder / self.per_image)
            errors = rows[["name", "joint", *(error.column for error in self.errors)]]
            return Outcome(arm, part, seed, {name: figures[name] for name in self.figures}, errors)
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"expected the figures of an evaluation, got {folder} ({error!r}): delete it and run it again"
            raise InputError(msg) from error
