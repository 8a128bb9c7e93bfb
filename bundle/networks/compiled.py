"""Networks that a runtime computes: the interface of the network, without gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock

import numpy as np
import torch
from bundle.networks.blockwise import blockwise
from bundle.networks.exported import ExportedNetwork
from bundle.networks.runtimes import Runtime, runtime_of
from bundle.networks.weights import weights_digest
from torch import Tensor, nn

SHAPES = 4
"""Maximum number of input shapes for which a network is compiled at a time."""


def compiled(network: nn.Module, runtime: str, amp: bool = False) -> CompiledNetwork:
    """Compile a network for a runtime on first use.

    Args:
        network: network from images (B, C, H, W) to logits.
        runtime: key of :data:`bundle.networks.RUNTIMES`.
        amp: whether bfloat16 is allowed.

    Raises:
        InputError: the runtime is unknown or not installed.
    """
    return CompiledNetwork(network, runtime_of(runtime), amp)


class CompiledNetwork(nn.Module):
    """A network in evaluation mode that a runtime computes; with gradients, or on another device, torch computes it.

    Changed weights are noticed, and the network is compiled again; its modules must stay the same.

    Args:
        network: network with one input and one output, in evaluation mode.
        runtime: class of the runtime.
        amp: whether bfloat16 is allowed.

    Attributes:
        in_bfloat16: whether the runtime computes in bfloat16: it is allowed, and the processor has it.
    """

    def __init__(self, network: nn.Module, runtime: type[Runtime], amp: bool = False) -> None:
        super().__init__()
        self.network, self.runtime = network, runtime
        self.in_bfloat16 = amp and runtime.has_bfloat16()
        self._held = [(values, name) for module in network.modules() for values in _tensors(module) for name in values]
        self._lock = Lock()
        self._sessions: dict[tuple[int, ...], Runtime] = {}
        self._state: tuple[tuple[int, int], ...] = ()
        self._digest = ""

    def forward(self, image: Tensor) -> Tensor:
        """Compute the output of the network, in float32."""
        if torch.is_grad_enabled() or image.device.type != "cpu":
            found: Tensor = self.network(image)
            return found
        given = np.ascontiguousarray(image.detach().float().numpy())
        return torch.from_numpy(self.prepare(image.shape)(given))

    def prepare(self, shape: Sequence[int]) -> Runtime:
        """Compile for an input shape, unless done; export is not safe while other threads compute."""
        with self._lock:
            self._follow_weights()
            key = tuple(shape)
            if key not in self._sessions:
                while len(self._sessions) >= SHAPES:
                    self._sessions.pop(next(iter(self._sessions)))
                self._sessions[key] = self.runtime(self._export(key).model(), self.in_bfloat16)
            return self._sessions[key]

    def renew(self, shape: Sequence[int]) -> None:
        """Export and compile again, whatever the cache contains."""
        with self._lock:
            model = self._export(shape).made()
            self._sessions[tuple(shape)] = self.runtime(model, self.in_bfloat16)

    def _export(self, shape: Sequence[int]) -> ExportedNetwork:
        return ExportedNetwork(blockwise(self.network), shape)

    def _follow_weights(self) -> None:
        """Forget the compiled networks of other weights."""
        tensors = (tensor for values, name in self._held if (tensor := values[name]) is not None)
        state = tuple((tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors)
        if state == self._state:
            return
        digest = weights_digest(self.network)
        if digest != self._digest:
            self._sessions.clear()
        self._state, self._digest = state, digest


def _tensors(module: nn.Module) -> tuple[Mapping[str, Tensor | None], ...]:
    """Return the parameters and buffers of a module without those of its children, as it holds them."""
    return module._parameters, module._buffers
