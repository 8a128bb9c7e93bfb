"""Shared utilities: JSON parsing, redaction of patient information, threads, memory, compiled loops and their cache."""

from __future__ import annotations

from bundle.base.cache import CACHE, cache_folder
from bundle.base.loops import NUMBA, Floats, cached_loop, has_numba, loop, sum_loop
from bundle.base.memory import keep_freed_memory
from bundle.base.parsing import parse_json, read_json
from bundle.base.redaction import (
    REDACTION,
    bare_values,
    holds,
    is_pseudonym,
    pseudonym,
    tells,
    without_pseudonyms,
    without_told,
)
from bundle.base.threads import one_thread, side_by_side

__all__ = [
    "CACHE",
    "NUMBA",
    "REDACTION",
    "Floats",
    "bare_values",
    "cache_folder",
    "cached_loop",
    "has_numba",
    "holds",
    "is_pseudonym",
    "keep_freed_memory",
    "loop",
    "one_thread",
    "parse_json",
    "pseudonym",
    "read_json",
    "side_by_side",
    "sum_loop",
    "tells",
    "without_pseudonyms",
    "without_told",
]
