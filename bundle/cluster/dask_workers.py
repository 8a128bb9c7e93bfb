"""What the workers of a Dask cluster carry out, and the check that they compute what a single process would."""

from __future__ import annotations

import logging
import pickle
import platform
import time
from collections.abc import Mapping
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from bundle.cluster.tasks import Tasks
from bundle.errors import InputError
from bundle.io import bundle_version

_REST_S = 5.0
"""Rest of a worker that refused a task before its next attempt, in which the others take most tasks."""


class Outcome(NamedTuple):
    """What a worker states of a task.

    Attributes:
        worker: address of the worker.
        result: result of the task; -1 if it is refused.
        refusal: reason for which this worker cannot carry out the task; empty if it did.
    """

    worker: str
    result: int
    refusal: str = ""


def dask_library() -> Any:
    """Return the library ``distributed``.

    Raises:
        InputError: it is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        msg = "dask is not installed. Run: python -m pip install -r requirements-scale.txt"
        raise InputError(msg) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
    return distributed


def versions() -> dict[str, str]:
    """Return the versions that all workers share, so that every image has the same bits."""
    return {
        "bundle": bundle_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }


def check_versions(expected: Mapping[str, str]) -> None:
    """Refuse a worker whose versions differ from those of the run.

    Args:
        expected: versions of the run (:func:`versions`).

    Raises:
        InputError: they differ; the message states the differences.
    """
    here = versions()
    different = [name for name in expected if expected[name] != here.get(name)]
    if different:
        own, wanted = (", ".join(f"{name} {found.get(name)}" for name in different) for found in (here, expected))
        msg = f"{platform.node()}: the worker has {own}, the run has {wanted}. Install those, and restart it."
        raise InputError(msg)


def tasks_plugin(tasks: Tasks, name: str) -> Any:
    """Return the plugin that brings tasks to every worker under a name.

    The tasks are unpickled by the first attempt at one, after the check of the versions.
    """
    plugin_name = name

    class Carrier(dask_library().WorkerPlugin):  # type: ignore[misc]
        name = plugin_name

        def __init__(self) -> None:
            self.expected, self.pickled = versions(), dask_library().protocol.pickle.dumps(tasks)

        def setup(self, worker: Any) -> None:
            self.prepared = Prepared(self.expected, self.pickled)

    return Carrier()


class Prepared:
    """Tasks in a worker, carried out one at a time: the number of torch's threads belongs to the whole process.

    Args:
        expected: versions of the run.
        pickled: the pickled tasks.
    """

    def __init__(self, expected: Mapping[str, str], pickled: bytes) -> None:
        self.expected, self.pickled = expected, pickled
        self.tasks: Tasks | None = None
        self.lock, self.refused = Lock(), False

    def carry_out(self, row: int) -> tuple[int, str]:
        """Carry out a task; return its result and an empty text, or -1 and why this worker cannot."""
        with self.lock:
            if self.refused:
                time.sleep(_REST_S)
            try:
                result, reason = int(self._tasks()[row]), ""
            except (InputError, OSError, MemoryError) as error:
                result, reason = -1, str(error) or type(error).__name__
            self.refused = bool(reason)
            return result, reason

    def _tasks(self) -> Tasks:
        if self.tasks is None:
            check_versions(self.expected)
            tasks: Tasks = pickle.loads(self.pickled)
            tasks.check_here()
            self.tasks = tasks
        return self.tasks


def carry_out(row: int, plugin: str) -> Outcome:
    """Carry out a task of a plugin in a worker."""
    worker = dask_library().get_worker()
    return Outcome(worker.address, *worker.plugins[plugin].prepared.carry_out(row))
