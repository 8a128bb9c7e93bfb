"""Evaluation of a separator: sets of joints, and the measures E1 to E6 of their separation, one after another.

Every separator sees a joint as stored in a file (masks of 0 and 1, continued to the border), so that the exported sets
(:func:`export_joints`), separated by any program, yield the same figures as the separator itself.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol

from bundle.errors import InputError
from bundle.evaluation.separators import Separator
from bundle.evaluation.sets import JointSet
from bundle.io import Item, split_by_joint
from bundle.statistics import Measured, SeparatedJoints

_log = logging.getLogger("bundle.evaluation.evaluation")


@dataclass(frozen=True)
class Task:
    """A measure with the sets of joints that it takes: one, or (training, test).

    Attributes:
        measure: function from :class:`bundle.statistics.SeparatedJoints` to :class:`bundle.statistics.Measured`.
        sets: names of the sets, in the measure's order.
    """

    measure: Callable[..., Measured]
    sets: Sequence[str]

    @property
    def settings(self) -> dict[str, Any]:
        """Class and hyper-parameters of the measure."""
        kind, given = type(self.measure), self.measure
        options: dict[str, Any] = _options(given) if is_dataclass(given) else {}
        return {"measure": f"{kind.__module__}.{kind.__qualname__}", **options, "sets": list(self.sets)}


def _options(value: Any) -> Any:
    """Hyper-parameters of a measure as mappings and lists; networks are not copied, as ``asdict`` does."""
    if is_dataclass(value):
        return {one.name: _options(getattr(value, one.name)) for one in fields(value)}
    return [_options(part) for part in value] if isinstance(value, (list, tuple)) else value


class Report(Protocol):
    """Destination of the results; see :class:`bundle.evaluation.EvaluationReport`."""

    def open(self, separator: str, training: Mapping[str, Any] | None, computed: Mapping[str, Any]) -> None:
        """Reserve the output folder."""

    def holds(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Whether a measure with these settings is already reported."""

    def add(
        self,
        name: str,
        measured: Measured,
        settings: Mapping[str, Any],
        joints: Mapping[str, SeparatedJoints],
        seconds: float,
    ) -> None:
        """Report a measure."""

    def show(self, folder: str, joints: SeparatedJoints) -> None:
        """Show joints with their layers."""


class Evaluation:
    """Evaluation of one separator; each measure is reported when it is done, and is not repeated if already reported.

    Args:
        separator: separator to evaluate.
        sets: sets of joints by name; "test" is one of them.
        tasks: all measures by name.
        measures: names of the measures to run, a list or a single one.
        report: destination of the results.
        shown: number of test joints, sampled at random, shown besides the worst.
        seed: random seed of that sample, and of the split of the test joints if there is no training set.

    Raises:
        InputError: a measure is unknown.
    """

    def __init__(
        self,
        separator: Separator,
        sets: Mapping[str, JointSet],
        tasks: Mapping[str, Task],
        measures: Sequence[str] | str,
        report: Report,
        shown: int = 10,
        seed: int = 0,
    ) -> None:
        self.separator, self.sets, self.report = separator, sets, report
        self.tasks = {name: tasks[name] for name in chosen_measures(measures, tasks)}
        self.shown, self.seed = shown, seed
        self.separated: dict[str, SeparatedJoints] = {}

    def run(self) -> None:
        """Read the lists, load the separator, reserve the output folder, then measure."""
        needed = needed_sets(self.tasks, list(self.tasks))
        names = [item["name"] for key in needed for item in self.sets[key].items]
        self.separator.prepare(names)
        self.report.open(self.separator.source, self.separator.training, getattr(self.separator, "computed", {}))
        left = {key: task for key, task in self.tasks.items() if not self.report.holds(key, task.settings)}
        for name in [name for name in self.tasks if name not in left]:
            _log.info(f"{name} is already measured.")
        while left:
            name = next(iter(left))
            self._measure(name, left.pop(name))
            self._forget({key for task in left.values() for key in task.sets})
        self._show_some()

    def _measure(self, name: str, task: Task) -> None:
        _log.info(f"Measuring {name}.")
        joints = self._joints(task)
        if len(joints) < len(task.sets):
            _log.warning(f"{name} is not measured: no joint of {', '.join(task.sets)} can be used")
            return
        start = time.perf_counter()
        measured = task.measure(*joints.values())
        self.report.add(name, measured, task.settings, joints, time.perf_counter() - start)

    def _joints(self, task: Task) -> dict[str, SeparatedJoints]:
        """Separate the joints of a task; without a training set, the test joints are split by joint."""
        if not all(self.sets[name].items for name in task.sets) and len(task.sets) == 2:
            sides = split_by_joint(self.sets[task.sets[1]].items, 0.5, self.seed)
            both = self._separated(task.sets[1])
            return {name: _subset(both, side) for name, side in zip(task.sets, sides, strict=True)}
        return {name: self._separated(name) for name in task.sets if self.sets[name].items}

    def _separated(self, name: str) -> SeparatedJoints:
        if name not in self.separated:
            self.separated[name] = self.sets[name].separate(self.separator)
        return self.separated[name]

    def _forget(self, needed: set[str]) -> None:
        """Free the memory of joints that no measure needs any more."""
        for name in set(self.separated) - needed:
            del self.separated[name]

    def _show_some(self) -> None:
        items = self.sets["test"].items
        sampled = random.Random(self.seed).sample(range(len(items)), min(self.shown, len(items)))
        if sampled:
            some = [items[index] for index in sorted(sampled)]
            self.report.show("random", self.sets["test"].separate(self.separator, some))


def chosen_measures(measures: Sequence[str] | str, known: Iterable[str]) -> list[str]:
    """Return the names of measures, from a list or a single one.

    Raises:
        InputError: one of them is unknown, or there is none.
    """
    chosen = [measures] if isinstance(measures, str) else list(measures)
    if not chosen or not set(chosen) <= set(known):
        msg = f"measures is {measures!r}. Choose from {', '.join(known)}."
        raise InputError(msg)
    return list(dict.fromkeys(chosen))


def needed_sets(tasks: Mapping[str, Task], measures: Sequence[str] | str) -> list[str]:
    """Return the names of the sets that measures need; always includes the test joints, of which some are shown."""
    return list(
        dict.fromkeys(["test", *(key for name in chosen_measures(measures, tasks) for key in tasks[name].sets)])
    )


def _subset(joints: SeparatedJoints, items: Sequence[Item]) -> SeparatedJoints:
    names = {item["name"] for item in items}
    rows = [row for row, item in enumerate(joints.items) if item["name"] in names]
    truth = None if joints.truth is None else joints.truth[rows]
    return SeparatedJoints([joints.items[row] for row in rows], joints.images[rows], joints.layers[rows], truth)
