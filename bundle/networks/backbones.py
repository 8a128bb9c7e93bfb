"""Networks by name, for the configuration: MONAI's two-dimensional networks with defaults, and TransUNet.

The backbones of generators, supervisor N_S (1 -> 3 logits) and discriminator N_D (1 -> 1 logit) are created here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from bundle.errors import InputError
from bundle.networks.subpixel import SubpixelUNet
from bundle.networks.transunet import TransUNet
from monai.networks import nets
from torch import nn

_FIVE_LEVELS = {"channels": (32, 64, 128, 256, 512), "strides": (2, 2, 2, 2)}

BACKBONES: dict[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {
    "AttentionUnet": (nets.AttentionUnet, {"spatial_dims": 2, **_FIVE_LEVELS}),
    "BasicUNet": (nets.BasicUNet, {"spatial_dims": 2, "upsample": "nontrainable"}),
    "DynUNet": (
        nets.DynUNet,
        {
            "spatial_dims": 2,
            "kernel_size": (3, 3, 3, 3, 3),
            "strides": (1, 2, 2, 2, 2),
            "upsample_kernel_size": (2, 2, 2, 2),
        },
    ),
    "FlexibleUNet": (nets.FlexibleUNet, {"spatial_dims": 2, "backbone": "efficientnet-b0", "interp_mode": "linear"}),
    "SegResNet": (nets.SegResNet, {"spatial_dims": 2, "init_filters": 16}),
    "SubpixelUNet": (SubpixelUNet, {}),
    "SwinUNETR": (nets.SwinUNETR, {"spatial_dims": 2}),
    "TransUNet": (TransUNet, {}),
    "UNETR": (nets.UNETR, {"spatial_dims": 2, "img_size": 256}),
    "UNet": (nets.UNet, {"spatial_dims": 2, "num_res_units": 2, **_FIVE_LEVELS}),
}
"""Class and default options of each backbone. Where MONAI allows it, they up-sample by interpolation; AttentionUnet,
DynUNet, SwinUNETR, UNETR and UNet use transposed convolutions, which can cause checkerboard artefacts in smooth
tissue."""


def make_backbone(
    name: str, in_channels: int, out_channels: int, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """Create a two-dimensional network from images (B, in_channels, H, W) to logits (B, out_channels, H, W).

    H and W must be multiples of 32 (:class:`bundle.separation.Generator` pads); UNETR requires its ``img_size``, 256 by
    default.

    Args:
        name: a key of :data:`BACKBONES`.
        in_channels: channels of the input.
        out_channels: channels of the logits.
        options: arguments of the class that override the defaults.

    Raises:
        InputError: if the backbone or an option is unknown, or the value of an option invalid.
    """
    if name not in BACKBONES:
        msg = f"unknown backbone {name!r}. Choose one of {', '.join(BACKBONES)}."
        raise InputError(msg)
    network, defaults = BACKBONES[name]
    options = dict(options or {})
    known = set(inspect.signature(network).parameters)
    unknown = sorted(set(options) - known)
    if unknown:
        msg = f"backbone {name} has no option {', '.join(unknown)}. Its options are {', '.join(sorted(known))}."
        raise InputError(msg)
    try:
        return network(in_channels=in_channels, out_channels=out_channels, **{**defaults, **options})
    except Exception as error:  # a library's network may raise any error about its arguments
        msg = f"backbone {name} cannot be made with the options {options} ({error}). Correct them."
        raise InputError(msg) from error


WIDTHS = {
    "BasicUNet": ("features",),
    "SubpixelUNet": ("features", "width"),
    "TransUNet": ("encoder_channels", "hidden_size", "mlp_dim", "bridge_channels", "decoder_channels"),
    "UNet": ("channels",),
}
"""Options of a backbone that set numbers of channels."""

NARROWEST = 2
"""Minimum number of channels of a layer."""


def scaled_options(name: str, width: float, of: float, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Compute the options of a backbone with the channels of all layers scaled by ``width / of``.

    Args:
        name: a key of :data:`WIDTHS`.
        width: channels of the first level of the scaled network.
        of: channels of the first level of the original network.
        options: options of the original network that override the defaults.

    Raises:
        InputError: if the backbone cannot be scaled, or a width is not positive.
    """
    if name not in WIDTHS or not min(width, of) > 0:
        msg = f"cannot scale {name} from {of} to {width} channels. Use positive widths and one of {', '.join(WIDTHS)}."
        raise InputError(msg)
    network, defaults = BACKBONES[name]
    signature = {key: value.default for key, value in inspect.signature(network).parameters.items()}
    original = {**signature, **defaults, **(options or {})}
    return {**(options or {}), **{key: scaled_channels(original[key], width, of) for key in WIDTHS[name]}}


def scaled_channels(channels: Any, width: float, of: float) -> Any:
    """Scale a number of channels, or several, by ``width / of``; at least :data:`NARROWEST`."""
    if isinstance(channels, int):
        return max(round(channels * width / of), NARROWEST)
    return [scaled_channels(each, width, of) for each in channels]
