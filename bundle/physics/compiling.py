"""Compilation of functions of many small steps by TorchScript: the same operations, without Python between them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import Any

import torch
from bundle.physics.exporting import exporting
from torch import Tensor

PATIENCE = 16
"""Number of calls in Python before a function is compiled, which takes a quarter of a second."""


class Compiled:
    """A function that TorchScript runs once it has been called :data:`PATIENCE` times, with the same bits.

    A call takes less time, and other threads run meanwhile, because TorchScript releases the lock of the interpreter:
    with Python between the steps, several threads separate hardly more images per second than one.

    During ONNX export and tracing the function runs in Python. Scripted code calls the function itself.

    Args:
        function: function of tensors and numbers that ``torch.jit.script`` compiles; without gradients.
        patience: number of calls in Python.
    """

    def __init__(self, function: Callable[..., Tensor], patience: int = PATIENCE) -> None:
        self.function, self.patience = function, patience
        self._calls, self._lock = 0, Lock()

    def __call__(self, *arguments: Any) -> Tensor:
        """Call the function with positional arguments of exactly its types."""
        if self._calls < self.patience or exporting() or torch.jit.is_tracing():
            self._calls += 1
            return self.function(*arguments)
        with self._lock:
            script = self._script
        found: Tensor = script(*arguments)
        return found

    @cached_property
    def _script(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, about its script
            return torch.jit.script(self.function)
