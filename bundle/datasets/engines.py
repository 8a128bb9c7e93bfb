"""Engines that make the shards of a data set: processes of this machine, or the workers of a Dask cluster.

A shard depends on the plan and its source joints alone and is written whole or not at all, so it can be made anywhere,
and again after a failure. Every engine writes the same files.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import ignite.distributed as idist
from bundle.errors import InputError
from torch.utils.data import DataLoader, Dataset

_log = logging.getLogger("bundle.datasets")

_ATTEMPTS = 5
"""Maximum number of connections to a scheduler, and of attempts at a shard whose worker ends."""
_PAUSE_S = 2.0
"""Pause before the scheduler is contacted again."""
_PLUGIN = "shards"
"""Name of the plugin that brings the tasks to each Dask worker."""


class Engine(ABC):
    """Engine that carries out independent tasks."""

    @abstractmethod
    def run(self, tasks: Dataset[int]) -> Iterator[int]:
        """Carry out all tasks and yield the result of each in any order.

        Args:
            tasks: data set with a length, picklable; access to a row carries out its task, which may be repeated.

        Raises:
            InputError: a task cannot be carried out, or the engine is not available.
        """


class Processes(Engine):
    """Processes of this machine.

    Args:
        workers: number of processes; 0 carries out the tasks in this process.
    """

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers

    def run(self, tasks: Dataset[int]) -> Iterator[int]:
        """See :meth:`Engine.run`."""
        yield from DataLoader(tasks, batch_size=None, num_workers=self.workers)


class DaskCluster(Engine):
    """Workers of a Dask cluster, which may join, leave or be killed at any time.

    Each worker receives the tasks once. If a worker ends, another one makes its shard. If the scheduler restarts, the
    remaining shards are submitted again.

    Args:
        workers: number of processes of a local cluster; 0 means one for each core. Without effect with a scheduler.
        scheduler: address of a running scheduler, such as ``tcp://HOST:8786``; empty starts a local cluster. The
            workers of a scheduler need this bundle, the same requirements, and the output folder at the same path.
    """

    def __init__(self, workers: int = 0, scheduler: str = "") -> None:
        self.workers, self.scheduler = workers, scheduler

    def run(self, tasks: Dataset[int]) -> Iterator[int]:
        """See :meth:`Engine.run`."""
        _check_alone()
        left = set(range(len(tasks)))  # type: ignore[arg-type]
        for attempt in range(_ATTEMPTS):
            try:
                with self._client() as client:
                    yield from _carried_out(client, tasks, left)
                return
            except _lost() as error:
                _log.warning(f"The Dask scheduler was lost ({type(error).__name__}); {len(left)} shards are left.")
                time.sleep(_PAUSE_S * (attempt + 1))
        msg = f"{self.scheduler or 'the local Dask cluster'}: lost {_ATTEMPTS} times. Rerun the command to resume."
        raise InputError(msg)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Connect to the scheduler, or start a local cluster."""
        distributed = _distributed()
        if self.scheduler:
            with self._connected(distributed) as client:
                yield client
            return
        local = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        cluster = distributed.LocalCluster(self.workers or None, silence_logs=logging.CRITICAL, **local)
        with cluster, distributed.Client(cluster) as client:
            yield client

    def _connected(self, distributed: Any) -> Any:
        try:
            return distributed.Client(self.scheduler, timeout=30)
        except (OSError, ValueError) as error:
            msg = f"{self.scheduler}: no Dask scheduler answers. Start one (dask scheduler), or correct --scheduler."
            raise InputError(msg) from error


ENGINES = ("processes", "dask")
"""Names of the engines."""


def shard_engine(name: str = "processes", workers: int = 0, scheduler: str = "") -> Engine:
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


def _distributed() -> Any:
    """The library ``distributed``."""
    try:
        import distributed
    except ImportError as error:
        msg = "dask is not installed. Run: python -m pip install -r requirements-scale.txt"
        raise InputError(msg) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
    return distributed


def _check_alone() -> None:
    if idist.get_world_size() > 1:
        msg = "the engine dask shares the shards among its own workers. Run it without torchrun."
        raise InputError(msg)


def _lost() -> tuple[type[BaseException], ...]:
    """Exceptions that mean that the scheduler is gone."""
    distributed = _distributed()
    return distributed.client.FutureCancelledError, distributed.comm.CommClosedError


def _carried_out(client: Any, tasks: Dataset[int], left: set[int]) -> Iterator[int]:
    """Carry out the tasks that are left on the workers of a client, and remove each from them."""
    distributed = _distributed()
    _log.info(f"Dask: {client.scheduler.address}, dashboard {client.dashboard_link}")
    client.register_plugin(_tasks_plugin(tasks))
    rows = sorted(left)
    futures = client.map(_carry_out, rows, pure=False, retries=_ATTEMPTS, key=[f"shard-{row}" for row in rows])
    row_of = dict(zip(futures, rows, strict=True))
    for future in distributed.as_completed(futures):
        try:
            found = future.result()
        except distributed.KilledWorker as error:
            msg = f"shard {row_of[future]}: its worker ended several times. See the memory of the workers."
            raise InputError(msg) from error
        left.discard(row_of[future])
        yield found


def _tasks_plugin(tasks: Dataset[int]) -> Any:
    """Plugin that brings the tasks to every worker, also to those that join later."""

    class Tasks(_distributed().WorkerPlugin):  # type: ignore[misc]
        name = _PLUGIN

        def __init__(self) -> None:
            self.tasks = tasks

        def setup(self, worker: Any) -> None:
            self.lock = Lock()

    return Tasks()


def _carry_out(row: int) -> int:
    """Carry out a task in a worker, one at a time: the number of torch's threads belongs to the whole process."""
    plugin = _distributed().get_worker().plugins[_PLUGIN]
    with plugin.lock:
        return int(plugin.tasks[row])
