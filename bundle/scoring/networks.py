"""Scoring networks by name, all from MONAI: joint space width (JSW) or grade of narrowing from a radiograph."""

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
"""Function and default options of each; ResNet50 is the paper's, ResNet10 of half the width suits a CPU."""


FIRST_CHANNELS = 64
"""Channels of the first level of MONAI's ResNets with ``widen_factor`` 1, as published."""


def make_scorer(name: str, outputs: int = 1, options: Mapping[str, Any] | None = None, channels: int = 1) -> nn.Module:
    """Build a network from radiographs (B, channels, H, W) to (B, outputs), in channels-last memory format.

    Args:
        name: a key of :data:`SCORERS`.
        outputs: number of outputs.
        options: arguments of :class:`monai.networks.nets.ResNet` that replace the defaults.
        channels: number of input channels.

    Raises:
        InputError: there is no such scoring network, or it has no such option.
    """
    if name not in SCORERS:
        msg = f"{name!r} is not a scoring network. Choose one of {', '.join(SCORERS)}."
        raise InputError(msg)
    network, defaults = SCORERS[name]
    known = set(inspect.signature(nets.ResNet).parameters) - {"block", "layers", "block_inplanes"}
    unknown = sorted(set(options or {}) - known)
    if unknown:
        msg = f"{name} has no option {', '.join(unknown)}. Choose from {', '.join(sorted(known))}."
        raise InputError(msg)
    made = network(spatial_dims=2, n_input_channels=channels, num_classes=outputs, **{**defaults, **(options or {})})
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def scaled_scorer_options(width: int, options: Mapping[str, Any] | None = None, multiple: int = 1) -> dict[str, Any]:
    """Return options of a scoring network whose first level has ``width`` channels, all others in proportion.

    Args:
        width: channels of the first level; :data:`FIRST_CHANNELS` as published.
        options: further options of the network.
        multiple: required divisor of the width, such as the groups of a group norm.

    Raises:
        InputError: the width is not a whole number above 0, or not such a multiple.
    """
    if not isinstance(width, int) or width < 1 or width % multiple:
        msg = f"width is {width}. Pass a whole number of channels above 0, a multiple of {multiple}."
        raise InputError(msg)
    return {**(options or {}), "widen_factor": width / FIRST_CHANNELS}
