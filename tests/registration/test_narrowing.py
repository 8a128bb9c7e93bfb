"""Methods that measure narrowing: what they say of a pair, and how they are named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.registration.alignment import bone_centers, narrowing
from bundle.registration.gauss_newton import BoneRegistration
from bundle.registration.narrowing import METHODS, NetworkRegistration, make_registration, read_pair
from bundle.registration.network import Registrar
from bundle.registration.phase_correlation import PhaseCorrelation
from bundle.registration.trained import TrainedRegistration

SPACING = MCP.spacing_mm

WIDTHS = (1.4, 1.05)
FIXED, MOVING = (
    torch.cat([phantom.image, (phantom.masks > 0.5).float()])
    for phantom in (render(sample_parameters(5, outline_gap_mm=width)) for width in WIDTHS)
)


def untrained() -> Registrar:
    torch.manual_seed(0)
    return Registrar("ResNet10", {"widen_factor": 0.125}, rounds=1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["phase_correlation", "gauss_newton"])
def test_a_narrower_phantom_has_a_positive_narrowing_and_the_reverse_a_negative_one(method: str) -> None:
    registration = make_registration(method)
    there, back = (read_pair(registration, *pair, SPACING) for pair in ((FIXED, MOVING), (MOVING, FIXED)))
    assert there.jsn_mm == pytest.approx(WIDTHS[0] - WIDTHS[1], abs=0.05)
    assert back.jsn_mm == pytest.approx(WIDTHS[1] - WIDTHS[0], abs=0.05)
    assert 0.0 < there.mse < 0.01


@pytest.mark.slow
def test_the_rivals_do_not_look_at_the_masks_of_the_moving_radiograph() -> None:
    for method in METHODS[1:]:
        registration = make_registration(method)
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


def biased() -> Registrar:
    """A network that finds a motion in any pair."""
    network = untrained()
    for parameter in network.network.get_submodule("fc").parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network


@pytest.mark.parametrize("masks", [True, False])
def test_a_radiograph_has_not_narrowed_against_itself_whatever_the_network_finds(masks: bool) -> None:
    network = biased()
    registration = NetworkRegistration(network, least_correlation=-1.0)
    given = (FIXED[None, :1], FIXED[None, 1:], FIXED[None, :1], torch.tensor([SPACING]))
    with torch.no_grad():
        raw = network.eval()(*given, bone_centers(FIXED[1:], SPACING)[None])[-1]
    assert abs(float(narrowing(raw))) > 0.01
    found = read_pair(registration, FIXED, FIXED if masks else FIXED[:1], SPACING)
    assert found.found and found.jsn_mm == pytest.approx(0.0, abs=1e-4 if not masks else 1e-6)


def test_the_exchanged_pair_has_the_opposite_narrowing() -> None:
    registration = NetworkRegistration(biased(), least_correlation=-1.0)
    there, back = (read_pair(registration, *pair, SPACING) for pair in ((FIXED, MOVING), (MOVING, FIXED)))
    assert abs(there.jsn_mm) > 1e-4
    assert back.jsn_mm == pytest.approx(-there.jsn_mm, abs=1e-6)


@pytest.mark.slow
def test_a_reading_says_its_method_and_whether_it_was_refined() -> None:
    for method in METHODS:
        found = read_pair(make_registration(method, untrained()), FIXED, MOVING, SPACING)
        assert (found.method, found.refined) == (method, False)
    assert read_pair(make_registration("network", untrained(), refine=True), FIXED, MOVING, SPACING).refined
    failing = NetworkRegistration(untrained(), BoneRegistration(least_correlation=1.1))
    found = read_pair(failing, FIXED, MOVING, SPACING)
    assert found.found and not found.refined and found.jsn_mm == pytest.approx(0.0, abs=1e-9)


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
    assert make_registration("gauss_newton", options={"reach_mm": 1.0}) == BoneRegistration(reach_mm=1.0)
    with pytest.raises(InputError, match="Choose one of network, phase_correlation, gauss_newton"):
        make_registration("guess")
    with pytest.raises(InputError, match="the method phase_correlation cannot take the options"):
        make_registration("phase_correlation", options={"magic": 1})


def test_a_trained_registration_loads_its_weights_on_first_use_and_is_that_of_its_network(tmp_path: Path) -> None:
    network, path = biased(), tmp_path / "registrar.pt"
    torch.save(network.state_dict(), path)
    pair = (FIXED[:1], FIXED[1:], MOVING[:1], SPACING)
    trained = TrainedRegistration(untrained(), path)
    assert trained(*pair) == NetworkRegistration(network)(*pair)
    with pytest.raises(InputError, match="network that registers joints"):
        TrainedRegistration(untrained(), tmp_path / "absent.pt")(*pair)
