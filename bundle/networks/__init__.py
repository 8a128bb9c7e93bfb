"""Generic networks: backbones by name, weights, resolution and precision."""

from __future__ import annotations

from bundle.networks.backbones import make_backbone, scaled_channels, scaled_options
from bundle.networks.loaded_on_use import LoadedOnUse
from bundle.networks.precision import Bfloat16Inferer, placed
from bundle.networks.resolution import ReducedResolution
from bundle.networks.weights import (
    file_digest,
    file_label,
    load_failure,
    load_weights,
    put_state,
    read_state,
    stated_sha256,
)

__all__ = [
    "Bfloat16Inferer",
    "LoadedOnUse",
    "ReducedResolution",
    "file_digest",
    "file_label",
    "load_failure",
    "load_weights",
    "make_backbone",
    "placed",
    "put_state",
    "read_state",
    "scaled_channels",
    "scaled_options",
    "stated_sha256",
]
