"""Jobs: a published schedule with its evaluation by one command, in as many invocations as it takes.

A job is a file of arguments of MONAI's command line in ``configs/jobs``: it names a training's configurations and lays
one of ``configs/parts`` over them, which adds the evaluation.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import create_workflow

from bundle.data.writing import write_bytes
from bundle.errors import InputError

REPORT = "metrics.json"
"""What a job found: the figures of its evaluation, how it was trained, and what that took."""

_log = logging.getLogger("bundle.jobs")


@dataclass(frozen=True)
class Schedule:
    """The epochs of a two-phase training.

    Attributes:
        stage1: epochs on pseudo-images.
        stage2: epochs on real and pseudo-images.
        early: m, the first epochs of stage 1, in which N_D is neither used nor trained.
        halve_every: epochs after which learning rates are halved.
    """

    stage1: int
    stage2: int
    early: int = 0
    halve_every: int = 100

    @property
    def epochs(self) -> int:
        """Of both stages."""
        return self.stage1 + self.stage2


def scaled_schedule(stage1: int, stage2: int, early: int = 0, halve_every: int = 100, epochs: int = 0) -> Schedule:
    """A schedule in its own proportions with another number of epochs in all; a stage that has any keeps one.

    >>> scaled_schedule(300, 100, 200, epochs=40)
    Schedule(stage1=30, stage2=10, early=20, halve_every=10)

    Args:
        stage1: epochs of stage 1 as published.
        stage2: epochs of stage 2 as published.
        early: m as published.
        halve_every: epochs after which learning rates are halved as published.
        epochs: of both stages; 0 for those published.

    Raises:
        InputError: a number that is negative or not whole, or fewer epochs than stages.
    """
    whole = Schedule(stage1, stage2, early, halve_every)
    stages = (stage1 > 0) + (stage2 > 0)
    if not isinstance(epochs, int) or (epochs != 0 and epochs < stages):
        msg = f"epochs: expected 0 for the published schedule or a whole number of at least {stages}, got {epochs}"
        raise InputError(msg)
    if not epochs:
        return whole
    part = epochs / whole.epochs
    first = min(max(round(stage1 * part), int(stage1 > 0)), epochs - int(stage2 > 0))
    return Schedule(first, epochs - first, min(round(early * part), first), max(round(halve_every * part), 1))


class BundleRun:
    """A run of this bundle's configurations in this process, with ``--<option> <value>``.

    Args:
        config_file: configurations, relative to the root of the bundle.
        options: overrides, by the id that they replace.
        run_id: what is run.
        bundle_root: root of the bundle.
    """

    def __init__(
        self, config_file: Sequence[str], options: Mapping[str, Any], run_id: str = "run", bundle_root: str = "."
    ) -> None:
        self.files = [str(Path(bundle_root) / file) for file in config_file]
        self.options = {**options, "bundle_root": bundle_root}
        self.run_id = run_id

    def run(self) -> None:
        """Run it to its end."""
        _log.info(f"{self.run_id}: {', '.join(self.files)}")
        workflow = create_workflow(config_file=self.files, run_id=self.run_id, logging_file=False, **self.options)
        workflow.run()
        workflow.finalize()


class JobReport:
    """Joins what a job's evaluations found, how it was trained and what that took into one ``metrics.json``.

    Args:
        output_dir: of the job.
        name: of the job, as that of its file.
        label: of its row in a table.
        table: that its row stands in, ``methods`` or ``ablations``.
        evaluations: folders of its evaluations in ``output_dir``, each with a ``metrics.json``.
        cost: what the training takes (:class:`bundle.costs.TrainingCost`), if that is known.
    """

    def __init__(
        self,
        output_dir: str,
        name: str,
        label: str,
        table: str = "methods",
        evaluations: Sequence[str] = ("evaluation",),
        cost: Any = None,
    ) -> None:
        self.output_dir, self.name, self.label, self.table, self.cost = Path(output_dir), name, label, table, cost
        self.evaluations = list(evaluations)

    def run(self) -> None:
        """Write it."""
        found = [_read(self.output_dir / folder / REPORT) for folder in self.evaluations]
        job = {"name": self.name, "label": self.label, "table": self.table}
        if self.cost is not None:
            job |= self.cost.spent(self.output_dir)
        whole = found[0] if len(found) == 1 else dict(zip(self.evaluations, found, strict=True))
        write_bytes(self.output_dir / REPORT, f"{json.dumps({**whole, 'job': job}, indent=1)}\n".encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        msg = f"{path}: no figures of an evaluation ({error}): delete the folder and run the job again"
        raise InputError(msg) from error
