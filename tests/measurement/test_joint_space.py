"""Joint space of phantoms with known surfaces, its refusals, contact, and grades."""

from __future__ import annotations

import math
from functools import lru_cache

import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.joint_space import (
    LARGEST_DOUBT,
    NO_AXIS,
    JointSpace,
    closing_motion,
    measure_joint_space,
    narrowing_grade,
)
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.phantoms.surfaces import true_joint_space, with_joint_space
from bundle.physics.motion import RigidMotion, move
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

NORMAL = MCP.normal_joint_space_mm
SPACING = MCP.spacing_mm


@lru_cache
def phantom(seed: int, width: float) -> Phantom:
    return render(with_joint_space(sample_parameters(seed), width))


def measured(made: Phantom, masks: Tensor | None = None) -> JointSpace:
    return measure_joint_space(made.layers[None], (made.masks if masks is None else masks)[None] > 0.5, SPACING)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "width"), [(0, 0.4), (1, 1.1), (2, 1.75), (5, 2.6)])
def test_the_distance_of_the_surfaces_of_phantoms_is_the_true_one(seed: int, width: float) -> None:
    found = measured(phantom(seed, width))
    assert found.refused == ("",)
    assert float(found.mean) == pytest.approx(width, abs=0.06)
    assert float(found.minimum) <= float(found.mean)
    assert 0.0 < float(found.sd) < 0.2
    assert true_joint_space(phantom(seed, width).parameters) == pytest.approx(width, abs=0.01)


@pytest.mark.parametrize("change", [-0.6, 0.05, 0.9])
def test_moving_the_bones_changes_the_width_by_the_motion(change: float) -> None:
    made = phantom(2, 1.75)
    masks = (made.masks > 0.5).float()[None]
    angle = math.radians(float(measured(made).axis))
    layers, moved = move(made.layers[None], masks, RigidMotion.widening(torch.tensor([change])), SPACING)
    difference = measure_joint_space(layers, moved, SPACING).mean - measured(made).mean
    assert float(difference) == pytest.approx(change * math.cos(angle), abs=0.02)


@pytest.mark.slow
def test_errors_of_the_masks_hardly_change_the_width() -> None:
    made = phantom(1, 1.1)
    masks = (made.masks > 0.5).float()
    for rows, columns in ((4, 0), (-6, 0), (0, 3)):
        moved = masks[:, (torch.arange(256) - rows).clamp(0, 255)][:, :, (torch.arange(256) - columns).clamp(0, 255)]
        assert float(measured(made, moved).mean) == pytest.approx(float(measured(made).mean), abs=0.06)


@pytest.mark.slow
def test_surfaces_brought_into_contact_have_no_distance() -> None:
    made = phantom(2, 1.2)
    found = measured(made)
    layers, masks = move(made.layers[None], (made.masks > 0.5).float()[None], closing_motion(found), SPACING)
    left = measure_joint_space(layers, masks, SPACING)
    assert float((left.surfaces.profile * left.surfaces.window).sum() / left.surfaces.window.sum()) == pytest.approx(
        0.0, abs=0.05
    )


def test_a_joint_is_measured_alike_in_a_batch() -> None:
    made = [phantom(0, 0.4), phantom(5, 2.6)]
    layers, masks = (torch.stack([getattr(one, name) for one in made]) for name in ("layers", "masks"))
    together = measure_joint_space(layers, (masks > 0.5).float(), torch.tensor([SPACING, SPACING]))
    alone = [float(measured(one).mean) for one in made]
    assert together.mean.tolist() == pytest.approx(alone, abs=1e-4)


def test_a_joint_space_that_cannot_be_measured_is_refused_with_the_reason_and_leaves_the_others_alone() -> None:
    made = phantom(2, 1.75)
    layers, masks = made.layers.repeat(4, 1, 1, 1), (made.masks > 0.5).float().repeat(4, 1, 1, 1)
    masks[1, 1] = 0.0
    layers[2] = torch.rand(layers[2].shape, generator=torch.Generator().manual_seed(0)) * 0.3
    layers[3], masks[3] = (torch.roll(values, 100, dims=1) for values in (layers[3], masks[3]))
    found = measure_joint_space(layers, masks, SPACING)
    assert found.refused[0] == "" and found.refused[1] == NO_AXIS and found.refused[2] and found.refused[3]
    for values in (found.mean, found.minimum, found.sd):
        assert values.isnan().tolist() == [False, True, True, True]
    assert float(found.mean[0]) == pytest.approx(float(measured(made).mean), abs=1e-4)
    assert float(found.doubt[2]) > LARGEST_DOUBT > float(found.doubt[0])


def test_a_floor_beyond_the_frame_is_refused() -> None:
    made = phantom(2, 1.75)
    layers, masks = made.layers[:, 122:], (made.masks > 0.5).float()[:, 122:]
    assert measure_joint_space(layers[None], masks[None], SPACING).refused[0]


# ---- grades --------------------------------------------------------------------------------------------------------


def test_grades_are_the_quarters_of_the_normal_width() -> None:
    widths = torch.tensor([-1.0, 0.0, 0.2499, 0.25, 0.4999, 0.5, 0.7499, 0.75, 0.9999, 1.0, 2.0]) * 2.0
    assert narrowing_grade(widths, normal=2.0).tolist() == [4, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0]
    assert narrowing_grade(torch.tensor([[NORMAL, 0.5], [-0.2, 1.0]]).T).tolist() == [[0, 4], [3, 2]]


@given(widths=st.lists(st.floats(-3.0, 5.0), min_size=2, max_size=20), normal=st.floats(0.5, 3.0))
def test_a_narrower_joint_never_has_a_lower_grade(widths: list[float], normal: float) -> None:
    grades = narrowing_grade(torch.tensor(sorted(widths)), normal)
    assert bool((grades.diff() <= 0).all())
    assert set(grades.tolist()) <= {0, 1, 2, 3, 4}


def test_a_joint_without_a_width_has_no_grade() -> None:
    assert narrowing_grade(torch.tensor([math.nan, 2.0])).tolist() == [-1, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
def test_gpu_and_cpu_agree_on_grades() -> None:
    widths = torch.linspace(-1.0, 3.0, 50)
    assert torch.equal(narrowing_grade(widths.cuda()).cpu(), narrowing_grade(widths))
