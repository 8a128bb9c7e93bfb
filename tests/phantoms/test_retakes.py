"""Re-takes of a phantom: the same joint in another pose, with noise of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.joint import MCP
from bundle.phantoms.anatomy import place
from bundle.phantoms.parameters import PhantomParameters
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import BASE_DEPTH, LEAST_COVERED, MARGIN, reframed, retake, sample_parameters, tilted
from bundle.phantoms.surfaces import true_joint_space, true_surfaces
from hypothesis import given
from hypothesis import strategies as st
from tests.phantoms.rendered import measured, phantom


@given(seed=st.integers(0, 2**64 - 1))
def test_the_first_take_has_the_noise_of_phantoms_without_re_takes(seed: int) -> None:
    """A stream of noise that is seeded by a trailing 0 is the stream without it."""
    assert np.random.default_rng([seed, 2, 0]).random() == np.random.default_rng([seed, 2]).random()
    assert sample_parameters(seed).retake == 0


def test_json_written_before_there_were_re_takes_is_read() -> None:
    values = json.loads(phantom(3).parameters.to_json())
    del values["retake"]
    assert PhantomParameters.from_json(json.dumps(values)) == phantom(3).parameters


@given(seed=st.integers(0, 10_000), number=st.integers(1, 50), shift=st.floats(0.0, 1.0), turn=st.floats(0.0, 5.0))
def test_a_re_take_shows_the_same_joint_in_a_slightly_other_pose(
    seed: int, number: int, shift: float, turn: float
) -> None:
    first = sample_parameters(seed)
    again = retake(first, number, shift_mm=shift, rotation_deg=turn)
    assert replace(again, posture=first.posture, outline_gap_mm=first.outline_gap_mm, retake=0) == first
    assert again.retake == number
    assert centre(again) == pytest.approx(centre(first), abs=shift + 1e-9)
    assert abs(again.posture.tilt - first.posture.tilt) <= turn + 1e-9
    assert again.posture.bend == first.posture.bend
    assert retake(first, number, shift_mm=shift, rotation_deg=turn) == again


def centre(parameters: PhantomParameters) -> list[float]:
    """Middle between the origins of the bones."""
    upper, lower = place(parameters)
    return [(upper.x + lower.x) / 2, (upper.y + lower.y) / 2]


def test_re_takes_differ_and_the_first_take_is_the_phantom() -> None:
    first = sample_parameters(5)
    assert retake(first, 0) == first
    assert len({retake(first, number).posture for number in range(20)}) == 20
    assert PhantomParameters.from_json(retake(first, 3).to_json()) == retake(first, 3)


def test_a_re_take_in_the_same_pose_differs_by_its_noise_alone() -> None:
    first = phantom(3, 1.0)
    again = render(retake(first.parameters, 1, shift_mm=0.0, rotation_deg=0.0))
    assert torch.equal(again.masks, first.masks)
    difference = again.image - first.image
    assert 0.002 < float(difference.std()) < 0.02
    assert abs(float(difference.mean())) < 5e-4


def test_even_re_takes_have_half_the_dose_and_more_noise() -> None:
    first = phantom(3, 1.0)
    takes = [retake(first.parameters, number, shift_mm=0.0, rotation_deg=0.0, dose=0.5) for number in (1, 2, 3, 4)]
    assert [take.detector.photons / first.parameters.detector.photons for take in takes] == [1.0, 0.5, 1.0, 0.5]
    whole, half = (float((render(take).image - first.image).square().mean()) for take in takes[:2])
    assert 1.2 < half / whole < 1.8  # the noise of both radiographs: 1 + 2 against 1 + 1 where photons alone matter


@given(seed=st.integers(0, 10_000), degrees=st.floats(-8.0, 8.0))
def test_a_tilt_moves_the_rim_against_the_joint_surfaces(seed: int, degrees: float) -> None:
    first = sample_parameters(seed)
    again = tilted(first, degrees)
    shift = again.upper.rim_shift
    assert abs(shift) <= BASE_DEPTH / 2 * np.sin(np.radians(8.0)) + MARGIN
    assert first.upper.floor + shift >= LEAST_COVERED - 1e-9 or shift >= 0.0
    assert again.outline_gap_mm - first.outline_gap_mm == pytest.approx(-shift, abs=0.02)
    assert true_joint_space(again) == pytest.approx(true_joint_space(first), abs=0.005)
    assert replace(again, upper=first.upper, outline_gap_mm=first.outline_gap_mm) == first


@pytest.mark.parametrize("degrees", [4.0, -4.0])
def test_the_rim_moves_by_the_sine_of_the_tilt(degrees: float) -> None:
    first = sample_parameters(12, outline_gap_mm=0.7)
    again = tilted(first, degrees)
    assert again.upper.rim_shift == pytest.approx(BASE_DEPTH / 2 * np.sin(np.radians(degrees)))
    assert place(again)[0].y == pytest.approx(place(first)[0].y, abs=0.005)
    before, after = (true_surfaces(one, 0.0, np.linspace(-1.0, 1.0, 5)) for one in (first, again))
    assert after.floor == pytest.approx(before.floor, abs=0.005)


def test_a_tilted_phantom_at_the_end_of_the_range_stays_in_it() -> None:
    low, high = MCP.outline_gap_mm
    for gap in (low, low + 0.2, high - 0.2, high):
        for degrees in (-15.0, 15.0):
            assert low <= tilted(sample_parameters(1, outline_gap_mm=gap), degrees).outline_gap_mm <= high


@pytest.mark.parametrize("turn", [0.0, 20.0, -20.0])
def test_bones_move_as_one_body(turn: float) -> None:
    first = sample_parameters(12, outline_gap_mm=0.7, side="right")
    moved = reframed(first, 1.5, -0.5, turn)
    assert centre(moved) == pytest.approx([centre(first)[0] + 1.5, centre(first)[1] - 0.5], abs=1e-6)
    profiles = []
    for parameters, axis in ((first, 3.0), (moved, 3.0 + turn)):
        angle, (x, y) = np.radians(axis), centre(parameters)
        across = np.cos(angle) * x + np.sin(angle) * y + np.linspace(-2.0, 2.0, 9)
        shown = true_surfaces(parameters, axis, across)
        profiles.append(shown.head - shown.floor)
    assert profiles[1] == pytest.approx(profiles[0], abs=0.002)


@pytest.mark.slow
def test_a_re_take_has_the_same_joint_space() -> None:
    first = sample_parameters(12, outline_gap_mm=0.7)
    for number in range(3):
        again = retake(first, number)
        assert true_joint_space(again) == pytest.approx(true_joint_space(first), abs=0.002)
        assert measured(render(again)) == pytest.approx(again.outline_gap_mm, abs=0.015)


def test_the_gap_of_a_rotated_joint_stays_in_the_range_of_its_type() -> None:
    low, high = MCP.outline_gap_mm
    moved = [
        reframed(sample_parameters(1, outline_gap_mm=gap), 0.0, 0.0, turn) for gap in (low, high) for turn in (-9, 9)
    ]
    assert all(low <= one.outline_gap_mm <= high for one in moved)


@pytest.mark.parametrize(
    "options",
    [
        {"number": -1},
        {"number": 1, "shift_mm": -0.1},
        {"number": 1, "rotation_deg": -1.0},
        {"number": 1, "tilt_deg": -1.0},
        {"number": 1, "dose": 0.0},
    ],
)
def test_a_re_take_out_of_its_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=r"^phantom: (shift, rotation and tilt of a re-take|dose of a re-take|retake) must be"
    ):
        retake(sample_parameters(0), **options)
