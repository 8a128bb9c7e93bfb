"""Engines by name: processes of this machine, or the workers of a Dask cluster.

A task can be carried out anywhere, and again after a failure, so every engine writes the same files.
"""

from __future__ import annotations

from collections.abc import Iterator

from bundle.cluster.dask_cluster import DaskCluster
from bundle.cluster.tasks import Engine, Tasks
from bundle.errors import InputError
from torch.utils.data import DataLoader


class Processes(Engine):
    """Processes of this machine.

    Args:
        workers: number of processes; 0 carries out the tasks in this process.
    """

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers

    def run(self, tasks: Tasks) -> Iterator[int]:
        """See :meth:`Engine.run`."""
        afresh = "spawn" if self.workers and not tasks.forked else None
        yield from DataLoader(tasks, batch_size=None, num_workers=self.workers, multiprocessing_context=afresh)


ENGINES = ("processes", "dask")
"""Names of the engines."""


def task_engine(name: str = "processes", workers: int = 0, scheduler: str = "") -> Engine:
    """Return the engine with a name of :data:`ENGINES`.

    Args:
        name: name of the engine.
        workers: number of processes on this machine.
        scheduler: address of a Dask scheduler; empty: none.

    Raises:
        InputError: there is no such engine, or it has no scheduler.
    """
    if name not in ENGINES:
        msg = f"engine is {name!r}. Pass {' or '.join(ENGINES)}."
        raise InputError(msg)
    if name == "processes":
        if scheduler:
            msg = f"scheduler is {scheduler}, but the engine is {name}. Pass --engine dask as well."
            raise InputError(msg)
        return Processes(workers)
    if scheduler and workers:
        msg = f"workers is {workers}, but the scheduler {scheduler} has workers of its own. Leave out --workers."
        raise InputError(msg)
    return DaskCluster(workers, scheduler)
