"""Generic networks: backbones by name, weights, resolution and precision."""

from __future__ import annotations

from bundle.networks.backbones import make_backbone, scaled_channels, scaled_options
from bundle.networks.channels_last import channels_last, fast_to_train
from bundle.networks.compiled import CompiledNetwork, compiled
from bundle.networks.exported import evaluation_mode
from bundle.networks.loaded_on_use import LoadedOnUse
from bundle.networks.precision import Bfloat16Inferer, placed
from bundle.networks.resolution import ReducedResolution
from bundle.networks.runtimes import (
    INSTALLATION,
    RUNTIMES,
    TORCH,
    Runtime,
    installed_runtimes,
    package_label,
    processor_has_bfloat16,
    runtime_of,
)
from bundle.networks.weights import (
    file_digest,
    file_label,
    load_failure,
    load_weights,
    put_state,
    read_state,
    stated_sha256,
    weights_digest,
)

__all__ = [
    "INSTALLATION",
    "RUNTIMES",
    "TORCH",
    "Bfloat16Inferer",
    "CompiledNetwork",
    "LoadedOnUse",
    "ReducedResolution",
    "Runtime",
    "channels_last",
    "compiled",
    "evaluation_mode",
    "fast_to_train",
    "file_digest",
    "file_label",
    "installed_runtimes",
    "load_failure",
    "load_weights",
    "make_backbone",
    "package_label",
    "placed",
    "processor_has_bfloat16",
    "put_state",
    "read_state",
    "runtime_of",
    "scaled_channels",
    "scaled_options",
    "stated_sha256",
    "weights_digest",
]
