from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.workflow.own_weights import OwnWeights, network_label
from bundle.workflow.weights import GeneratorWeights
from torch import nn


def test_networks_are_told_apart_by_their_weights() -> None:
    network, other = nn.Linear(2, 1), nn.Linear(2, 1)
    assert network_label(network) == network_label(copy.deepcopy(network)) == OwnWeights(network).source
    assert network_label(network) != network_label(other)
    assert network_label(torch.jit.script(network)) == network_label(network)
    assert network_label(nn.Identity()) == "Identity (no weights)"


def test_torchscript_keeps_its_weights_unless_a_file_is_chosen(tmp_path: Path) -> None:
    network, shipped = torch.jit.script(nn.Linear(2, 1)), nn.Linear(2, 1)
    path = tmp_path / "model.pt"
    torch.save(shipped.state_dict(), path)
    before = network.weight.clone()
    for chosen in ("", "none"):
        weights = GeneratorWeights(str(path), network, chosen=chosen)
        weights(None)  # type: ignore[arg-type]
        assert torch.equal(network.weight, before)
        assert weights.source == network_label(network)
    chosen_weights = GeneratorWeights("absent.pt", network, chosen=str(path))
    chosen_weights(None)  # type: ignore[arg-type]
    assert torch.equal(network.weight, shipped.weight)
    assert chosen_weights.source.startswith("model.pt (sha256 ")
    torch.save(nn.Linear(3, 1).state_dict(), path)
    with pytest.raises(InputError, match="generator"):
        chosen_weights(None)  # type: ignore[arg-type]
