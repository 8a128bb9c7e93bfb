"""True joint surfaces of phantoms: where the depths are zero, and moved with the bones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bundle.errors import InputError
from bundle.phantoms.parameters import PhantomParameters
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.phantoms.surfaces import true_axis, true_joint_space, true_surfaces, with_joint_space


def test_the_head_is_the_outline_of_the_lower_mask() -> None:
    made = render(sample_parameters(3, outline_gap_mm=0.5))
    truth = true_surfaces(made.parameters, axis=0.0)
    columns = np.rint(truth.x / made.parameters.spacing + 127.5).astype(int)
    rows = (made.masks[0].numpy() > 0.5).argmax(axis=0)[columns]
    np.testing.assert_allclose(truth.head, (rows - 128) * made.parameters.spacing, atol=0.12)


@pytest.mark.slow
def test_the_floor_lies_above_the_rim_by_a_millimetre_or_more() -> None:
    for seed in range(4):
        parameters = sample_parameters(seed, outline_gap_mm=1.0)
        assert 1.5 < true_joint_space(parameters) < 3.5


@pytest.mark.slow
def test_the_width_follows_the_gap_of_the_outlines() -> None:
    parameters = sample_parameters(6, outline_gap_mm=0.2)
    wider = replace(parameters, outline_gap_mm=1.0)
    cosine = np.cos(np.radians(true_axis(parameters)))
    assert true_joint_space(wider) - true_joint_space(parameters) == pytest.approx(0.8 * cosine, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.5, 1.75, 2.8])
def test_a_phantom_with_a_width_has_it(width: float) -> None:
    assert true_joint_space(with_joint_space(sample_parameters(8), width)) == pytest.approx(width, abs=0.01)


def test_a_width_that_no_gap_gives_is_refused() -> None:
    with pytest.raises(InputError, match="outline_gap_mm must be"):
        with_joint_space(sample_parameters(8), 9.0)


@pytest.mark.slow
def test_a_left_joint_is_the_mirror_image_of_the_right_one() -> None:
    right = sample_parameters(5, side="right")
    left = replace(right, side="left")
    assert true_axis(left) == pytest.approx(-true_axis(right), abs=0.01)
    assert true_joint_space(left) == pytest.approx(true_joint_space(right), abs=0.01)


def test_floors_are_no_parabolas_and_their_parameters_change_no_others() -> None:
    sampled = [sample_parameters(seed) for seed in range(40)]
    powers = np.array([one.upper.floor_power for one in sampled])
    assert powers.std() > 0.1
    assert any(one.upper.double > 0 for one in sampled) and any(one.lower.erosion > 0 for one in sampled)


def test_an_erosion_widens_the_joint_space() -> None:
    parameters = sample_parameters(2, outline_gap_mm=1.0)
    whole = replace(parameters, lower=replace(parameters.lower, erosion=0.0))
    eroded = replace(parameters, lower=replace(parameters.lower, erosion=0.6, erosion_u=0.0))
    apart = true_surfaces(eroded, axis=0.0).head - true_surfaces(whole, axis=0.0).head
    assert apart.max() > 0.2


def test_a_phantom_of_another_version_of_the_generator_is_refused() -> None:
    line = sample_parameters(1).to_json().replace('"version": 2', '"version": 1')
    with pytest.raises(InputError, match="version 1"):
        PhantomParameters.from_json(line)
