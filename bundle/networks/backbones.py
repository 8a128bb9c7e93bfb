"""Networks by name, from the configuration: MONAI's two-dimensional ones with sensible defaults, and TransUNet.

Generators, the supervisor N_S (1 -> 3 logits) and the discriminator N_D (1 -> 1 logit) are all made here.
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
"""Class and default options of each backbone. Those up-sample by interpolation where MONAI lets them; AttentionUnet,
DynUNet, SwinUNETR, UNETR and UNet have transposed convolutions, which can leave a checkerboard in smooth tissue."""


def make_backbone(
    name: str, in_channels: int, out_channels: int, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """A two-dimensional network from images (B, in_channels, H, W) to logits (B, out_channels, H, W).

    H and W are multiples of 32 (:class:`bundle.separation.Generator` pads); UNETR needs them equal to its
    ``img_size``, 256 by default.

    Args:
        name: a key of :data:`BACKBONES`.
        in_channels: channels of the input.
        out_channels: channels of the logits.
        options: arguments of that class, in place of the defaults.

    Raises:
        InputError: if there is no such backbone, or it has no such option; the message lists those there are.
    """
    if name not in BACKBONES:
        msg = f"unknown backbone {name!r}; expected one of {', '.join(BACKBONES)}"
        raise InputError(msg)
    network, defaults = BACKBONES[name]
    options = dict(options or {})
    known = set(inspect.signature(network).parameters)
    unknown = sorted(set(options) - known)
    if unknown:
        msg = f"backbone {name} has no option {', '.join(unknown)}; expected some of {', '.join(sorted(known))}"
        raise InputError(msg)
    return network(in_channels=in_channels, out_channels=out_channels, **{**defaults, **options})


WIDTHS = {
    "BasicUNet": ("features",),
    "SubpixelUNet": ("features", "width"),
    "TransUNet": ("encoder_channels", "hidden_size", "mlp_dim", "bridge_channels", "decoder_channels"),
    "UNet": ("channels",),
}
"""Options of a backbone that are numbers of channels."""

NARROWEST = 2
"""No layer has fewer channels."""


def scaled_options(name: str, width: float, of: float, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Options of a backbone whose layers all have ``width / of`` times as many channels.

    Args:
        name: a key of :data:`WIDTHS`.
        width: channels of the scaled network's first level.
        of: channels of the first level of the network that is scaled.
        options: of the network that is scaled, in place of its defaults.

    Raises:
        InputError: the backbone cannot be scaled, or a width is not above 0.
    """
    if name not in WIDTHS or not min(width, of) > 0:
        msg = f"expected widths above 0 of one of {', '.join(WIDTHS)}, got {width} of {of} for {name}"
        raise InputError(msg)
    network, defaults = BACKBONES[name]
    signature = {key: value.default for key, value in inspect.signature(network).parameters.items()}
    whole = {**signature, **defaults, **(options or {})}
    return {**(options or {}), **{key: scaled_channels(whole[key], width, of) for key in WIDTHS[name]}}


def scaled_channels(channels: Any, width: float, of: float) -> Any:
    """Channels, one number or several, times ``width / of``; at least :data:`NARROWEST`."""
    if isinstance(channels, int):
        return max(round(channels * width / of), NARROWEST)
    return [scaled_channels(each, width, of) for each in channels]
