"""The workers of a Dask cluster as an engine: they may join, leave, fail or be killed at any time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

import ignite.distributed as idist
from bundle.cluster.dask_workers import Outcome, carry_out, dask_library, tasks_plugin
from bundle.cluster.tasks import Engine, Tasks
from bundle.errors import InputError

_log = logging.getLogger("bundle.cluster")

_ATTEMPTS = 5
"""Maximum number of losses of a scheduler without a finished task between them, and of attempts at a task."""
_PAUSE_S = 2.0
"""Pause before the scheduler is contacted again, times the number of losses."""
_QUIET_S = 10.0
"""Time without a finished task after which the workers are counted."""
_PATIENCE_S = 600.0
"""Maximum time without any worker."""


class DaskCluster(Engine):
    """Workers of a Dask cluster, which may join, leave or be killed at any time.

    Each worker receives the tasks once. If a worker ends, or cannot carry out a task, another one does. If the
    scheduler restarts, the remaining tasks are submitted again.

    Args:
        workers: number of processes of a local cluster; 0 means one for each core. Without effect with a scheduler.
        scheduler: address of a running scheduler, such as ``tcp://HOST:8786``; empty starts a local cluster. The
            workers of a scheduler need this bundle, the same requirements, and the output folder at the same path.
    """

    def __init__(self, workers: int = 0, scheduler: str = "") -> None:
        self.workers, self.scheduler = workers, scheduler

    def run(self, tasks: Tasks) -> Iterator[int]:
        """See :meth:`Engine.run`."""
        _check_alone()
        left, losses, known = set(range(len(tasks))), 0, False
        while True:
            before = len(left)
            try:
                with self._client() as client:
                    known = True
                    yield from _carried_out(client, tasks, left)
                return
            except _lost() as error:
                if isinstance(error, _NoSchedulerError) and not known:
                    raise
                losses = 1 if len(left) < before else losses + 1
                self._wait(losses, f"{len(left)} {tasks.noun}s")

    def _wait(self, losses: int, left: str) -> None:
        """Wait before the scheduler is contacted again, unless it was lost too often."""
        named = self.scheduler or "the local Dask cluster"
        if losses == _ATTEMPTS:
            msg = f"{named}: scheduler lost {_ATTEMPTS} times in a row. Start it, and rerun the command to resume."
            raise InputError(msg)
        _log.warning(f"{named}: the scheduler was lost; {left} are left.")
        time.sleep(_PAUSE_S * losses)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Connect to the scheduler, or start a local cluster."""
        distributed = dask_library()
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
            raise _NoSchedulerError(msg) from error


class _NoSchedulerError(InputError):
    """No scheduler answers."""


def _check_alone() -> None:
    if idist.get_world_size() > 1:
        msg = "the engine dask shares the work among its own workers. Run it without torchrun."
        raise InputError(msg)


def _lost() -> tuple[type[BaseException], ...]:
    """Exceptions that mean that the scheduler is gone."""
    distributed = dask_library()
    return distributed.client.FutureCancelledError, distributed.comm.CommClosedError, _NoSchedulerError


def _carried_out(client: Any, tasks: Tasks, left: set[int]) -> Iterator[int]:
    """Carry out the tasks that are left on the workers of a client, and remove each from them."""
    _log.info(f"Dask: {client.scheduler.address}, dashboard {client.dashboard_link}")
    name = f"{tasks.noun}s-{uuid4().hex}"  # several runs may share a scheduler
    _register(client, tasks_plugin(tasks, name))
    submitted = _Submitted(client, name, tasks.noun)
    submitted.add(sorted(left))
    while left:
        row, outcome = submitted.next()
        if outcome.refusal:
            submitted.repeat(row, outcome)
            continue
        left.discard(row)
        yield outcome.result


def _register(client: Any, plugin: Any) -> None:
    """Bring the tasks to every worker, also to those that join later."""
    try:
        client.register_plugin(plugin)
    except _lost():
        raise
    except Exception as error:  # a worker cannot load the plugin, for whatever reason
        msg = (
            f"a worker of {client.scheduler.address} cannot load the bundle ({error}). Start all workers from the root "
            "of this version of the bundle, with PYTHONPATH=$PWD."
        )
        raise InputError(msg) from error


class _Submitted:
    """Tasks that a client has submitted; one that a worker refuses is submitted again for the others.

    Args:
        client: Dask client.
        name: name of the plugin with the tasks.
        noun: what a task makes.
    """

    def __init__(self, client: Any, name: str, noun: str) -> None:
        self.client, self.name, self.noun = client, name, noun
        self.finished: SimpleQueue[Any] = SimpleQueue()
        self.row_of: dict[Any, int] = {}
        self.refusing: set[str] = set()
        self.attempts: dict[int, int] = {}
        self.alone_since: float | None = None

    def add(self, rows: Sequence[int], **where: Any) -> None:
        """Submit tasks."""
        keys = [f"{self.name}-{row}-{self.attempts.get(row, 0)}" for row in rows]
        futures = self.client.map(carry_out, rows, plugin=self.name, pure=False, retries=_ATTEMPTS, key=keys, **where)
        self.row_of.update(zip(futures, rows, strict=True))
        for future in futures:
            future.add_done_callback(self.finished.put)

    def next(self) -> tuple[int, Outcome]:
        """Wait for a task; return its number with what its worker states.

        Raises:
            InputError: there is no worker any more, or workers ended repeatedly during the task.
        """
        future = self._next()
        row = self.row_of.pop(future)
        try:
            outcome: Outcome = future.result()
        except dask_library().KilledWorker as error:
            msg = f"{self.noun} {row}: its worker ended several times. See the memory of the workers."
            raise InputError(msg) from error
        if not outcome.refusal:
            self.refusing.discard(outcome.worker)
        return row, outcome

    def _next(self) -> Any:
        while True:
            try:
                return self.finished.get(timeout=_QUIET_S)
            except Empty:
                self._check_workers()

    def _check_workers(self) -> None:
        """Warn of a scheduler without workers, and end the run if none joins."""
        now, address = time.monotonic(), self.client.scheduler.address
        if self.client.nthreads():
            self.alone_since = None
        elif self.alone_since is None:
            self.alone_since = now
            _log.warning(f"{address} has no worker. Start workers; the run waits {_PATIENCE_S / 60:.0f} minutes.")
        elif now - self.alone_since > _PATIENCE_S:
            msg = f"{address} has no worker. Start workers, and rerun the command to resume."
            raise InputError(msg)

    def repeat(self, row: int, outcome: Outcome) -> None:
        """Submit a refused task again, for workers that do not refuse tasks.

        Raises:
            InputError: all workers refuse tasks, or too many have refused this one.
        """
        if outcome.worker not in self.refusing:
            _log.warning(f"worker {outcome.worker} cannot make {self.noun} {row}, others take over: {outcome.refusal}")
        self.refusing.add(outcome.worker)
        self.attempts[row] = self.attempts.get(row, 0) + 1
        others = sorted(set(self.client.nthreads()) - self.refusing)
        if not others or self.attempts[row] == _ATTEMPTS:
            msg = f"{outcome.refusal} This is the state at worker {outcome.worker}. Then rerun the command to resume."
            raise InputError(msg)
        self.add([row], workers=others, allow_other_workers=True)
