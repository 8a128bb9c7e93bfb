"""Networks with built-in weights: a TorchScript file, or one constructed with weights."""

from __future__ import annotations

from typing import Any

import torch
from bundle.networks import weights_digest
from ignite.engine import Engine
from torch import nn


class OwnWeights:
    """Replacement for a disabled :class:`bundle.workflow.GeneratorWeights`: the network is used as constructed.

    Args:
        network: generator.
    """

    training: dict[str, Any] | None = None

    def __init__(self, network: Any) -> None:
        self.network = network

    @property
    def source(self) -> str:
        """Label of the separator with a checksum of its weights."""
        return network_label(self.network)

    def attach(self, engine: Engine) -> None:
        """Load nothing."""

    def __call__(self, engine: Engine | None) -> None:
        """Load nothing."""


def used_weights(loader: Any, network: Any) -> Any:
    """Return the loader of a network's weights; :class:`OwnWeights` if it is disabled (None)."""
    return OwnWeights(network) if loader is None else loader


def brings_weights(network: Any) -> bool:
    """Whether a network comes from a TorchScript file, which contains its weights."""
    return isinstance(network, torch.jit.ScriptModule)


def network_label(network: Any) -> str:
    """Label a network by its name and a checksum of its weights.

    >>> network_label(nn.ReLU())
    'ReLU (no weights)'
    """
    name = getattr(network, "original_name", type(network).__name__)
    if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
        return f"{name} (no weights)"
    return f"{name} with weights of its own (sha256 {weights_digest(network)[:12]})"
