"""JSW against its definition column by column, and against known shifts of a fraction of a pixel."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bundle.jsw import NORMAL_JSW, joint_space_width, narrowing_grade
from bundle.motion import SPACING, RigidMotion, move
from bundle.phantom import Phantom, draw_parameters, render


@lru_cache
def phantom(seed: int, jsw_mm: float) -> Phantom:
    return render(draw_parameters(seed, jsw_mm=jsw_mm))


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


@given(change=st.floats(-1.2, 1.2), gap=st.floats(-5.0, 12.0), upper_share=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_shift_of_outlines_changes_the_width_by_the_shift(change: float, gap: float, upper_share: float) -> None:
    masks = analytic_joint(gap)
    assert jsw(shifted(masks, change, upper_share)) - jsw(masks) == pytest.approx(change, abs=0.005)


@pytest.mark.parametrize("upper_share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("change", [-0.61, -0.02, 0.01, 0.04, 0.5])
def test_a_shift_of_phantoms_changes_the_width_by_the_shift(change: float, upper_share: float) -> None:
    masks = torch.stack([phantom(seed, width).masks for seed, width in ((0, 1.1), (1, 0.4), (2, 2.2), (3, -0.3))])
    motion = RigidMotion.widening(torch.full((4,), change), upper_share)
    _, moved = move(torch.cat([masks[:, :1], masks], dim=1), masks, motion, SPACING)
    difference = joint_space_width(moved, SPACING) - joint_space_width(masks, SPACING)
    torch.testing.assert_close(difference, torch.full((4,), change), atol=0.02, rtol=0)


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
