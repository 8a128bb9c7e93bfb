"""Replacements for operations and integer types that ONNX export lacks.

During export the code uses alternatives that are equal up to rounding but slower in torch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def exporting() -> bool:
    """Whether :func:`torch.onnx.export` is tracing a network; always False in TorchScript."""
    if torch.jit.is_scripting():
        return False
    else:  # torch.jit.script skips only the branch not taken, not the code after it
        return torch.onnx.is_in_onnx_export()


def expm1(values: Tensor) -> Tensor:
    """Compute ``exp(x) - 1``, accurate for small x except during ONNX export."""
    return torch.exp(values) - 1.0 if exporting() else torch.expm1(values)
