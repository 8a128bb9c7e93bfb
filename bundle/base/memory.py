"""Reuse of freed memory by the C library."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""
_LARGEST_MMAP_THRESHOLD = 2**25
"""Upper limit of glibc on 64-bit systems."""


def keep_freed_memory(limit: int = 2**28) -> bool:
    """Let the process keep freed memory for reuse, up to a limit, instead of returning it to the system at once.

    Tensors of a few images otherwise go back to the system after each use. Getting their pages again takes a fifth of
    the time of a synthesis.

    Args:
        limit: maximum amount of free memory at the top of the heap, in bytes, below 2 GiB.

    Returns:
        Whether the C library is glibc, which has this setting; otherwise nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)) and bool(set_option(_TRIM_THRESHOLD, limit))
