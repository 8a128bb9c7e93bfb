"""Faults of one worker, which loads this module: ``FAULT`` names one, ``MARKS`` is the folder of its marks."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

from bundle.cluster import dask_workers
from bundle.datasets import shards
from bundle.inference import LayerWriter

MARKS = Path(os.environ["MARKS"])
_fill = shards._fill


def mark(name: str) -> bool:
    """Leave a mark; False if it is there."""
    try:
        (MARKS / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def interrupted(name: str, number: int) -> None:
    """A signal ends or stops this process after the first image of a shard, once."""

    def fill(folder, images):
        def some():
            for count, image in enumerate(images):
                if count == 1 and mark(name):
                    os.kill(os.getpid(), number)
                yield image

        _fill(folder, some())

    shards._fill = fill


def slow(seconds: float) -> None:
    def fill(folder, images):
        def some():
            for image in images:
                mark(f"writing-{os.getpid()}")
                time.sleep(seconds)
                yield image

        _fill(folder, some())

    shards._fill = fill


def full() -> None:
    """The disk is full after the first image of each shard."""

    def fill(folder, images):
        mark("full")
        images = iter(images)
        _fill(folder, [next(images)])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

    shards._fill = fill


def killed_in_block() -> None:
    """A signal ends this process after the first joint of a block, once."""
    own = LayerWriter.add

    def add(self: LayerWriter, joint: Any, output: Any) -> None:
        own(self, joint, output)
        if mark("killed"):
            os.kill(os.getpid(), signal.SIGKILL)

    LayerWriter.add = add  # type: ignore[method-assign]


def other(name: str) -> None:
    """Another version of the bundle or of torch."""
    own = dask_workers.versions
    dask_workers.versions = lambda: {**own(), name: "0.1"}


def dask_setup(_: Any) -> None:
    """Called by the worker once it has loaded this module, which it may do twice."""
    fault, _, value = os.environ["FAULT"].partition("=")
    if fault in ("killed", "stopped"):
        interrupted(fault, {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}[fault])
    elif fault == "killed-in-block":
        killed_in_block()
    elif fault == "slow":
        slow(float(value))
    elif fault == "full":
        full()
    elif fault == "other":
        other(value)
