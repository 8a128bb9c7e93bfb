"""Networks that bring their weights along: a TorchScript file, or one that was built with them."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from ignite.engine import Engine
from torch import nn


class OwnWeights:
    """Stands for :class:`bundle.workflow.GeneratorWeights` where that is disabled: the network is used as it was built.

    Args:
        network: the generator.
    """

    training: dict[str, Any] | None = None

    def __init__(self, network: Any) -> None:
        self.network = network

    @property
    def source(self) -> str:
        """What separates, with a checksum of the weights that it has."""
        return network_label(self.network)

    def attach(self, engine: Engine) -> None:
        """Load nothing."""

    def __call__(self, engine: Engine | None) -> None:
        """Load nothing."""


def used_weights(loader: Any, network: Any) -> Any:
    """The loader of a network's weights; where it is disabled (None), :class:`OwnWeights`."""
    return OwnWeights(network) if loader is None else loader


def brings_weights(network: Any) -> bool:
    """Whether a network comes from a file that holds its weights, too: TorchScript."""
    return isinstance(network, torch.jit.ScriptModule)


def network_label(network: Any) -> str:
    """Name of a network with what tells its weights from others.

    >>> network_label(nn.ReLU())
    'ReLU (no weights)'
    """
    name = getattr(network, "original_name", type(network).__name__)
    if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
        return f"{name} (no weights)"
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return f"{name} with weights of its own (sha256 {digest.hexdigest()[:12]})"
