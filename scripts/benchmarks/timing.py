"""Times of batches and training steps, and the peak memory of a process."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundle.separation import LayerSeparationTrainer
from ignite.engine import Engine, Events
from scripts.benchmarks.settings import Settings
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer as synchronised_time


def batch_times(run: Callable[[], Any], settings: Settings) -> list[float]:
    """Measure the time of ``run`` in seconds, one for each repeat, after a warm-up."""
    timer = Timer("run()", globals={"run": run}, num_threads=settings.threads)
    run()
    times: list[float] = []
    start = synchronised_time()
    while len(times) < settings.repeats and (not times or synchronised_time() - start < settings.seconds):
        times.append(timer.blocked_autorange().median)
    return times


def step_times(trainer: LayerSeparationTrainer, settings: Settings) -> list[float]:
    """Measure the steps of a trainer in seconds, without the first one, which warms up."""
    started: list[float] = []
    times: list[float] = []

    def start(engine: Engine) -> None:
        started.append(synchronised_time())

    def stop(engine: Engine) -> None:
        times.append(synchronised_time() - started[-1])
        if len(times) > 1 and sum(times[1:]) >= settings.seconds:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_STARTED, start)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    trainer.run()
    return times[1:]


def most_held() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return _held("VmHWM")


def held() -> int:
    """Return the resident memory of this process in bytes; the largest so far on systems other than Linux."""
    return _held("VmRSS")


def _held(name: str) -> int:
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would include the memory of the parent process before the fork
        return 1024 * int(re.findall(rf"^{name}:\s+(\d+) kB$", status.read_text(), re.MULTILINE)[0])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
