"""Runs of an experiment: their options and dependencies."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from bundle.errors import InputError

ENDED = "ended"
"""An empty file in the folder of a run that has succeeded."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of ``python -m monai.bundle``.

    Attributes:
        name: name of the run and of its folder, in that of the experiment.
        run_id: run id in its configurations.
        configs: configuration files, relative to the root of the bundle.
        options: options of the command line, without the data set; ``output_dir`` is the run's folder.
        result: file in its folder that exists after success.
        after: names of the runs that it needs.
        test: whether it uses test joints instead of training joints.
    """

    name: str
    run_id: str
    configs: Sequence[str]
    options: Mapping[str, Any]
    result: str = ENDED
    after: Sequence[str] = ()
    test: bool = False

    def command(self, folder: str) -> str:
        """Return the arguments of ``python -m monai.bundle run`` for a shell, with output in the experiment's folder.

        The data set is in the environment (``DATASET_DIR``, and ``DATALIST`` and ``TEST_DATALIST`` if the lists are not
        the public ones): its location and name enter no record of the workflow.
        """
        options = {**self.options, "output_dir": f"{folder}/{self.name}"}
        given = [part for name, value in options.items() for part in (f"--{name}", _text(value))]
        listed = "TEST_DATALIST" if self.test else "DATALIST"
        data = f'--dataset_dir "$DATASET_DIR" ${{{listed}:+--datalist "${listed}"}}'
        return f"{shlex.join([self.run_id, '--config_file', str(list(self.configs)), *given])} {data}"


def _text(value: Any) -> str:
    """Format an option for the command line."""
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True, kw_only=True)
class Separator:
    """A separator that is trained before it makes synthetic radiographs.

    Attributes:
        configs: configuration files of its training.
        options: options of its training.
    """

    configs: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """One of the compared arms of an experiment.

    Attributes:
        label: label in tables and plots.
        pretraining: options of the pre-training; None for none.
        separator: separator trained for this arm; None for the one in the options, or the bundle's own.
        training: options of its trainings that replace those of all.
        fine_tuning: run id of its trainings, in the configurations of its pre-training; "" for the task's own training.
    """

    label: str
    pretraining: Mapping[str, Any] | None = None
    separator: Separator | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    fine_tuning: str = ""


@dataclass(frozen=True, kw_only=True)
class Downstream:
    """A task with and without pre-training, on fractions of the annotated joints, with several seeds.

    Each arm and seed has one pre-training, if any. For each fraction, a training starts from it and is evaluated on the
    test joints. All trainings have the same options, except those of their arm.

    Attributes:
        train: configurations of the task.
        pretrain: configurations before and after them in a pre-training; later ones override earlier ones.
        evaluate: configurations before and after them in an evaluation.
        arms: arms by their names.
        fractions: fractions of the annotated joints, in (0, 1], in whole percent.
        seeds: random seeds.
        options: options of all runs.
        pretraining: options of the pre-trainings.
        training: options of the trainings.
        evaluation: options of the evaluations.
        test_sources: whether evaluations make synthetic radiographs of the test joints, which are separated once.
        weights: file that a training writes.
        weights_option: option of an evaluation that names it.
        metrics: file that an evaluation writes.

    Raises:
        InputError: there is nothing to compare, a name is unsuitable for a path, or two runs have the same name.
    """

    train: Sequence[str]
    pretrain: tuple[Sequence[str], Sequence[str]]
    evaluate: tuple[Sequence[str], Sequence[str]]
    arms: Mapping[str, Arm]
    fractions: Sequence[float]
    seeds: Sequence[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    pretraining: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    test_sources: bool = False
    weights: str = "scorer.pt"
    weights_option: str = "scorer_weights"
    metrics: str = "metrics.json"

    def __post_init__(self) -> None:
        if not (self.arms and self.fractions and self.seeds):
            got = f"{list(self.arms)}, {self.fractions} and {self.seeds}"
            raise InputError(f"an experiment needs at least one arm, fraction and seed; it has {got}.")
        names = Counter(self.trained(*cell) for cell in self.cells())
        wrong = [name for name, count in names.items() if count > 1 or not _CELL.fullmatch(name)]
        if wrong:
            known = "arms of letters, digits and underscores, different fractions in whole percent, different seeds"
            raise InputError(f"{', '.join(wrong)}: the names of runs need {known}.")

    def cells(self) -> Iterator[tuple[str, float, int]]:
        """Yield arm, fraction and seed of each training; all seeds of a fraction before the next fraction."""
        for fraction, seed, arm in product(self.fractions, self.seeds, self.arms):
            yield arm, fraction, seed

    @staticmethod
    def trained(arm: str, fraction: float, seed: int) -> str:
        """Return the name of a cell's training: ``ours/part005_seed0`` for 5 % of the joints."""
        return f"{arm}/part{round(100 * fraction):03d}_seed{seed}"

    def evaluated(self, arm: str, fraction: float, seed: int) -> str:
        """Return the name of a cell's evaluation."""
        return f"{self.trained(arm, fraction, seed)}/evaluation"

    def runs(self, folder: str) -> list[Run]:
        """Return all runs, each after those that it needs.

        Args:
            folder: folder of the experiment.
        """
        own = [self._separator(name, arm.separator) for name, arm in self.arms.items() if arm.separator]
        first = [run for arm in self._pretrained for seed in self.seeds for run in self._of_seed(folder, arm, seed)]
        test = [self._test_separation(folder)] if self.test_sources else []
        return [*own, *test, *first, *(run for cell in self.cells() for run in self._of_cell(folder, *cell))]

    @property
    def _pretrained(self) -> list[str]:
        return [name for name, arm in self.arms.items() if arm.pretraining is not None]

    @property
    def _with_synthesis(self) -> list[str]:
        """Configurations of runs that make synthetic radiographs."""
        return [*self.pretrain[0], *self.train, *self.pretrain[1]]

    @property
    def _with_test(self) -> list[str]:
        """Configurations of evaluations."""
        return [*self.evaluate[0], *self.train, *self.evaluate[1]]

    @staticmethod
    def _separator(arm: str, separator: Separator) -> Run:
        options = {"resume": "true", **separator.options}
        return Run(name=f"{arm}/separator", run_id="training", configs=separator.configs, options=options)

    def _test_separation(self, folder: str) -> Run:
        options = self._measuring(folder)
        return Run(name="test_separation", run_id="separating", configs=self._with_test, options=options, test=True)

    def _measuring(self, folder: str) -> dict[str, Any]:
        """Return the options of runs on test joints."""
        separated = {"sources_dir": f"{folder}/test_sources"} if self.test_sources else {}
        return {**self.options, **self.evaluation, **separated}

    def _of_seed(self, folder: str, arm: str, seed: int) -> list[Run]:
        """Return the separation of the joints from which a pre-training makes its images, and the pre-training.

        Separated joints are stored for all seeds of an arm, so the separation of a seed waits for the previous one.
        """
        name, options = f"{arm}/sources_seed{seed}", {**self.options, **self._synthesis(folder, arm), "seed": seed}
        before = self.seeds[: self.seeds.index(seed)][-1:]
        needed = [f"{arm}/sources_seed{last}" for last in before] + [f"{arm}/separator"] * bool(
            self.arms[arm].separator
        )
        configs = self._with_synthesis
        return [
            Run(name=name, run_id="separating", configs=configs, options=options, after=needed),
            Run(
                name=f"{arm}/pretraining_seed{seed}",
                run_id="pretraining",
                configs=configs,
                options={**options, "resume": "true"},
                after=[name],
            ),
        ]

    def _synthesis(self, folder: str, arm: str) -> dict[str, Any]:
        """Return the options of the synthetic radiographs."""
        chosen, own = self.arms[arm], {"sources_dir": f"{folder}/{arm}/sources"}
        if chosen.separator:
            own["weights"] = f"{folder}/{arm}/separator/model.pt"
        return {**self.pretraining, **own, **(chosen.pretraining or {})}

    def _of_cell(self, folder: str, arm: str, fraction: float, seed: int) -> list[Run]:
        """Return a training and its evaluation."""
        name = self.trained(arm, fraction, seed)
        weights = {self.weights_option: f"{folder}/{name}/{self.weights}"}
        evaluation = Run(
            name=self.evaluated(arm, fraction, seed),
            run_id="evaluating",
            configs=self._with_test,
            options={**self._measuring(folder), **weights},
            result=self.metrics,
            after=[name, *["test_separation"] * self.test_sources],
            test=True,
        )
        return [self._training(folder, arm, fraction, seed), evaluation]

    def _training(self, folder: str, arm: str, fraction: float, seed: int) -> Run:
        first = f"{arm}/pretraining_seed{seed}" if arm in self._pretrained else ""
        start = {"pretrained": f"{folder}/{first}/pretrained.pt"} if first else {}
        own = {"seed": seed, "annotated": fraction, "resume": "true", **start}
        tuned = self.arms[arm].fine_tuning
        made = self._synthesis(folder, arm) if tuned else {}
        return Run(
            name=self.trained(arm, fraction, seed),
            run_id=tuned or "training",
            configs=self._with_synthesis if tuned else self.train,
            options={**self.options, **made, **self.training, **self.arms[arm].training, **own},
            after=[first] if first else [],
        )


_CELL = re.compile(r"\w+/part\d{3}_seed\d+", re.ASCII)


def complaint(log: str) -> str:
    """Return the last error in the log of a failed run, or the last line of a run that was killed."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"error: |\w*(Error|Exception)\b", line)]
    if errors:
        return errors[-1].removeprefix("error: ")
    return f"ended without an error message, after: {lines[-1]}" if lines else "ended without a message"
