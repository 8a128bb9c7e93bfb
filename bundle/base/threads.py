"""Bit-exact results, independent of the batch and of the number of threads.

torch kernels split sums by batch size and number of threads, so the last bits of a result depend on both. One thread
that processes one joint always gives the same bits; several joints run in parallel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

Part = TypeVar("Part")
Made = TypeVar("Made")


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread inside the block, and restore the number of threads after it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(work: Callable[[Part], Made], parts: Sequence[Part]) -> list[Made]:
    """Apply ``work`` to each part, one thread per part; as many parts at once as torch has threads.

    Gradient recording follows the caller; ``work`` itself must enter autocast.

    Args:
        work: thread-safe function of a part.
        parts: any number of inputs.
    """
    recorded, threads = torch.is_grad_enabled(), min(torch.get_num_threads(), len(parts))

    def made(part: Part) -> Made:
        with torch.set_grad_enabled(recorded):
            return work(part)

    with one_thread():
        if threads < 2:
            return [made(part) for part in parts]
        futures = [_workers(threads).submit(made, part) for part in parts]
        wait(futures)
        return [future.result() for future in futures]


@cache
def _workers(count: int) -> ThreadPoolExecutor:
    """Return the threads of this process that work side by side.

    They stay, because the C library gives each new thread memory of its own, and keeps it.
    """
    return ThreadPoolExecutor(count, "side_by_side")


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_workers.cache_clear)
