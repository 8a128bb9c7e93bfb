"""Weights are loaded whole, into the network that takes them, or refused with the reason."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.networks.weights import LFS_POINTER, file_digest, load_weights, stated_sha256
from torch import nn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "a.pt")
    return tmp_path / "a.pt"


def test_weights_come_back_as_they_were(path: Path) -> None:
    network = nn.Linear(3, 2)
    load_weights(network, path, "line", "nothing", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    state = torch.load(path, weights_only=True)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_what_cannot_be_loaded_is_refused_with_the_reason(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.pt: not the weights of this line \(.*size mismatch.*\)\. Do that\.$"):
        load_weights(nn.Linear(4, 2), path, "line", "do that")
    with pytest.raises(InputError, match="The file is damaged, incomplete or another one"):
        load_weights(nn.Linear(3, 2), path, "line", "do that", sha256="0" * 64)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="it is damaged, or torch did not write it"):
        load_weights(nn.Linear(3, 2), path, "line", "do that")
    path.write_bytes(LFS_POINTER + b"\noid sha256:0")
    with pytest.raises(InputError, match="git lfs pull"):
        load_weights(nn.Linear(3, 2), path, "line", "do that")
    with pytest.raises(InputError, match=r"no\.pt: the weights of this line are missing\. Do that\.$"):
        load_weights(nn.Linear(3, 2), tmp_path / "no.pt", "line", "do that")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    state = nn.Linear(3, 2).state_dict()
    state["bias"][1] = torch.nan
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(
        InputError, match=r"nan\.pt: the weights contain NaN or infinite numbers, for example in bias\. Do that\.$"
    ):
        load_weights(nn.Linear(3, 2), tmp_path / "nan.pt", "line", "do that")


def test_a_checksum_is_that_of_the_metadata_or_none(tmp_path: Path) -> None:
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps({"weights": {"a.pt": {"sha256": "AB"}}}))
    assert stated_sha256(metadata, "a.pt") == "ab"
    assert stated_sha256(metadata, "b.pt") is None
    metadata.write_text("[")
    with pytest.raises(InputError, match=r"metadata\.json: not a JSON object"):
        stated_sha256(metadata, "a.pt")


def test_a_digest_tells_files_apart(path: Path, tmp_path: Path) -> None:
    assert file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert file_digest(tmp_path / "no.pt") == "none"
