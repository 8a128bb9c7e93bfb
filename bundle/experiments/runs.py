"""The runs of an experiment: which there are, their options, and which of them others need."""

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
"""An empty file in the folder of a run that has ended well."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of ``python -m monai.bundle``.

    Attributes:
        name: of the run and of its folder, in that of the experiment.
        run_id: of its configurations.
        configs: their files, relative to the root of the bundle.
        options: of the command line, without the data set; ``output_dir`` is the run's folder.
        result: file in its folder that is there when the run has ended well.
        after: names of the runs that it needs.
        test: whether it sees test joints, not training joints.
    """

    name: str
    run_id: str
    configs: Sequence[str]
    options: Mapping[str, Any]
    result: str = ENDED
    after: Sequence[str] = ()
    test: bool = False

    def command(self, folder: str) -> str:
        """What follows ``python -m monai.bundle run`` in a shell, with its output in a folder of the experiment's.

        The data set stands in the environment (``DATASET_DIR``, and ``DATALIST`` and ``TEST_DATALIST`` where the lists
        are not the public ones): where it lies, and how it is called, is in no record of the workflow.
        """
        options = {**self.options, "output_dir": f"{folder}/{self.name}"}
        given = [part for name, value in options.items() for part in (f"--{name}", _text(value))]
        listed = "TEST_DATALIST" if self.test else "DATALIST"
        data = f'--dataset_dir "$DATASET_DIR" ${{{listed}:+--datalist "${listed}"}}'
        return f"{shlex.join([self.run_id, '--config_file', str(list(self.configs)), *given])} {data}"


def _text(value: Any) -> str:
    """An option as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True, kw_only=True)
class Separator:
    """A separator that is trained before it makes synthetic radiographs.

    Attributes:
        configs: of its training.
        options: of its training.
    """

    configs: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """One of the things that an experiment compares.

    Attributes:
        label: that tables and plots show.
        pretraining: options of the pre-training; None where there is none.
        separator: that is trained for it; None for the one that the options name, or the bundle's own.
        training: options of its trainings, in place of those of all.
        fine_tuning: run of its trainings, in the configurations of its pre-training; "" for the task's own training.
    """

    label: str
    pretraining: Mapping[str, Any] | None = None
    separator: Separator | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    fine_tuning: str = ""


@dataclass(frozen=True, kw_only=True)
class Downstream:
    """A task with and without pre-training, on fractions of the annotated joints, with several seeds.

    Of every arm and seed there is one pre-training, if any; of these and every fraction a training that starts from it,
    and its evaluation on the test joints. All trainings have the same options, but for those of their arm.

    Attributes:
        train: configurations of the task.
        pretrain: that are laid under and over them in a pre-training, as (below, above).
        evaluate: likewise, in an evaluation.
        arms: by their names.
        fractions: of the annotated joints, in (0, 1], in whole percent.
        seeds: of everything.
        options: of all runs.
        pretraining: options of the pre-trainings.
        training: options of the trainings.
        evaluation: options of the evaluations.
        test_sources: whether evaluations make synthetic radiographs of the test joints, which are separated once.
        weights: file that a training leaves.
        weights_option: option of an evaluation that names it.
        metrics: file that an evaluation leaves.

    Raises:
        InputError: there is nothing to compare, a name would not do in a path, or two runs have one name.
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
            raise InputError(f"expected at least one arm, fraction and seed, got {got}")
        names = Counter(self.trained(*cell) for cell in self.cells())
        wrong = [name for name, count in names.items() if count > 1 or not _CELL.fullmatch(name)]
        if wrong:
            known = "arms of letters, digits and underscores, different fractions in whole percent, different seeds"
            raise InputError(f"expected {known}, got {', '.join(wrong)}")

    def cells(self) -> Iterator[tuple[str, float, int]]:
        """Arm, fraction and seed of each training; all seeds of a fraction before the next fraction."""
        for fraction, seed, arm in product(self.fractions, self.seeds, self.arms):
            yield arm, fraction, seed

    @staticmethod
    def trained(arm: str, fraction: float, seed: int) -> str:
        """Name of a cell's training: ``ours/part005_seed0`` for 5 % of the joints."""
        return f"{arm}/part{round(100 * fraction):03d}_seed{seed}"

    def evaluated(self, arm: str, fraction: float, seed: int) -> str:
        """Name of a cell's evaluation."""
        return f"{self.trained(arm, fraction, seed)}/evaluation"

    def runs(self, folder: str) -> list[Run]:
        """All runs, each after those that it needs.

        Args:
            folder: of the experiment.
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
        """Options of what sees test joints."""
        separated = {"sources_dir": f"{folder}/test_sources"} if self.test_sources else {}
        return {**self.options, **self.evaluation, **separated}

    def _of_seed(self, folder: str, arm: str, seed: int) -> list[Run]:
        """The separation of the joints that a pre-training makes its images from, and the pre-training.

        Separated joints are kept for all seeds of an arm, so one seed's separation waits for that of the seed before.
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
        """Options that say which synthetic radiographs."""
        chosen, own = self.arms[arm], {"sources_dir": f"{folder}/{arm}/sources"}
        if chosen.separator:
            own["weights"] = f"{folder}/{arm}/separator/model.pt"
        return {**self.pretraining, **own, **(chosen.pretraining or {})}

    def _of_cell(self, folder: str, arm: str, fraction: float, seed: int) -> list[Run]:
        """A training and its evaluation."""
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
    """The line of a run's log that says what went wrong: the last one of an error, or the last one."""
    lines = log.splitlines()
    errors = [line for line in lines if re.match(r"error: |\w*(Error|Exception)\b", line)]
    said = errors or [line for line in lines if line.strip()] or ["it said nothing"]
    return said[-1].removeprefix("error: ")
