"""Measure what a Dask cluster of many workers costs its scheduler: the engine of data sets with tasks that only wait.

A scheduler runs in a process of its own, all workers in another one; the engine is the one of ``--engine dask``. One
run without waiting measures the scheduler, one with waiting whether the workers are kept busy. The report extrapolates
to a data set. Needs requirements-scale.txt.

    python scripts/simulate_cluster.py --workers 1000 --tasks 20000
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import psutil
from bundle.cluster import Tasks, task_engine
from bundle.errors import InputError, report_plainly

START_S = 600.0
"""Maximum time until all workers have joined."""


class Waiting(Tasks):
    """Tasks that wait instead of making a shard.

    Args:
        count: number of tasks.
        seconds: duration of each.
    """

    def __init__(self, count: int, seconds: float) -> None:
        self.count, self.seconds = count, seconds

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> int:
        time.sleep(self.seconds)
        return row


class Cost(NamedTuple):
    """Cost of a run.

    Attributes:
        tasks: number of tasks.
        seconds: duration of the run.
        scheduler_s: processor time of the scheduler.
        memory_mb: growth of the memory of the scheduler, MB.
    """

    tasks: int
    seconds: float
    scheduler_s: float
    memory_mb: float

    @property
    def scheduler_ms(self) -> float:
        """Processor time of the scheduler per task, ms."""
        return 1000.0 * self.scheduler_s / self.tasks


def _silence() -> None:
    import distributed  # sets its own levels when it is imported

    logging.getLogger(distributed.__name__).setLevel(logging.CRITICAL)


def _serve(address: Any) -> None:
    """Run a scheduler in this process, and send its address."""
    _silence()
    from distributed import Scheduler

    async def serve() -> None:
        async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
            address.send(scheduler.address)
            await scheduler.finished()

    asyncio.run(serve())


def _work(address: str, count: int) -> None:
    """Run workers in this process."""
    _silence()
    from distributed import Worker

    async def work() -> None:
        options: dict[str, Any] = {"nthreads": 1, "memory_limit": 0, "dashboard": False}
        workers = [Worker(address, name=f"worker-{number}", **options) for number in range(count)]
        for start in range(0, count, 50):
            await asyncio.gather(*workers[start : start + 50])
        await asyncio.gather(*(worker.finished() for worker in workers))

    asyncio.run(work())


@contextmanager
def cluster(workers: int) -> Iterator[tuple[str, psutil.Process]]:
    """Start a scheduler and its workers; yield its address and its process.

    Raises:
        InputError: the workers do not join in time.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    scheduler = context.Process(target=_serve, args=(there,), daemon=True)
    scheduler.start()
    address = str(here.recv())
    working = context.Process(target=_work, args=(address, workers), daemon=True)
    working.start()
    try:
        _wait_for(address, workers)
        yield address, psutil.Process(scheduler.pid)
    finally:
        for process in (working, scheduler):
            process.kill()
            process.join()


def _wait_for(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address, timeout=60) as client:
        try:
            client.wait_for_workers(workers, timeout=START_S)
        except TimeoutError as error:
            msg = f"--workers {workers}: not all joined within {START_S:.0f} s. Pass a smaller number."
            raise InputError(msg) from error


def run(address: str, process: psutil.Process, tasks: int, seconds: float) -> Cost:
    """Carry out tasks by the engine of data sets, and return the cost."""
    before, begun = sum(process.cpu_times()[:2]), time.perf_counter()
    start = memory = process.memory_info().rss
    for number, _ in enumerate(task_engine("dask", scheduler=address).run(Waiting(tasks, seconds))):
        if number % 100 == 0:
            memory = max(memory, process.memory_info().rss)
    spent = time.perf_counter() - begun
    return Cost(tasks, spent, sum(process.cpu_times()[:2]) - before, (memory - start) / 1e6)


def report(workers: int, free: Cost, waiting: Cost, seconds: float, images: int, shard_size: int, rate: float) -> str:
    """Describe both runs, and extrapolate them to a data set; ``rate`` is the images per second of a worker."""
    shards, due = images / shard_size, workers * rate / shard_size
    ideal = seconds * waiting.tasks / workers
    lines = [
        f"{workers} workers, {free.tasks} tasks without duration: {free.seconds:.1f} s; scheduler "
        f"{free.scheduler_ms:.2f} ms of processor time and {1000 * free.memory_mb / free.tasks:.1f} KB a task",
        f"{workers} workers, {waiting.tasks} tasks of {seconds:g} s: {waiting.seconds:.1f} s, at best {ideal:.1f} s",
        f"{images:g} images in shards of {shard_size}, {rate:g} images/s and worker: {shards:g} tasks, "
        f"{images / workers / rate / 3600:.2f} h; {due:.0f} tasks/s, which take {due * free.scheduler_ms / 10:.0f} % "
        f"of the scheduler's time; scheduler {free.memory_mb * shards / free.tasks:.0f} MB more than empty",
    ]
    return "\n".join(f"- {line}" for line in lines)


def main() -> None:
    """Read the command line, simulate, and print the report."""
    parser = argparse.ArgumentParser(description="Measure what a Dask cluster of many workers costs its scheduler.")
    parser.add_argument("--workers", type=int, default=1000, help="number of workers")
    parser.add_argument("--tasks", type=int, default=20000, help="number of tasks without duration")
    parser.add_argument("--waits", type=int, default=5000, help="number of tasks that wait")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of a task that waits")
    parser.add_argument("--images", type=int, default=10**8, help="images of the data set")
    parser.add_argument("--shard_size", type=int, default=1000, help="images per shard")
    parser.add_argument("--rate", type=float, default=100.0, help="images per second of a worker")
    options = parser.parse_args()
    with cluster(options.workers) as (address, process):
        waiting = run(address, process, options.waits, options.seconds)
        free = run(address, process, options.tasks, 0.0)
    settings = (options.seconds, options.images, options.shard_size, options.rate)
    print(report(options.workers, free, waiting, *settings))


if __name__ == "__main__":
    report_plainly()
    main()
