"""Methods that measure narrowing: what they say of a pair, and how they are named."""

from __future__ import annotations

import math

import pytest
import torch

from bundle.errors import InputError
from bundle.motion import SPACING
from bundle.narrowing import METHODS, NetworkRegistration, make_registration, read_pair
from bundle.networks.registrars import Registrar
from bundle.phantom import draw_parameters, render
from bundle.phase_correlation import PhaseCorrelation
from bundle.registration import BoneRegistration

WIDTHS = (1.4, 1.05)
FIXED, MOVING = (
    torch.cat([phantom.image, (phantom.masks > 0.5).float()])
    for phantom in (render(draw_parameters(5, jsw_mm=width)) for width in WIDTHS)
)


def untrained() -> Registrar:
    torch.manual_seed(0)
    return Registrar("ResNet10", {"widen_factor": 0.125}, rounds=1)


@pytest.mark.parametrize("method", ["phase_correlation", "gauss_newton"])
def test_a_narrower_phantom_has_a_positive_narrowing_and_the_reverse_a_negative_one(method: str) -> None:
    registration = make_registration(method)
    there, back = (read_pair(registration, *pair, SPACING) for pair in ((FIXED, MOVING), (MOVING, FIXED)))
    assert there.jsn_mm == pytest.approx(WIDTHS[0] - WIDTHS[1], abs=0.05)
    assert back.jsn_mm == pytest.approx(WIDTHS[1] - WIDTHS[0], abs=0.05)
    assert 0.0 < there.mse < 0.01


def test_the_masks_of_the_moving_radiograph_are_not_looked_at() -> None:
    for method in METHODS:
        registration = make_registration(method, untrained())
        blank = torch.cat([MOVING[:1], torch.zeros_like(MOVING[1:])])
        assert (
            read_pair(registration, FIXED, blank, SPACING).jsn_mm
            == read_pair(registration, FIXED, MOVING, SPACING).jsn_mm
        )


def test_a_pair_of_which_a_bone_is_not_found_has_no_narrowing() -> None:
    for method in METHODS:
        found = read_pair(make_registration(method, untrained()), FIXED, torch.full_like(MOVING, torch.nan), SPACING)
        assert not found.found and math.isnan(found.jsn_mm) and math.isnan(found.mse)
        assert bool(found.bones.parameters().isnan().all())


def test_a_network_is_evaluated_in_evaluation_mode_and_left_as_it_was() -> None:
    network = untrained().train()
    registration = NetworkRegistration(network)
    first = read_pair(registration, FIXED, MOVING, SPACING)
    assert network.training and first.jsn_mm == read_pair(registration, FIXED, MOVING, SPACING).jsn_mm == 0.0


def test_refinement_corrects_what_the_network_has_found() -> None:
    registration = make_registration("network", untrained(), refine=True)
    assert read_pair(registration, FIXED, MOVING, SPACING).jsn_mm == pytest.approx(WIDTHS[0] - WIDTHS[1], abs=0.05)


def test_methods_have_names_and_options() -> None:
    assert make_registration("phase_correlation", options={"rounds": 1}) == PhaseCorrelation(rounds=1)
    assert make_registration("gauss_newton", options={"reach": 1.0}) == BoneRegistration(reach=1.0)
    with pytest.raises(InputError, match="expected the method network, phase_correlation, gauss_newton"):
        make_registration("guess")
    with pytest.raises(InputError, match="expected options of the method phase_correlation"):
        make_registration("phase_correlation", options={"magic": 1})
