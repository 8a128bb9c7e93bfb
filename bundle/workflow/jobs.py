"""Jobs: a published schedule with its evaluation by one command, in any number of invocations.

A job is an arguments file of MONAI's command line in ``configs/jobs``, which names its configurations and a run. The
job of a schedule merges one of ``configs/parts`` over a training's configuration to add the evaluation.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import torch
from bundle.base import read_json
from bundle.errors import InputError
from bundle.io import fingerprint, inner_run, reserve_output, write_bytes
from bundle.workflow.run_settings import discreet_value, running_settings
from bundle.workflow.time_limit import TimeLimit
from monai.bundle import ConfigParser, create_workflow

REPORT = "metrics.json"
"""File of a job's results: the figures of its evaluation, its training, and the cost."""

LEAST_IMAGES = 8
"""Smallest number of synthetic images of a pre-training."""

_log = logging.getLogger("bundle.workflow.jobs")


@dataclass(frozen=True)
class Schedule:
    """Epochs of a two-phase training.

    Attributes:
        stage1: epochs on pseudo-images.
        stage2: epochs on real and pseudo-images.
        early: m, the number of first epochs of stage 1 without N_D.
        halve_every: interval in epochs at which learning rates are halved.
    """

    stage1: int
    stage2: int
    early: int = 0
    halve_every: int = 100

    @property
    def epochs(self) -> int:
        """Epochs of both stages."""
        return self.stage1 + self.stage2


def scaled_schedule(stage1: int, stage2: int, early: int = 0, halve_every: int = 100, epochs: int = 0) -> Schedule:
    """Scale a schedule to another total number of epochs in proportion; a stage with epochs keeps at least one.

    >>> scaled_schedule(300, 100, 200, epochs=40)
    Schedule(stage1=30, stage2=10, early=20, halve_every=10)

    Args:
        stage1: published epochs of stage 1.
        stage2: published epochs of stage 2.
        early: published m.
        halve_every: published interval in epochs at which learning rates are halved.
        epochs: epochs of both stages; 0 for the published ones.

    Raises:
        InputError: the number is negative or not whole, or smaller than the number of stages.
    """
    whole = Schedule(stage1, stage2, early, halve_every)
    stages = (stage1 > 0) + (stage2 > 0)
    if not isinstance(epochs, int) or (epochs != 0 and epochs < stages):
        msg = f"epochs: {epochs} is invalid. Pass a whole number of at least {stages}, or 0 for the published schedule."
        raise InputError(msg)
    if not epochs:
        return whole
    part = epochs / whole.epochs
    first = min(max(round(stage1 * part), int(stage1 > 0)), epochs - int(stage2 > 0))
    return Schedule(first, epochs - first, min(round(early * part), first), max(round(halve_every * part), 1))


@dataclass(frozen=True)
class TaskSchedule:
    """Trainings of a downstream task.

    Attributes:
        pretraining: epochs on synthetic images.
        training: epochs on annotated images after pre-training.
        longer: epochs on annotated images alone with the same total number of images.
        images: number of synthetic images, of the pre-training or of one of its epochs.
    """

    pretraining: int
    training: int
    longer: int
    images: int


def scaled_task(pretraining: int, training: int, longer: int, images: int, epochs: int = 0) -> TaskSchedule:
    """Scale a task's schedule in proportion to another total number of epochs of pre-training and training.

    Fewer epochs also use fewer synthetic images, at least :data:`LEAST_IMAGES`: making them takes as long as training.

    >>> scaled_task(10, 20, 94, 8000, epochs=3)
    TaskSchedule(pretraining=1, training=2, longer=9, images=800)

    Args:
        pretraining: published epochs of pre-training.
        training: published epochs of training.
        longer: published epochs without pre-training.
        images: published number of synthetic images.
        epochs: total epochs of pre-training and training; 0 for the published ones.

    Raises:
        InputError: the number is negative, not whole or 1.
    """
    if not isinstance(epochs, int) or epochs < 0 or epochs == 1:
        msg = f"epochs: {epochs} is invalid. Pass a whole number of at least 2, or 0 for the published schedule."
        raise InputError(msg)
    part = epochs / (pretraining + training) if epochs else 1.0
    first = min(max(round(pretraining * part), 1), epochs - 1) if epochs else pretraining
    count = max(min(round(images * part), images), min(LEAST_IMAGES, images))
    return TaskSchedule(first, epochs - first if epochs else training, max(round(longer * part), 1), count)


def workers(most: int = 12) -> int:
    """Choose the number of processes that load and synthesise for a GPU: one per core but one; 0 without a GPU.

    Args:
        most: maximum number of processes.
    """
    return max(min((os.cpu_count() or 1) - 1, most), 0) if torch.cuda.is_available() else 0


def reserve_job(output_dir: str, settings: Mapping[str, Any], runs: Sequence[str] = ()) -> None:
    """Reserve a folder as the output of a job, or fail before anything is computed.

    Args:
        output_dir: output folder.
        settings: settings of the job; a job with other settings needs another folder.
        runs: ids of its runs in the configuration, whose settings are included
            (:func:`bundle.workflow.run_settings.running_settings`).

    Raises:
        InputError: the folder contains something else, or cannot be written to.
    """
    known = {
        name: vars(value) if is_dataclass(value) else discreet_value(name, value) for name, value in settings.items()
    }
    reserve_output(output_dir, fingerprint({"results": "job", **running_settings(runs), **known}))


def job_configs(name: str, bundle_root: str | Path = ".") -> list[str]:
    """List the paths of a job's configurations; ``configs/jobs`` names them relative to the root of the bundle.

    Raises:
        InputError: the job does not exist.
    """
    root = Path(bundle_root)
    file = root / "configs" / "jobs" / f"{name}.yaml"
    if not file.is_file():
        msg = (
            f"{file}: no such job. Choose one of {', '.join(sorted(path.stem for path in file.parent.glob('*.yaml')))}."
        )
        raise InputError(msg)
    arguments = ConfigParser.load_config_file(file)
    return [str(root / file) for file in arguments["config_file"]]


class BundleRun:
    """Run of this bundle's configurations in this process, with ``--<option> <value>``.

    Args:
        config_file: configurations, relative to the root of the bundle; lists of them are joined.
        options: overrides by id; later mappings take precedence.
        run_id: id of the run.
        bundle_root: root of the bundle.
        result: file in the run's ``output_dir`` that marks it as complete, so that it is skipped. Empty for a run that
            determines its remaining work itself.
        limit: time limit shared with this invocation; None for no limit.
    """

    def __init__(
        self,
        config_file: Sequence[str | Sequence[str]],
        options: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        run_id: str = "run",
        bundle_root: str = ".",
        result: str = "",
        limit: TimeLimit | None = None,
    ) -> None:
        files = [file for part in config_file for file in ([part] if isinstance(part, str) else part)]
        self.files = [str(Path(bundle_root) / file) for file in files]
        self.options: dict[str, Any] = {} if limit is None else {"limit": limit}
        for given in [options] if isinstance(options, Mapping) else options:
            self.options |= given
        self.options["bundle_root"] = bundle_root
        self.run_id, self.result = run_id, result

    @property
    def result_path(self) -> Path:
        """Path of its result."""
        return Path(self.options["output_dir"]) / self.result

    @property
    def done(self) -> bool:
        """Whether its result exists."""
        return bool(self.result) and self.result_path.is_file()

    def run(self) -> None:
        """Run to completion, unless already done."""
        if self.done:
            _log.info(f"{self.run_id}: skipped, {self.result} exists in {self.options['output_dir']}")
            return
        _log.info(f"{self.run_id}: {', '.join(self.files)}")
        with inner_run():
            workflow = create_workflow(config_file=self.files, run_id=self.run_id, logging_file=False, **self.options)
            workflow.run()
            workflow.finalize()


class JobReport:
    """Report of a job: figures of its evaluations, training and cost in one ``metrics.json``.

    Args:
        output_dir: output folder of the job.
        name: name of the job, equal to that of its file.
        label: label of its row in a table.
        table: table of its row: ``methods``, ``ablations`` or ``tasks``.
        evaluations: folders of its evaluations in ``output_dir``, each with a ``metrics.json``; or a mapping from their
            names in the report.
        cost: cost of the training (:class:`bundle.workflow.costs.Cost`); None if unknown.
    """

    def __init__(
        self,
        output_dir: str,
        name: str,
        label: str,
        table: str = "methods",
        evaluations: Sequence[str] | Mapping[str, str] = ("evaluation",),
        cost: Any = None,
    ) -> None:
        self.output_dir, self.name, self.label, self.table, self.cost = Path(output_dir), name, label, table, cost
        named = evaluations if isinstance(evaluations, Mapping) else {folder: folder for folder in evaluations}
        self.evaluations = dict(named)

    def run(self) -> None:
        """Write the report."""
        found = {name: _read(self.output_dir / folder / REPORT) for name, folder in self.evaluations.items()}
        job = {"name": self.name, "label": self.label, "table": self.table}
        if self.cost is not None:
            job |= self.cost.spent(self.output_dir)
        whole = next(iter(found.values())) if len(found) == 1 else found
        write_bytes(self.output_dir / REPORT, f"{json.dumps({**whole, 'job': job}, indent=1)}\n".encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        msg = f"{path}: no figures of an evaluation ({error}). Delete the folder and run the job again."
        raise InputError(msg) from error
