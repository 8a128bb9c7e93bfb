"""Phase-only correlation on phantoms with known motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.alignment import Alignment, bone_centers, of_shifts, warp
from bundle.motion import SPACING
from bundle.phantom import draw_parameters, render
from bundle.phase_correlation import PhaseCorrelation
from bundle.registration import BoneShift

PHANTOM = render(draw_parameters(5, jsw_mm=1.4))
MASKS = (PHANTOM.masks > 0.5).float()


def moved(frame: Alignment) -> torch.Tensor:
    return warp(PHANTOM.image[None], frame.inverse(), SPACING, "bicubic")[0]


def frame(scale: float, degrees: float, x: float, y: float) -> Alignment:
    return Alignment.from_parameters(torch.tensor([[scale, degrees, x, y]]), torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("degrees", "x", "y"), [(0.0, 0.0, 0.0), (0.0, 0.37, -0.52), (2.0, 0.3, 0.4), (-3.0, -0.4, 0.1)]
)
def test_the_motion_of_a_whole_frame_is_found_of_both_bones(degrees: float, x: float, y: float) -> None:
    given = frame(1.0, degrees, x, y)
    found = PhaseCorrelation()(PHANTOM.image, MASKS, moved(given), SPACING)
    assert all(shift.found for shift in found)
    true = given.of_both().about(bone_centers(MASKS, SPACING)[None]).parameters()[0]
    for shift, expected in zip(found, true.tolist(), strict=True):
        assert shift.rotation == pytest.approx(expected[1], abs=0.6)
        assert [shift.x, shift.y] == pytest.approx(expected[2:], abs=0.04)


def test_the_motion_of_one_bone_is_found() -> None:
    narrower = render(draw_parameters(5, jsw_mm=1.1)).image
    found = PhaseCorrelation()(PHANTOM.image, MASKS, narrower, SPACING)
    bones = of_shifts(found, bone_centers(MASKS, SPACING))
    closer = bones.translation[0, 1, 1] - bones.translation[0, 0, 1]
    assert float(closer) == pytest.approx(0.3, abs=0.05)


def test_scale_is_found_where_it_is_asked_for() -> None:
    given = frame(1.04, 0.0, 0.1, 0.1)
    found = PhaseCorrelation(scales=True)(PHANTOM.image, MASKS, moved(given), SPACING)
    assert np.mean([shift.scale for shift in found]) == pytest.approx(1.04, abs=0.02)
    assert all(shift.scale == 1.0 for shift in PhaseCorrelation()(PHANTOM.image, MASKS, moved(given), SPACING))


def test_what_is_not_there_is_not_found() -> None:
    noise = torch.rand(PHANTOM.image.shape, generator=torch.Generator().manual_seed(0))
    for after in (noise, torch.full_like(noise, torch.nan)):
        assert not any(shift.found for shift in PhaseCorrelation()(PHANTOM.image, MASKS, after, SPACING))
    assert PhaseCorrelation()(PHANTOM.image, torch.zeros_like(MASKS), PHANTOM.image, SPACING) == (BoneShift(),) * 2
