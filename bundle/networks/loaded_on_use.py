"""Networks on the CPU whose weights are loaded on first use."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bundle.networks.weights import file_label, load_weights, stated_sha256
from torch import nn


class LoadedOnUse:
    """Base class of a predictor whose weights are not required before its first prediction.

    Args:
        network: network.
        load_path: file of the weights.
        metadata: file of the bundle's metadata with the checksum of the weights; empty for user-trained weights.

    Attributes:
        what: name of the network in error messages.
        remedy: advice in error messages if the weights are missing or belong to another network.
    """

    what: ClassVar[str]
    remedy: ClassVar[str]

    def __init__(self, network: nn.Module, load_path: str | Path, metadata: str = "") -> None:
        self.network, self.load_path, self.metadata = network.eval(), Path(load_path), metadata
        self._loaded = False

    def __str__(self) -> str:
        """Name and checksum of the weights."""
        return file_label(self.load_path)

    def load(self) -> None:
        """Load the weights, unless they are loaded.

        Raises:
            InputError: if the weights are missing or those of another network.
        """
        if self._loaded:
            return
        sha256 = stated_sha256(self.metadata, self.load_path.name) if self.metadata else None
        load_weights(self.network, self.load_path, self.what, self.remedy, "cpu", sha256)
        self._loaded = True
