"""A network computes the same in TorchScript and in ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scripts import verify_bundle
from scripts.bundle_checks import network
from tests.scripts.bundle_checks.small_bundle import EXPORT, edit, failures


class TwoFaced(torch.nn.Module):
    """Scripts to something else than it computes eagerly."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_scripting():
            return image * self.scale + 0.001
        return image * self.scale


@pytest.mark.slow
def test_a_network_that_scripts_to_something_else_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn, "TwoFaced", TwoFaced, raising=False)
    edit(
        root / "configs" / "inference.json", lambda config: config.update(network_def={"_target_": "torch.nn.TwoFaced"})
    )
    torch.save(TwoFaced().state_dict(), root / "models" / "model.pt")
    assert "by 0.001, more than" in failures(root, EXPORT)[EXPORT]


class Shifting(torch.nn.Module):
    """Is exported to ONNX as something else than it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        shift = 0.001 if torch.onnx.is_in_onnx_export() else 0.0
        return image * self.scale + shift


def test_a_network_that_is_another_one_in_onnx_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn, "Shifting", Shifting, raising=False)
    edit(
        root / "configs" / "inference.json", lambda config: config.update(network_def={"_target_": "torch.nn.Shifting"})
    )
    torch.save(Shifting().state_dict(), root / "models" / "model.pt")
    reason = verify_bundle.run_check(lambda: network.check_onnx(root), verbose=False)[1]
    assert "by 0.001, more than" in reason


@pytest.mark.slow
def test_an_onnx_model_of_one_image_alone_is_found(root: Path) -> None:
    edit(root / network.ONNX_ARGUMENTS, lambda arguments: arguments["converter_kwargs"].pop("dynamic_axes"))
    passed, reason = verify_bundle.run_check(lambda: network.check_onnx(root), verbose=False)
    assert not passed
    assert "dimensions" in reason


@pytest.mark.slow
def test_a_network_that_does_not_script_is_found(root: Path) -> None:
    edit(root / "configs" / "inference.json", lambda config: config.update(network_def=swin_network()))
    assert EXPORT in failures(root, EXPORT)


def swin_network() -> dict[str, Any]:
    return {"_target_": "SwinUNETR", "in_channels": 3, "out_channels": 3, "spatial_dims": 2, "feature_size": 12}
