"""Experiments: many runs of this bundle's configurations, that wait for each other and go on after an interruption."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

from bundle.base import REDACTION
from bundle.errors import InputError
from bundle.workflow import running

LOG = "log.txt"
"""What a run has said, in its folder."""

_ENDED = "ended"
"""A file in the folder of a run that has ended well."""

_log = logging.getLogger("bundle.experiments.experiments")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of ``python -m monai.bundle``.

    Attributes:
        name: of the run and of its folder, in that of the experiment.
        run_id: of its configurations.
        configs: their files.
        options: of the command line; ``output_dir`` is the run's folder.
        result: the file in its folder that is there when it is done.
        after: names of the runs that it needs.
    """

    name: str
    run_id: str
    configs: Sequence[str]
    options: Mapping[str, Any]
    result: str
    after: Sequence[str] = ()

    def command(self, folder: Path) -> list[str]:
        """What is started, with its output in a folder."""
        options = {**self.options, "output_dir": str(folder)}
        given = [part for name, value in options.items() for part in (f"--{name}", _text(value))]
        start = [sys.executable, "-m", "monai.bundle", "run", self.run_id]
        return [*start, "--config_file", str(list(self.configs)), *given]


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
    """A task with and without pre-training, on parts of the annotated joints, with several seeds.

    Of every arm and seed there is one pre-training, if any; of these and every part a training that starts from it, and
    its evaluation on the test joints. All trainings have the same options, but for those of their arm.

    Attributes:
        train: configurations of the task.
        pretrain: that are laid under and over them in a pre-training, as (below, above).
        evaluate: likewise, in an evaluation.
        arms: by their names.
        parts: of the annotated joints.
        seeds: of everything.
        options: of all runs.
        pretraining: options of the pre-trainings.
        training: options of the trainings.
        evaluation: options of the evaluations.
        weights: file that a training leaves.
        weights_option: option of an evaluation that names it.
        metrics: file that an evaluation leaves.
    """

    train: Sequence[str]
    pretrain: tuple[Sequence[str], Sequence[str]]
    evaluate: tuple[Sequence[str], Sequence[str]]
    arms: Mapping[str, Arm]
    parts: Sequence[float]
    seeds: Sequence[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    pretraining: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    weights: str = "reader.pt"
    weights_option: str = "reader_weights"
    metrics: str = "metrics.json"

    def __post_init__(self) -> None:
        if not (self.arms and self.parts and self.seeds):
            msg = f"expected at least one arm, part and seed, got {list(self.arms)}, {self.parts} and {self.seeds}"
            raise InputError(msg)

    def cells(self) -> Iterator[tuple[str, float, int]]:
        """Arm, part and seed of each training; all seeds of a part before the next part."""
        for part, seed, arm in product(self.parts, self.seeds, self.arms):
            yield arm, part, seed

    def evaluated(self, arm: str, part: float, seed: int) -> str:
        """Name of a cell's evaluation."""
        return f"{self._training(arm, part, seed)}/evaluation"

    def runs(self, folder: Path) -> list[Run]:
        """All runs, each after those that it needs.

        Args:
            folder: of the experiment.
        """
        separators = [self._separator(name, arm.separator) for name, arm in self.arms.items() if arm.separator]
        pretrained = [self._pretraining(folder, arm, seed) for seed in self.seeds for arm in self._pretrained]
        return [*separators, *pretrained, *(run for cell in self.cells() for run in self._of_cell(folder, *cell))]

    @property
    def _pretrained(self) -> list[str]:
        return [name for name, arm in self.arms.items() if arm.pretraining is not None]

    @staticmethod
    def _training(arm: str, part: float, seed: int) -> str:
        return f"{arm}/part{round(100 * part):03d}_seed{seed}"

    def _separator(self, arm: str, separator: Separator) -> Run:
        options = {"dataset_dir": self.options.get("dataset_dir", ""), "resume": "true", **separator.options}
        return Run(
            name=f"{arm}/separator", run_id="training", configs=separator.configs, options=options, result="model.pt"
        )

    def _pretraining(self, folder: Path, arm: str, seed: int) -> Run:
        """The pre-trainings of an arm share its sources, so each waits for the one before."""
        before = list(self.seeds)[: list(self.seeds).index(seed)]
        after = [f"{arm}/pretraining_seed{before[-1]}"] if before else []
        if self.arms[arm].separator:
            after.append(f"{arm}/separator")
        return Run(
            name=f"{arm}/pretraining_seed{seed}",
            run_id="pretraining",
            configs=self._with_synthesis,
            options={**self.options, **self._synthesis(folder, arm), "seed": seed, "resume": "true"},
            result="pretrained.pt",
            after=after,
        )

    @property
    def _with_synthesis(self) -> list[str]:
        """Configurations of runs that make synthetic radiographs."""
        return [*self.pretrain[0], *self.train, *self.pretrain[1]]

    def _synthesis(self, folder: Path, arm: str) -> dict[str, Any]:
        """Options that say which synthetic radiographs."""
        chosen, own = self.arms[arm], {"sources_dir": str(folder / arm / "sources")}
        if chosen.separator:
            own["weights"] = str(folder / arm / "separator" / "model.pt")
        return {**self.pretraining, **own, **(chosen.pretraining or {})}

    def _of_cell(self, folder: Path, arm: str, part: float, seed: int) -> list[Run]:
        name = self._training(arm, part, seed)
        first = f"{arm}/pretraining_seed{seed}" if arm in self._pretrained else ""
        start = {"pretrained": str(folder / first / "pretrained.pt")} if first else {}
        own = {"seed": seed, "annotated": part, "resume": "true", **start}
        tuned = self.arms[arm].fine_tuning
        made = self._synthesis(folder, arm) if tuned else {}
        training = Run(
            name=name,
            run_id=tuned or "training",
            configs=self._with_synthesis if tuned else self.train,
            options={**self.options, **made, **self.training, **self.arms[arm].training, **own},
            result=self.weights,
            after=[first] if first else [],
        )
        weights = {self.weights_option: str(folder / name / self.weights)}
        evaluation = Run(
            name=self.evaluated(arm, part, seed),
            run_id="evaluating",
            configs=[*self.evaluate[0], *self.train, *self.evaluate[1]],
            options={**self.options, **self.evaluation, **weights},
            result=self.metrics,
            after=[name],
        )
        return [training, evaluation]


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Carries out runs as processes of their own, each once.

    Attributes:
        output_dir: a folder for each run.
        jobs: processes at a time.
        threads: of each process.
    """

    output_dir: str
    jobs: int = 1
    threads: int = 1

    def __call__(self, runs: Sequence[Run]) -> None:
        """Carry out what is not done yet, in its order, several at a time where they do not need each other.

        Raises:
            InputError: a run has failed; what does not need it is done all the same.
        """
        left = {run.name: run for run in runs if not self.done(run)}
        _log.info(f"{len(runs) - len(left)} of {len(runs)} runs have been done before")
        failed: dict[str, str] = {}
        with ThreadPoolExecutor(self.jobs) as pool:
            going: dict[Future[str], str] = {}
            while left or going:
                for name in self._ready(left, going, failed):
                    going[pool.submit(self._carry_out, left.pop(name))] = name
                if not going:
                    break
                for future in wait(going, return_when=FIRST_COMPLETED).done:
                    name, fault = going.pop(future), future.result()
                    failed |= {name: fault} if fault else {}
                    _log.info(f"{name}: {fault or 'done'}; {len(left) + len(going)} left")
        if failed:
            listed = "; ".join(f"{name}: {fault}" for name, fault in failed.items())
            msg = f"expected every run to end well, got {len(failed)} that failed, {len(left)} need them: {listed}"
            raise InputError(msg)

    def done(self, run: Run) -> bool:
        """Whether a run's result is there and its training, if it is one, has ended."""
        folder = Path(self.output_dir) / run.name
        return (folder / run.result).is_file() and (folder / _ENDED).is_file()

    def _ready(self, left: Mapping[str, Run], going: Mapping[Future[str], str], failed: Mapping[str, str]) -> list[str]:
        """What can start now."""
        waiting = {*left, *going.values(), *failed}
        ready = [name for name, run in left.items() if not waiting & set(run.after)]
        return ready[: self.jobs - len(going)]

    def _carry_out(self, run: Run) -> str:
        """Start a run and wait for it; what went wrong, or ""."""
        folder = Path(self.output_dir) / run.name
        folder.parent.mkdir(parents=True, exist_ok=True)
        log = folder.parent / f"{folder.name}.{LOG}"
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        program = running(run.command(folder), stdout=PIPE, stderr=STDOUT, env=environment, text=True, errors="replace")
        with program as process, log.open("w", buffering=1) as said:
            said.writelines(REDACTION.in_record(line) for line in process.stdout or ())
        code = process.returncode
        if code == 0 and (folder / run.result).is_file():
            (folder / _ENDED).touch()
            return ""
        return f"{_complaint(log.read_text().splitlines())} (exit code {code}, see {log})"


def _complaint(lines: Sequence[str]) -> str:
    """The line of a log that says what went wrong: the last one of an error, or the last one."""
    errors = [line for line in lines if re.match(r"error: |\w*(Error|Exception)\b", line)]
    said = errors or [line for line in lines if line.strip()] or ["it said nothing"]
    return said[-1].removeprefix("error: ")
