"""Parameters of phantoms: a seed repeats them, and what is given leaves the others as they are."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.joint import FINGERS
from bundle.phantoms.parameters import PhantomParameters
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from tests.phantoms.rendered import GAP_RANGE, SMALL, phantom, same


def test_seeds_differ_in_anatomy_texture_and_noise() -> None:
    assert len({sample_parameters(seed).upper for seed in range(50)}) == 50
    other_noise = render(replace(phantom(3).parameters, seed=4))
    assert torch.equal(other_noise.masks, phantom(3).masks)
    assert not torch.equal(other_noise.image, phantom(3).image)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 11])
def test_parameters_read_from_json_replay_the_phantom(seed: int) -> None:
    made = phantom(seed)
    read = PhantomParameters.from_json(made.parameters.to_json())
    assert read == made.parameters
    assert json.loads(made.parameters.to_json()) == asdict(made.parameters)
    assert same(render(read), made)


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"seed": 1}', '{"seed": 1, "colour": 2}'])
def test_json_that_holds_no_parameters_is_refused_with_the_line(line: str) -> None:
    with pytest.raises(InputError, match=r"written by PhantomParameters\.to_json"):
        PhantomParameters.from_json(line)


def test_what_is_given_leaves_the_other_draws_as_they_are() -> None:
    drawn = sample_parameters(21)
    assert sample_parameters(21, outline_gap_mm=0.5) == replace(drawn, outline_gap_mm=0.5)
    assert sample_parameters(21, **SMALL) == replace(drawn, **SMALL)
    assert sample_parameters(21, finger=drawn.finger, side=drawn.side) == drawn


def test_numpy_seeds_give_the_phantoms_of_plain_ones() -> None:
    parameters = sample_parameters(np.int64(8))  # type: ignore[arg-type]
    assert parameters == sample_parameters(8)
    assert json.loads(parameters.to_json())["seed"] == 8


def test_every_finger_and_side_is_drawn_and_the_widths_fill_their_range() -> None:
    drawn = [sample_parameters(seed) for seed in range(200)]
    assert {(p.finger, p.side) for p in drawn} == {(f, s) for f in FINGERS for s in ("left", "right")}
    widths = np.array([p.outline_gap_mm for p in drawn])
    assert np.histogram(widths, bins=5, range=GAP_RANGE)[0].min() >= 20


def test_fingers_differ_in_size_density_and_what_lies_beside_them() -> None:
    drawn = {finger: [sample_parameters(seed, finger=finger) for seed in range(40)] for finger in FINGERS}
    width = {finger: np.mean([p.upper.width for p in drawn[finger]]) for finger in FINGERS}
    density = {finger: np.mean([p.lower.head for p in drawn[finger]]) for finger in FINGERS}
    sesamoids = {finger: np.mean([p.soft.sesamoid > 0 for p in drawn[finger]]) for finger in FINGERS}
    assert width["small"] < width["ring"] < width["thumb"] < width["middle"]
    assert density["small"] < density["middle"] < density["thumb"]
    assert sesamoids["thumb"] > 0.7 > sesamoids["index"]
    assert sesamoids["middle"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed must be a non-negative integer"),
        ({"seed": 1.5}, "seed must be a non-negative integer"),
        ({"outline_gap_mm": 2.6}, r"outline_gap_mm must be -1\.0 to 2\.5 mm, got 2\.6"),
        ({"outline_gap_mm": float("nan")}, "outline_gap_mm must be"),
        ({"outline_gap_mm": "wide"}, "outline_gap_mm must be"),
        ({"size": 16, "spacing": 21 / 16}, "size must be at least 32"),
        ({"size": 128.0, "spacing": 21 / 128}, "size must be at least 32"),
        ({"size": 64, "spacing": 21 / 256}, r"size \* spacing must be 16\.0 to 26\.0 mm \(for example spacing=21/64\)"),
        ({"spacing": 0.0}, r"size \* spacing"),
        ({"spacing": "fine"}, r"size \* spacing"),
        ({"finger": "toe"}, "finger must be one of small, ring"),
        ({"side": "up"}, "side must be one of left, right"),
    ],
)
def test_arguments_out_of_range_are_named_with_what_was_expected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_parameters(**{"seed": 0, **options})
