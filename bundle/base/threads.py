"""Bit-exact results, independent of the batch and of the number of threads.

torch kernels split sums by batch size and number of threads, so the last bits of a result depend on both. One thread
that processes one joint always gives the same bits; several joints run in parallel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(made, parts))
