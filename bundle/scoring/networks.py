"""Networks that read a radiograph, by name: its joint space width (JSW) or its grade of narrowing. All are MONAI's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from bundle.errors import InputError
from monai.networks import nets
from torch import nn

_RESNET = {"conv1_t_stride": 2}

SCORERS: dict[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {
    "ResNet10": (nets.resnet10, {**_RESNET, "widen_factor": 0.5}),
    "ResNet18": (nets.resnet18, _RESNET),
    "ResNet50": (nets.resnet50, _RESNET),
}
"""Function and default options of each; ResNet50 is the paper's, ResNet10 of half the width is for a CPU."""


FIRST_CHANNELS = 64
"""Channels of the first level of MONAI's ResNets with ``widen_factor`` 1, as published."""


def make_scorer(name: str, outputs: int = 1, options: Mapping[str, Any] | None = None, channels: int = 1) -> nn.Module:
    """A network from radiographs (B, channels, H, W) to (B, outputs), with its channels last in memory.

    Args:
        name: a key of :data:`SCORERS`.
        outputs: numbers that it gives.
        options: arguments of :class:`monai.networks.nets.ResNet`, in place of the defaults.
        channels: of its input.

    Raises:
        InputError: there is no such reader, or it has no such option.
    """
    if name not in SCORERS:
        msg = f"unknown reader {name!r}; expected one of {', '.join(SCORERS)}"
        raise InputError(msg)
    network, defaults = SCORERS[name]
    known = set(inspect.signature(nets.ResNet).parameters) - {"block", "layers", "block_inplanes"}
    unknown = sorted(set(options or {}) - known)
    if unknown:
        msg = f"reader {name} has no option {', '.join(unknown)}; expected some of {', '.join(sorted(known))}"
        raise InputError(msg)
    made = network(spatial_dims=2, n_input_channels=channels, num_classes=outputs, **{**defaults, **(options or {})})
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def scaled_scorer_options(width: int, options: Mapping[str, Any] | None = None, multiple: int = 1) -> dict[str, Any]:
    """Options of a reader whose first level has ``width`` channels, and all others in proportion.

    Args:
        width: channels of the first level; :data:`FIRST_CHANNELS` as published.
        options: of the reader, besides.
        multiple: what the width must be a multiple of, as the groups of a group norm.

    Raises:
        InputError: a width that is not a whole number above 0, or no such multiple.
    """
    if not isinstance(width, int) or width < 1 or width % multiple:
        msg = f"width: expected a whole number of channels above 0, a multiple of {multiple}, got {width}"
        raise InputError(msg)
    return {**(options or {}), "widen_factor": width / FIRST_CHANNELS}
