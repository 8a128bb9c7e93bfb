"""Bits that depend neither on what else is computed nor on the number of threads.

Kernels of torch split their sums by the size of a batch and by the threads that they run in, so that the last bits of
a result change with both. What is computed of one joint by one thread is always the same; joints run side by side.
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
    """Compute with one thread inside the block, and with as many as before after it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(work: Callable[[Part], Made], parts: Sequence[Part]) -> list[Made]:
    """What ``work`` makes of each part, one thread each; as many parts at once as torch has threads.

    Gradients are recorded where they are outside; autocast has to be entered inside ``work``.

    Args:
        work: is called by several threads at once.
        parts: in any number.
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
