"""JSW against its definition column by column, known shifts of a fraction of a pixel, known turns, and phantoms."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.joint_space import (
    LARGEST_TURN,
    JointSpace,
    joint_axis,
    joint_space_by_alignment,
    joint_space_width,
    measure_joint_space,
    narrowing_grade,
    turned,
)
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.masks import continue_to_border, grow
from bundle.physics.motion import RigidMotion, move
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

NORMAL_JSW = MCP.normal_joint_space_mm
SPACING = MCP.spacing_mm


@lru_cache
def phantom(seed: int, jsw_mm: float) -> Phantom:
    return render(sample_parameters(seed, jsw_mm=jsw_mm))


def covered(edge: Tensor, height: int) -> Tensor:
    """Which part of each pixel (H, W) lies above an edge (W,) in pixels from the top."""
    return (edge - torch.arange(height, dtype=edge.dtype)[:, None]).clamp(0.0, 1.0)


def analytic_joint(gap: float, height: int = 128, width: int = 96, bow: float = 9.0) -> Tensor:
    """Masks (1, 2, H, W) by area: bows ``gap`` pixels apart everywhere, that leave the frame at top and bottom."""
    x = torch.linspace(-1.0, 1.0, width, dtype=torch.float64)
    edge = height / 2 + bow * x**2
    lower, upper = 1.0 - covered(edge + gap / 2, height), covered(edge - gap / 2, height)
    beside = x.abs() < 0.8
    return torch.stack([lower * beside, upper * (x.abs() < 0.7)])[None]


def jsw(masks: Tensor, spacing: float = SPACING) -> float:
    return float(joint_space_width(masks, spacing))


def shifted(masks: Tensor, change: float, upper_share: float = 0.5) -> Tensor:
    layers = torch.cat([masks[:, :1], masks], dim=1)
    return move(layers, masks, RigidMotion.widening(torch.tensor([change]), upper_share))[1]


@given(gap=st.floats(-20.0, 30.0), bow=st.floats(0.0, 15.0), spacing=st.floats(0.01, 1.0))
def test_the_width_of_parallel_outlines_is_their_gap(gap: float, bow: float, spacing: float) -> None:
    assert jsw(analytic_joint(gap, bow=bow), spacing) == pytest.approx(gap * spacing, abs=1e-5)


@pytest.mark.slow
@given(change=st.floats(-1.2, 1.2), gap=st.floats(-5.0, 12.0), upper_share=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_shift_of_outlines_changes_the_width_by_the_shift(change: float, gap: float, upper_share: float) -> None:
    masks = analytic_joint(gap)
    assert jsw(shifted(masks, change, upper_share)) - jsw(masks) == pytest.approx(change, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("upper_share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("change", [-0.61, -0.02, 0.01, 0.04, 0.5])
def test_a_shift_of_phantoms_changes_the_width_by_the_shift(change: float, upper_share: float) -> None:
    masks = torch.stack([phantom(seed, width).masks for seed, width in ((0, 1.1), (1, 0.4), (2, 2.2), (3, -0.3))])
    motion = RigidMotion.widening(torch.full((4,), change), upper_share)
    _, moved = move(torch.cat([masks[:, :1], masks], dim=1), masks, motion, SPACING)
    difference = joint_space_width(moved, SPACING) - joint_space_width(masks, SPACING)
    torch.testing.assert_close(difference, torch.full((4,), change), atol=0.02, rtol=0)


@pytest.mark.slow
def test_steps_of_a_tenth_of_a_pixel_are_told_apart() -> None:
    masks = phantom(4, 0.7).masks[None]
    widths = [jsw(shifted(masks, step * SPACING / 10)) for step in range(-10, 11)]
    np.testing.assert_allclose(np.diff(widths), SPACING / 10, atol=0.2 * SPACING / 10)


def naive_jsw(masks: np.ndarray, window: float) -> float:
    """Of the columns that show both bones, the central ones: from the upper bone's last row to the lower's first."""
    lower, upper = masks
    common = [x for x in range(masks.shape[-1]) if lower[:, x].any() and upper[:, x].any()]
    if not common:
        return math.nan
    first, extent = common[0], common[-1] + 1 - common[0]
    margin = extent * (1 - window) / 2
    central = [x for x in common if margin <= x + 0.5 - first <= extent - margin]
    gaps = [np.flatnonzero(lower[:, x])[0] - (np.flatnonzero(upper[:, x])[-1] + 1) for x in central]
    return float(np.mean(gaps)) if gaps else math.nan


@given(
    seed=st.integers(0, 10_000),
    height=st.integers(4, 40),
    width=st.integers(1, 40),
    window=st.sampled_from([1.0, 0.5, 0.21]),
)
def test_binary_masks_have_the_width_of_the_definition(seed: int, height: int, width: int, window: float) -> None:
    random = np.random.default_rng(seed)
    rows = np.arange(height)[:, None]
    masks = np.zeros((3, 2, height, width))
    for sample in range(3):
        ends = np.sort(random.integers(0, height + 1, size=(2, 2, width)), axis=1)
        shown = random.random((2, 1, width)) < random.choice([0.1, 0.9])
        masks[sample] = (rows >= ends[:, :1]) & (rows < ends[:, 1:]) & shown
    expected = [naive_jsw(one, window) for one in masks]
    result = joint_space_width(torch.from_numpy(masks).float(), 1.0, window)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-4)


def test_overlap_is_negative_and_a_gap_positive() -> None:
    assert jsw(phantom(0, -0.8).masks[None]) == pytest.approx(-0.8, abs=0.02)
    assert jsw(phantom(0, 1.9).masks[None]) == pytest.approx(1.9, abs=0.02)


def test_bones_without_a_common_column_have_no_width() -> None:
    masks = analytic_joint(6.0).repeat(3, 1, 1, 1)
    masks[0, 0, :, :50] = 0.0
    masks[0, 1, :, 45:] = 0.0
    masks[1, 1] = 0.0
    widths = joint_space_width(masks, 1.0)
    assert widths.isnan().tolist() == [True, True, False]
    assert float(widths[2]) == pytest.approx(6.0, abs=1e-6)


def test_only_the_central_third_of_the_common_columns_counts() -> None:
    masks = analytic_joint(6.0)
    common = (masks.amax(dim=-2) > 0.5).all(dim=1)[0].nonzero().flatten()
    third = len(common) // 3
    for columns, counts in ((common[: third - 1], False), (common[-third + 1 :], False), (common[third + 1], True)):
        nearer = masks.clone()
        nearer[:, 1, :64, columns] = 1.0
        assert (jsw(nearer) < jsw(masks) - 1e-3) == counts


def test_a_hole_in_the_far_half_of_a_bone_and_faint_columns_beside_it_do_not_count() -> None:
    masks = analytic_joint(6.0)
    holed = masks.clone()
    holed[:, 0, 108:112, 40:60] = 0.0
    holed[:, 1, 10:14, 40:60] = 0.0
    assert jsw(holed) == pytest.approx(jsw(masks), abs=1e-9)
    common = (masks.amax(dim=-2) > 0.5).all(dim=1)[0].nonzero().flatten()
    faint = masks.clone()
    faint[:, 1, :64, int(common[0]) - 1] = 0.4
    faint[:, 1, :64, int(common[-1]) + 1] = 0.4
    everywhere = (joint_space_width(one, SPACING, window=1.0) for one in (masks, faint))
    assert float(next(everywhere)) == pytest.approx(float(next(everywhere)), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_width_is_the_same_in_a_mirror_and_upside_down(seed: int) -> None:
    masks = phantom(seed, 0.6).masks[None]
    assert jsw(masks.flip(-1)) == pytest.approx(jsw(masks), abs=1e-5)
    assert jsw(masks.flip(-2).flip(1)) == pytest.approx(jsw(masks), abs=1e-5)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_every_sample_is_measured_with_its_own_spacing(shape: tuple[int, ...]) -> None:
    masks = torch.cat([analytic_joint(6.0), analytic_joint(-3.5)])
    spacing = torch.tensor([0.1, 0.2])
    together = joint_space_width(masks, spacing.reshape(shape))
    assert tuple(together.shape) == (2,)
    alone = [jsw(one[None], float(pixel)) for one, pixel in zip(masks, spacing, strict=True)]
    assert together.tolist() == pytest.approx(alone, abs=1e-6)
    assert together.tolist() == pytest.approx([0.6, -0.7], abs=1e-5)


# ---- along the joint's axis ----------------------------------------------------------------------------------------


def turned_joint(gap: float, angle: float, bow: float = 12.0, dent: float = 0.0, size: int = 128) -> Tensor:
    """Soft masks (1, 2, H, W) of a joint whose axis is turned: bows ``gap`` pixels apart, less by a ``dent`` at u = 0.

    The bones are 1.4 half frames wide and go on beyond the frame.
    """
    x, y = np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 2)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    u, v = cosine * x + sine * y, cosine * y - sine * x
    middle = bow * ((u / (size / 2)) ** 2 - 0.15)
    narrower = dent * np.exp(-((u / 8.0) ** 2)) - gap
    depths = np.stack([v - middle + narrower / 2, middle + narrower / 2 - v])
    beside = 0.7 * size / 2 - np.abs(u)
    return torch.from_numpy(np.clip(np.minimum(depths, beside) + 0.5, 0.0, 1.0))[None]


def along(masks: Tensor, spacing: float = 1.0) -> tuple[float, float, float]:
    found = measure_joint_space(masks, spacing)
    return float(found.mean), float(found.minimum), float(found.axis)


@given(angle=st.floats(-30.0, 30.0), gap=st.floats(-12.0, 20.0), spacing=st.floats(0.01, 1.0))
def test_a_turned_joint_has_the_gap_along_its_axis(angle: float, gap: float, spacing: float) -> None:
    mean, minimum, axis = along(turned_joint(gap, angle), spacing)
    assert mean == pytest.approx(gap * spacing, abs=0.05 * spacing)
    assert minimum == pytest.approx(gap * spacing, abs=0.3 * spacing)
    assert axis == pytest.approx(angle, abs=0.5)


@pytest.mark.slow
def test_outlines_of_whole_pixels_are_measured_to_a_fraction_of_one() -> None:
    random = np.random.default_rng(0)
    truth = random.uniform([-20.0, -10.0], [20.0, 15.0], size=(40, 2))
    errors = np.array(
        [
            np.subtract(along((turned_joint(gap, angle, size=256) > 0.5).double()), (gap, gap, angle))
            for angle, gap in truth
        ]
    )
    assert np.abs(errors).mean(axis=0)[[0, 2]] == pytest.approx([0.0, 0.0], abs=0.1)
    assert np.abs(errors).max(axis=0) == pytest.approx([0.0, 0.0, 0.0], abs=1.0)


@pytest.mark.parametrize("angle", [-12.0, 0.0, 7.0])
def test_the_minimum_is_where_the_bones_are_nearest(angle: float) -> None:
    mean, minimum, _ = along(turned_joint(10.0, angle, dent=4.0))
    assert minimum == pytest.approx(6.0, abs=0.6)
    assert minimum + 1.0 < mean < 9.5


def test_along_the_vertical_it_is_the_vertical_width() -> None:
    masks = torch.stack([phantom(seed, width).masks for seed, width in ((0, 1.1), (1, 0.4), (3, -0.3))])
    found = measure_joint_space(masks, SPACING, axis=torch.zeros(3))
    torch.testing.assert_close(found.mean, joint_space_width(masks, SPACING), atol=1e-4, rtol=0)
    assert found.axis.tolist() == [0.0, 0.0, 0.0]


def naive_turned(mask: np.ndarray, angle: float, place: tuple[int, int]) -> float:
    """One pixel (row, column) of a turned map, by bilinear interpolation straight from its definition."""
    height, width = mask.shape
    x, y = place[1] - (width - 1) / 2, place[0] - (height - 1) / 2
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    column = cosine * x - sine * y + (width - 1) / 2
    row = min(max(sine * x + cosine * y + (height - 1) / 2, 0.0), height - 1.0)
    total = 0.0
    for r in (math.floor(row), math.floor(row) + 1):
        for c in (math.floor(column), math.floor(column) + 1):
            weight = max(0.0, 1.0 - abs(row - r)) * max(0.0, 1.0 - abs(column - c))
            total += weight * (mask[r, c] if r < height and 0 <= c < width else 0.0)
    return total


@given(angle=st.floats(-40.0, 40.0), row=st.integers(0, 8), column=st.integers(0, 11), seed=st.integers(0, 100))
def test_a_turned_view_is_sampled_by_its_definition(angle: float, row: int, column: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((9, 12))
    view = turned(torch.from_numpy(values)[None, None], torch.tensor([angle], dtype=torch.float64))
    assert float(view[0, 0, row, column]) == pytest.approx(naive_turned(values, angle, (row, column)), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["soft", "binary"])
def test_phantoms_are_measured_to_a_twentieth_of_a_millimetre(kind: str) -> None:
    widths = [-0.9, -0.3, 0.1, 0.6, 1.2, 2.0]
    masks = torch.stack([phantom(seed, width).masks for seed, width in enumerate(widths)])
    masks = masks if kind == "soft" else (masks > 0.5).float()
    error = measure_joint_space(masks, SPACING).mean - torch.tensor(widths)
    assert float(error.abs().mean()) <= 0.03
    assert float(error.abs().max()) <= 0.1


def test_a_phantom_that_is_turned_keeps_its_width_and_tells_the_turn() -> None:
    made = phantom(2, 0.8)
    motion = RigidMotion.still(1)
    motion.rotation[:] = 8.0
    both = torch.cat([made.masks[:1], made.masks])[None]
    _, masks = move(both, made.masks[None], motion, SPACING)
    before, after = along(made.masks[None], SPACING), along(masks, SPACING)
    assert after[0] == pytest.approx(before[0], abs=0.02)
    assert after[1] == pytest.approx(before[1], abs=0.04)
    assert after[2] - before[2] == pytest.approx(8.0, abs=1.5)


def test_the_axis_and_the_width_are_those_of_the_mirror_image() -> None:
    masks = turned_joint(6.0, 11.0, dent=2.0)
    here, there = along(masks), along(masks.flip(-1))
    assert there == pytest.approx((here[0], here[1], -here[2]), abs=1e-4)


def test_what_cannot_be_measured_is_not_a_number_and_leaves_the_others_alone() -> None:
    masks = turned_joint(6.0, 5.0).repeat(5, 1, 1, 1)
    masks[0, 1] = 0.0
    masks[1] = 0.0
    masks[2] = masks[2].flip(0)  # the upper bone below the lower one
    masks[3, 0, :, 50:] = 0.0
    masks[3, 1, :, :80] = 0.0
    found = measure_joint_space(masks, 1.0)
    aligned = joint_space_by_alignment(torch.cat([masks[:, :1], 0.5 * masks], dim=1), masks, 1.0)
    for part in (found.mean, found.minimum, found.axis, aligned.mean, aligned.minimum, aligned.axis):
        assert part.isnan().tolist() == [True, True, True, True, False]
    assert float(found.mean[4]) == pytest.approx(6.0, abs=0.05)


def test_bones_that_fill_the_frame_to_its_sides_are_measured() -> None:
    rows = torch.arange(64.0)[:, None].expand(64, 64)
    masks = torch.stack([(rows >= 37).float(), (rows < 30).float()])[None]
    assert along(masks) == pytest.approx((7.0, 7.0, 0.0), abs=1e-3)
    deep = torch.stack([(rows >= 10).float(), (rows < 60).float()])[None]  # overlap deeper than what is left of a bone
    assert along(deep)[0] == pytest.approx(-50.0, abs=1e-3)


def test_an_axis_that_is_far_from_the_vertical_is_none() -> None:
    assert float(joint_axis(turned_joint(6.0, LARGEST_TURN - 15.0))) == pytest.approx(LARGEST_TURN - 15.0, abs=1.0)
    assert math.isnan(float(joint_axis(turned_joint(6.0, LARGEST_TURN + 15.0))))


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_batch_is_measured_sample_by_sample(shape: tuple[int, ...]) -> None:
    masks = torch.cat([turned_joint(6.0, 4.0, dent=1.0), turned_joint(-3.5, -9.0)])
    spacing = torch.tensor([0.1, 0.2], dtype=torch.float64)
    together = measure_joint_space(masks, spacing.reshape(shape))
    alone = [along(one[None], float(pixel)) for one, pixel in zip(masks, spacing, strict=True)]
    assert together.mean.tolist() == pytest.approx([one[0] for one in alone], abs=1e-6)
    assert together.minimum.tolist() == pytest.approx([one[1] for one in alone], abs=1e-6)
    assert together.axis.tolist() == pytest.approx([one[2] for one in alone], abs=1e-6)


# ---- by alignment --------------------------------------------------------------------------------------------------


def aligned(made: Phantom, masks: Tensor | None = None, layers: Tensor | None = None) -> JointSpace:
    masks = (made.masks > 0.5).float() if masks is None else masks
    return joint_space_by_alignment((made.layers if layers is None else layers)[None], masks[None], SPACING)


@pytest.mark.slow
def test_bones_are_moved_by_the_width_until_they_touch() -> None:
    widths = [-0.8, -0.2, 0.3, 1.0, 2.2]
    errors = [float(aligned(phantom(seed, width)).mean) - width for seed, width in enumerate(widths)]
    assert np.abs(errors).mean() <= 0.05
    assert np.abs(errors).max() <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("jsw_mm", [-0.5, 0.9])
def test_outlines_drawn_inside_the_bone_make_joints_wider_but_not_by_alignment(jsw_mm: float) -> None:
    made = phantom(6, jsw_mm)
    whole = (made.masks > 0.5).float()
    inside = continue_to_border(1.0 - grow(1.0 - whole[None], 2)[0])
    drawn = [float(measure_joint_space(masks[None], SPACING).mean) for masks in (whole, inside)]
    moved = [float(aligned(made, masks).mean) for masks in (whole, inside)]
    assert drawn[1] - drawn[0] == pytest.approx(4 * SPACING, abs=0.05)
    assert moved[1] - moved[0] == pytest.approx(0.0, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("change", [-0.7, 0.03, 0.4])
def test_layers_that_are_moved_apart_align_by_so_much_more(change: float) -> None:
    made = phantom(3, 0.5)
    masks = (made.masks > 0.5).float()[None]
    layers, moved = move(made.layers[None], masks, RigidMotion.widening(torch.tensor([change])), SPACING)
    before, after = aligned(made), joint_space_by_alignment(layers, moved, SPACING)
    assert float(after.mean - before.mean) == pytest.approx(change, abs=0.02)
    assert float(after.minimum - before.minimum) == pytest.approx(change, abs=0.03)


def test_bones_that_have_been_aligned_touch() -> None:
    made = phantom(1, 1.3)
    found = aligned(made)
    angle = math.radians(float(found.axis))
    motion = RigidMotion.still(1)
    half = float(found.mean) / 2
    motion.translation[0] = torch.tensor([[1.0], [-1.0]]) * half * torch.tensor([math.sin(angle), -math.cos(angle)])
    layers, masks = move(made.layers[None], (made.masks > 0.5).float()[None], motion, SPACING)
    left = joint_space_by_alignment(layers, masks, SPACING, axis=found.axis)
    assert float(left.mean) == pytest.approx(0.0, abs=0.01)
    assert float(left.minimum) == pytest.approx(float(found.minimum - found.mean), abs=0.02)
    assert float(left.minimum) < 0.0


@pytest.mark.slow
def test_the_first_contact_comes_before_the_surfaces_touch_in_the_mean() -> None:
    for seed in range(4):
        found = aligned(phantom(seed, 0.8))
        assert found.minimum < found.mean


@pytest.mark.slow
@pytest.mark.parametrize("jsw_mm", [0.8, 1.9])
def test_layers_without_weights_align_where_the_bones_are_apart(jsw_mm: float) -> None:
    made = phantom(5, jsw_mm)
    masks = (made.masks > 0.5).float()
    layers = separate(made.image[None], masks[None])[0]
    assert float(aligned(made, layers=layers).mean) == pytest.approx(jsw_mm, abs=0.1)


def test_bones_without_attenuation_have_no_surface() -> None:
    made = phantom(5, 0.8)
    found = aligned(made, layers=torch.cat([made.layers[:1], torch.zeros_like(made.layers[1:])]))
    assert math.isnan(float(found.mean)) and math.isnan(float(found.minimum))


def test_layers_that_do_not_fit_their_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"layers must be \(B, 3, H, W\)"):
        joint_space_by_alignment(torch.zeros(1, 3, 64, 64), turned_joint(6.0, 0.0), 1.0)


# ---- grades --------------------------------------------------------------------------------------------------------


def test_grades_are_the_quarters_of_the_normal_width() -> None:
    widths = torch.tensor([-1.0, 0.0, 0.2499, 0.25, 0.4999, 0.5, 0.7499, 0.75, 0.9999, 1.0, 2.0]) * 2.0
    assert narrowing_grade(widths, normal=2.0).tolist() == [4, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0]
    assert narrowing_grade(torch.tensor([[NORMAL_JSW, 0.5], [-0.2, 1.0]]).T).tolist() == [[0, 4], [3, 2]]


@given(widths=st.lists(st.floats(-3.0, 5.0), min_size=2, max_size=20), normal=st.floats(0.5, 3.0))
def test_a_narrower_joint_never_has_a_lower_grade(widths: list[float], normal: float) -> None:
    grades = narrowing_grade(torch.tensor(sorted(widths)), normal)
    assert bool((grades.diff() <= 0).all())
    assert set(grades.tolist()) <= {0, 1, 2, 3, 4}


def test_a_joint_without_a_width_has_no_grade() -> None:
    assert narrowing_grade(torch.tensor([math.nan, 2.0])).tolist() == [-1, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
def test_gpu_and_cpu_agree() -> None:
    masks = torch.cat([analytic_joint(6.0), analytic_joint(-3.5)]).float()
    on_gpu = joint_space_width(masks.cuda(), SPACING)
    torch.testing.assert_close(on_gpu.cpu(), joint_space_width(masks, SPACING))
    assert torch.equal(narrowing_grade(on_gpu).cpu(), narrowing_grade(on_gpu.cpu()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
def test_gpu_and_cpu_agree_along_the_axis_and_by_alignment() -> None:
    made = phantom(3, 0.5)
    layers, masks = made.layers[None], (made.masks > 0.5).float()[None]
    pairs = [
        (measure_joint_space(masks.cuda(), SPACING), measure_joint_space(masks, SPACING)),
        (
            joint_space_by_alignment(layers.cuda(), masks.cuda(), SPACING),
            joint_space_by_alignment(layers, masks, SPACING),
        ),
    ]
    for there, here in pairs:
        torch.testing.assert_close(there.mean.cpu(), here.mean, atol=1e-3, rtol=0)
        torch.testing.assert_close(there.minimum.cpu(), here.minimum, atol=1e-3, rtol=0)
