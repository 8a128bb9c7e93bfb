"""A line is left of each pair, and a run in which nothing was found does not pass for one that measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.registration.gauss_newton import BoneShift
from bundle.registration.method import Registration
from bundle.registration.pair_lists import RadiographPairs
from bundle.registration.report import NARROWING, NarrowingWriter, PairQuality
from bundle.workflow.weights import NetworkWeights
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
SPACING = 21 / 64


class Registers(Registration):
    """A method that finds the bones of every second pair, or of none."""

    name = "registers"

    def __init__(self, finds: bool) -> None:
        self.finds, self.asked = finds, 0

    def __call__(
        self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, *, after_masks: Tensor | None = None
    ) -> tuple[BoneShift, BoneShift]:
        self.asked += 1
        shift = BoneShift(0.0, 0.1, 0.0, 1.0, self.finds and self.asked % 2 == 1)
        return shift, shift


def pairs() -> RadiographPairs:
    phantoms = [render(sample_parameters(seed, size=64, spacing=SPACING)) for seed in range(3)]
    known = {"joint": "a", "finger": "ring", "side": "left", "spacing": torch.tensor([SPACING])}
    return RadiographPairs(
        [{**known, "name": f"{row}", "image": torch.cat([p.image, p.masks])} for row, p in enumerate(phantoms)]
    )


def writer(folder: Path, finds: bool) -> NarrowingWriter:
    quality = PairQuality(*(str(ROOT / "models" / f"{name}.json") for name in ("plausibility", "detectable_change")))
    return NarrowingWriter(str(folder), {}, Registers(finds), NetworkWeights(torch.nn.Identity(), ""), quality)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / NARROWING).read_text().splitlines()]


def test_a_pair_whose_bones_are_not_found_has_no_number_and_is_not_plausible(tmp_path: Path) -> None:
    writer(tmp_path, finds=True).write(pairs())
    found = lines(tmp_path)
    assert [line["jsn_mm"] is None for line in found] == [False, True, False]
    assert not found[1]["plausible"] and found[1]["plausibility"]["registration"]["reasons"]


def test_a_run_that_finds_no_bone_ends_with_an_error_and_leaves_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{NARROWING}: the bones of no pair were found"):
        writer(tmp_path, finds=False).write(pairs())
    assert [line["jsn_mm"] for line in lines(tmp_path)] == [None] * 3
