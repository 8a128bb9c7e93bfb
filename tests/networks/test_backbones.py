"""Backbones by name: their defaults work, options arrive, and wrong names are answered with the right ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.networks.backbones import BACKBONES, make_backbone
from torch import nn

SIZES = {"UNETR": 256}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_defaults_give_logits_of_the_size_of_the_image(name: str) -> None:
    network = make_backbone(name, 2, 5).eval()
    size = SIZES.get(name, 64)
    with torch.no_grad():
        logits = network(torch.rand(1, 2, size, size))
    assert logits.shape == (1, 5, size, size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ["BasicUNet", "FlexibleUNet", "SegResNet", "TransUNet"])
def test_defaults_up_sample_by_interpolation(name: str) -> None:
    with torch.device("meta"):
        network = make_backbone(name, 1, 1)
    kinds = {type(module) for module in network.modules()}
    assert nn.ConvTranspose2d not in kinds
    assert nn.Upsample in kinds


def test_options_take_the_place_of_defaults() -> None:
    network = make_backbone("UNet", 1, 1, {"channels": [4, 8], "strides": [2]})
    widths = {module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d)}
    assert max(widths) == 8


def test_defaults_stay_as_they_are_after_a_call_with_options() -> None:
    make_backbone("BasicUNet", 1, 1, {"upsample": "deconv", "features": [4] * 6})
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in make_backbone("BasicUNet", 1, 1).modules())


def test_an_unknown_name_is_answered_with_all_names() -> None:
    with pytest.raises(InputError, match="unknown backbone 'Unet'") as error:
        make_backbone("Unet", 1, 1)
    assert all(name in str(error.value) for name in BACKBONES)


def test_an_unknown_option_is_answered_with_the_options() -> None:
    with pytest.raises(InputError, match=r"BasicUNet has no option feature\. Its options are .*features.*upsample"):
        make_backbone("BasicUNet", 1, 1, {"feature": [8] * 6})


@pytest.mark.parametrize("features", [[1], [-1] * 6, "abc", None, {}, [1.5] * 6])
def test_an_option_of_a_value_that_the_network_refuses_is_refused_in_a_line(features: Any) -> None:
    with pytest.raises(InputError, match="backbone SubpixelUNet cannot be made with the options"):
        make_backbone("SubpixelUNet", 1, 2, {"features": features})
