"""Loops over pixels that numba compiles to machine code: one image and one thread a call, without Python's lock."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from bundle.base.cache import cache_folder
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NUMBA = "numba"
"""Name of the package that compiles the loops."""


def has_numba() -> bool:
    """Whether the loops can be compiled."""
    return find_spec(NUMBA) is not None


def loop(function: Callable[..., Any]) -> Any:
    """Compile a function that other loops call; needs numba."""
    from numba import njit

    return njit(nogil=True, error_model="numpy")(function)


def sum_loop(function: Callable[..., Any]) -> Any:
    """Compile a function that adds in any order, so that several terms are added at once; needs numba."""
    from numba import njit

    return njit(nogil=True, error_model="numpy", fastmath={"reassoc"})(function)


def cached_loop(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for arguments of fixed types, or load it from the cache folder; needs numba.

    numba notices changes of the file of the function only, so a function calls loops of its own file. A damaged file of
    the cache is replaced.

    Args:
        signature: types of the result and of the arguments, as numba writes them.
    """
    numba: Any = import_module(NUMBA)

    def compiled(function: Callable[..., Any]) -> Any:
        usual, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(cache_folder())
        try:
            found = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
        finally:
            numba.config.CACHE_DIR = usual
        try:
            found.compile(signature)
        except Exception:  # a damaged file may raise any error
            found._cache.flush()
            found.compile(signature)
        found.disable_compile()
        return found

    return compiled
