"""Checkpoints that are damaged, or of other settings, are refused by name or passed over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.workflow.run_settings import RunSettings
from tests.workflow.stages import STEPS, names, things, train, weight
from torch import nn


def misfit(folder: Path, remedy: str = "its settings", **options: Any) -> str:
    with pytest.raises(InputError) as raised:
        train(folder, options.pop("first", 2), options.pop("last", 3), **options)
    message = str(raised.value)
    assert message.startswith(f"{folder}/checkpoint_epoch=")
    assert "does not fit this configuration (" in message
    assert f"Resume with {remedy}, or train into another" in message
    return message


def test_a_checkpoint_of_other_settings_is_refused_with_its_name_and_the_reason(tmp_path: Path) -> None:
    train(tmp_path, 2, 3)
    assert "size mismatch" in misfit(tmp_path, state=things(width=5))
    fault = f"its stage began after epoch 2 with {STEPS} steps per epoch, not after epoch 2 with 7"
    assert fault in misfit(tmp_path, steps=7)
    assert "began after epoch 2" in misfit(tmp_path, first=1, last=4)
    assert "began after epoch 2" in misfit(tmp_path, first=3, last=4)
    assert "not found" in misfit(tmp_path, state={**things(), "more": nn.Linear(1, 1)})
    assert names(tmp_path) == ["checkpoint_epoch=2.pt", "checkpoint_epoch=3.pt"]


def flipped(content: bytes, place: float) -> bytes:
    at = int(place * (len(content) - 1))
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "garbage": lambda content: b"no checkpoint",
    "cut": lambda content: content[:-300],
    "longer": lambda content: content + b"x",
    **{f"flipped at {place}": partial(flipped, place=place) for place in (0.0, 0.01, 0.3, 0.5, 0.7, 0.95, 1.0)},
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_in_place_of_a_damaged_checkpoint_the_one_before_it_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    whole, rest = things(), things()
    train(tmp_path / "whole", 2, 4, whole)
    train(tmp_path, 2, 4)
    path = tmp_path / "checkpoint_epoch=4.pt"
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert train(tmp_path, 2, 4, rest) == [[], [4]]
    assert f"{path}: it is damaged" in caplog.text
    assert "Resuming from checkpoint_epoch=3.pt" in caplog.text
    assert torch.equal(weight(whole), weight(rest))


def test_where_all_checkpoints_are_damaged_they_are_named_and_left(tmp_path: Path) -> None:
    train(tmp_path, 2, 3)
    for path in tmp_path.iterdir():
        path.write_bytes(flipped(path.read_bytes(), 0.5))
    with pytest.raises(InputError, match=r"epoch=3\.pt: .*epoch=2\.pt: it is damaged.*\. Delete these checkpoints"):
        train(tmp_path, 2, 3)
    assert names(tmp_path) == ["checkpoint_epoch=2.pt", "checkpoint_epoch=3.pt"]


def test_whole_files_that_are_no_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    for content in ([1, 2], {"generator": 3}, nn.Linear(1, 1)):
        torch.save(content, tmp_path / "checkpoint_epoch=3.pt")
        with pytest.raises(InputError, match=rf"^{tmp_path}/checkpoint_epoch=3\.pt: (not a|the) checkpoint"):
            train(tmp_path, 2, 3)


def unsealed(path: Path) -> None:
    """A checkpoint as it was written before there were checksums and settings."""
    torch.save(torch.load(path, weights_only=True), path)


def test_a_checkpoint_without_checksum_and_settings_is_taken_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, 2, 3)
    path = tmp_path / "checkpoint_epoch=3.pt"
    unsealed(path)
    state = {**things(), "settings": RunSettings([])}
    with caplog.at_level(logging.WARNING):
        assert train(tmp_path, 2, 4, state) == [[], [4]]
    assert f"{path}: the checkpoint contains no settings, so they are not compared" in caplog.text


def test_a_damaged_checkpoint_without_a_checksum_is_found_by_those_of_its_archive(tmp_path: Path) -> None:
    train(tmp_path, 2, 3)
    path = tmp_path / "checkpoint_epoch=3.pt"
    unsealed(path)
    content = path.read_bytes()
    at = content.index(weight_bytes(path))
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert train(tmp_path, 2, 3) == [[], [3]]


def weight_bytes(path: Path) -> bytes:
    return bytes(torch.load(path, weights_only=True)["generator"]["weight"].numpy().tobytes())


def test_a_setting_that_changed_is_refused_by_its_name_with_both_values(tmp_path: Path) -> None:
    settings = RunSettings([])
    settings.values = {"seed": 0, "lr": 0.1}
    train(tmp_path, 2, 3, {**things(), "settings": settings})
    settings.values = {"seed": 1, "lr": 0.1}
    state = things()
    before = weight(state)
    message = misfit(tmp_path, state={**state, "settings": settings})
    assert "(seed was 0 and is 1)" in message and "lr" not in message
    assert torch.equal(weight(state), before)
    settings.values = {"seed": 0, "lr": 0.1}
    assert train(tmp_path, 2, 4, {**things(), "settings": settings}) == [[], [4]]


def test_a_checkpoint_with_former_names_is_resumed_by_the_version_that_wrote_it(tmp_path: Path) -> None:
    settings = RunSettings([])
    settings.values = {"rotation": 0.1}
    train(tmp_path, 2, 3, {**things(), "settings": settings})
    settings.values = {"rotation_rad": 0.1}
    message = misfit(tmp_path, "that version", state={**things(), "settings": settings})
    assert "(it is from an earlier version: rotation is now rotation_rad)" in message
