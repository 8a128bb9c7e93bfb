"""Whether a network is being exported to ONNX, which lacks a few operations and the integers that others are fast in.

The rooms that use those write them otherwise while this holds: equal up to rounding, slower in torch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def exporting() -> bool:
    """True while :func:`torch.onnx.export` follows a network; never in TorchScript."""
    if torch.jit.is_scripting():
        return False
    else:  # torch.jit.script leaves out nothing but the other branch
        return torch.onnx.is_in_onnx_export()


def expm1(values: Tensor) -> Tensor:
    """``exp(x) - 1``, to the last digits of a small x where torch computes it."""
    return torch.exp(values) - 1.0 if exporting() else torch.expm1(values)
