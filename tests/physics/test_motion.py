"""Rigid motion against its equation pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from bundle.physics.motion import ContinuedBones, MotionRange, RigidMotion, move
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.physics.motions import LOWER, MODES, SPACING, UPPER, drawn, joint_masks, motion, smooth
from torch import Tensor


def gaussian_spot(size: int, x: float, y: float, sigma: float = 2.5) -> Tensor:
    """Layers (1, 3, H, W) with a spot at (x, y) pixels from the frame's centre in both bones."""
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    spot = torch.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * sigma**2))
    return spot.expand(1, 3, size, size).clone()


def centroid(layer: Tensor) -> tuple[float, float]:
    axis = torch.arange(layer.shape[-1], dtype=torch.float64) - (layer.shape[-1] - 1) / 2
    total = layer.sum()
    return float((layer.sum(dim=0) * axis).sum() / total), float((layer.sum(dim=1) * axis).sum() / total)


@pytest.mark.slow
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    spacing=st.floats(0.01, 1.0),
    mode=st.sampled_from(MODES),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_no_motion_is_the_identity_at_any_size(
    height: int, width: int, spacing: float, mode: str, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(height * 41 + width)
    layers = torch.rand(2, 3, height, width, generator=generator, dtype=dtype)
    masks = torch.rand(2, 2, height, width, generator=generator, dtype=dtype)
    moved, moved_masks = move(layers, masks, RigidMotion.still(2), spacing, mode)
    assert moved.dtype == moved_masks.dtype == dtype
    assert float((moved - layers).abs().max()) <= 1e-6
    assert float((moved_masks - masks).abs().max()) <= 1e-6


@pytest.mark.parametrize("size", [256, 511])
def test_no_motion_about_a_centre_is_the_identity_in_large_frames(size: int) -> None:
    layers, masks = torch.rand(1, 3, size, size), torch.rand(1, 2, size, size)
    still = RigidMotion(torch.zeros(1, 2, 2), torch.zeros(1, 2), torch.full((1, 2, 2), 3.7))
    moved, moved_masks = move(layers, masks, still, SPACING, "bicubic")
    assert float((moved - layers).abs().max()) <= 1e-6
    assert float((moved_masks - masks).abs().max()) <= 1e-6


@pytest.mark.parametrize(("mode", "error"), [("bilinear", 0.01), ("bicubic", 0.002)])
def test_a_motion_and_its_inverse_return_a_smooth_layer(mode: str, error: float) -> None:
    layers, masks = smooth(2, 96, 80, sigma=6.0), joint_masks(2, 96, 80)
    there = drawn(2, x_mm=0.4, y_mm=0.4, rotation_deg=8.0)
    there = RigidMotion(there.translation, there.rotation, torch.full((2, 2, 2), 0.6))
    moved, moved_masks = move(layers, masks, there, SPACING, mode)
    back, _ = move(moved, moved_masks, there.inverse(), SPACING, mode)
    inside = (..., slice(20, -20), slice(20, -20))
    assert float((moved - layers)[:, 1:][inside].abs().max()) > 0.1
    assert float((back - layers)[inside].abs().max()) < error


def test_the_inverse_of_the_inverse_is_the_motion() -> None:
    there = drawn(3)
    again = there.inverse().inverse()
    for field in fields(RigidMotion):
        torch.testing.assert_close(getattr(again, field.name), getattr(there, field.name))


@given(
    x=st.integers(-9, 9),
    y=st.integers(-9, 9),
    spacing=st.sampled_from([SPACING, 0.15, 1.0]),
    mode=st.sampled_from(MODES),
)
def test_a_shift_of_whole_pixels_is_a_roll_inside(x: int, y: int, spacing: float, mode: str) -> None:
    layers, masks = torch.rand(1, 3, 32, 37), torch.rand(1, 2, 32, 37)
    shift = motion((x * spacing, y * spacing, 0.0), (-x * spacing, -y * spacing, 0.0))
    moved, moved_masks = move(layers, masks, shift, spacing, mode)
    inside = (slice(None), slice(9, -9), slice(9, -9))
    for bone, sign in ((0, 1), (1, -1)):
        expected = torch.roll(layers[:, 1 + bone], (sign * y, sign * x), dims=(-2, -1))
        torch.testing.assert_close(moved[:, 1 + bone][inside], expected[inside], atol=1e-5, rtol=0)
        expected = torch.roll(masks[:, bone], (sign * y, sign * x), dims=(-2, -1))
        torch.testing.assert_close(moved_masks[:, bone][inside], expected[inside], atol=1e-5, rtol=0)


def naive_move(layer: np.ndarray, x: float, y: float, degrees: float, center: tuple[float, float]) -> np.ndarray:
    """Eq. 5 pixel by pixel, in pixels: where p' = R (p - c) + c + t comes from, bilinear; NaN from outside."""
    height, width = layer.shape
    moved = np.full(layer.shape, np.nan)
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    for row in range(height):
        for column in range(width):
            target = np.array([column, row]) - middle
            source = turn.T @ (target - np.array(center) - np.array([x, y])) + np.array(center) + middle
            left, top = math.floor(source[0]), math.floor(source[1])
            if 0 <= left < width - 1 and 0 <= top < height - 1:
                u, v = source[0] - left, source[1] - top
                above = (1 - u) * layer[top, left] + u * layer[top, left + 1]
                below = (1 - u) * layer[top + 1, left] + u * layer[top + 1, left + 1]
                moved[row, column] = (1 - v) * above + v * below
    return moved


@pytest.mark.parametrize(
    ("shift", "degrees", "center"),
    [((0.0, 0.0), 25.0, (0.0, 0.0)), ((2.3, -1.7), -14.0, (3.0, -4.5)), ((-0.4, 0.6), 0.0, (5.0, 5.0))],
)
def test_a_motion_is_its_equation_pixel_by_pixel(
    shift: tuple[float, float], degrees: float, center: tuple[float, float]
) -> None:
    layers, masks = smooth(1, 24, 30, sigma=1.5), torch.rand(1, 2, 24, 30, dtype=torch.float64)
    spacing = 0.25
    in_mm = (shift[0] * spacing, shift[1] * spacing, degrees)
    asked = motion(in_mm, (0.0, 0.0, 0.0), center=(center[0] * spacing, center[1] * spacing))
    moved, moved_masks = move(layers, masks, asked, spacing)
    for result, before in ((moved[0, LOWER], layers[0, LOWER]), (moved_masks[0, 0], masks[0, 0])):
        expected = naive_move(before.numpy(), *shift, degrees, center)
        known = np.isfinite(expected)
        assert known.mean() > 0.5
        np.testing.assert_allclose(result.numpy()[known], expected[known], atol=1e-12)


def naive_bicubic(image: np.ndarray, row: float, column: float) -> float:
    """Nine tenths of the cubic kernel with a = -0.75 and a tenth of the linear one, by their equations."""

    def cubic(d: float) -> float:
        d, a = abs(d), -0.75
        near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        return near if d <= 1 else far if d < 2 else 0.0

    def weighted(kernel: Callable[[float], float]) -> float:
        places = np.ndindex(image.shape)
        return sum(float(image[y, x]) * kernel(row - y) * kernel(column - x) for y, x in places)

    return 0.9 * weighted(cubic) + 0.1 * weighted(lambda d: max(0.0, 1.0 - abs(d)))


def test_bicubic_is_its_kernels_pixel_by_pixel() -> None:
    layers = 0.2 + 0.6 * torch.rand(1, 3, 16, 18, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, y = 1.3, -0.45
    moved, _ = move(layers, torch.ones(1, 2, 16, 18), motion((x, y, 0.0), (x, y, 0.0)), 1.0, "bicubic")
    for bone in (LOWER, UPPER):
        before = layers[0, bone].numpy()
        for row, column in ((6, 7), (8, 10), (9, 5)):
            expected = min(max(naive_bicubic(before, row - y, column - x), 0.0), 1.0)
            assert float(moved[0, bone, row, column]) == pytest.approx(expected, abs=1e-6)


def test_a_positive_rotation_turns_right_to_down_clockwise_on_the_screen() -> None:
    layers = gaussian_spot(65, 12.0, 0.0)
    moved, moved_masks = move(layers, layers[:, 1:], motion((0.0, 0.0, 90.0), (0.0, 0.0, -90.0)))
    for lower, upper in ((moved[0, LOWER], moved[0, UPPER]), tuple(moved_masks[0])):
        assert centroid(lower) == pytest.approx((0.0, 12.0), abs=1e-6)
        assert centroid(upper) == pytest.approx((0.0, -12.0), abs=1e-6)


@given(
    shift=st.tuples(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8)),
    degrees=st.floats(-180.0, 180.0),
    center=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
)
def test_a_point_goes_where_the_rotation_about_the_centre_and_the_shift_take_it(
    shift: tuple[float, float], degrees: float, center: tuple[float, float]
) -> None:
    spacing, place, angle = 0.1, np.array([0.6, -0.35]), math.radians(degrees)
    layers = gaussian_spot(97, *(place / spacing))
    moved, _ = move(layers, layers[:, 1:], motion((0.0, 0.0, 0.0), (*shift, degrees), center=center), spacing)
    offset = place - center
    turned = np.array(
        [
            math.cos(angle) * offset[0] - math.sin(angle) * offset[1],
            math.sin(angle) * offset[0] + math.cos(angle) * offset[1],
        ]
    )
    expected = (turned + center + shift) / spacing
    assert centroid(moved[0, UPPER]) == pytest.approx(tuple(expected), abs=0.02)
    assert centroid(moved[0, LOWER]) == pytest.approx(tuple(place / spacing), abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_only_bones_move_and_values_stay_in_range(mode: str) -> None:
    layers, masks = torch.rand(2, 3, 40, 40), (torch.rand(2, 2, 40, 40) > 0.5).float()
    moved, moved_masks = move(layers, masks, drawn(2), SPACING, mode)
    assert torch.equal(moved[:, 0], layers[:, 0])
    for part in (moved, moved_masks):
        assert float(part.min()) >= 0.0
        assert float(part.max()) <= 1.0
    alone = motion((0.3, 0.2, 4.0), (0.0, 0.0, 0.0))
    moved, moved_masks = move(layers[:1], masks[:1], alone, SPACING, mode)
    torch.testing.assert_close(moved[:, UPPER], layers[:1, UPPER], atol=1e-6, rtol=0)
    torch.testing.assert_close(moved_masks[:, 1], masks[:1, 1], atol=1e-6, rtol=0)


def test_a_mask_moves_with_its_layer() -> None:
    masks = joint_masks(2, 60, 50)
    layers = torch.cat([masks[:, :1], masks], dim=1)
    moved, moved_masks = move(layers, masks, drawn(2, x_mm=0.3, y_mm=0.4, rotation_deg=3.0))
    inside = (..., slice(8, -8), slice(8, -8))
    torch.testing.assert_close(moved[:, 1:][inside], moved_masks[inside], atol=1e-12, rtol=0)


def test_masks_are_bilinear_whatever_the_layers_are() -> None:
    layers, masks, asked = torch.rand(1, 3, 40, 40), joint_masks(1, 40, 40).float(), drawn(1)
    bilinear, bicubic = (move(layers, masks, asked, SPACING, mode) for mode in MODES)
    assert torch.equal(bilinear[1], bicubic[1])
    assert not torch.equal(bilinear[0], bicubic[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_every_sample_has_its_own_motion_and_spacing(mode: str, shape: tuple[int, ...]) -> None:
    layers, masks, both = smooth(2, 33, 41), joint_masks(2, 33, 41), drawn(2)
    spacing = torch.tensor([0.08, 0.15], dtype=torch.float64)
    together = move(layers, masks, both, spacing.reshape(shape), mode)
    for sample in range(2):
        alone = move(layers[sample, None], masks[sample, None], both.of(sample), float(spacing[sample]), mode)
        for part, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(part[sample, None], expected, atol=1e-12, rtol=0)
    one_spacing = move(layers, masks, both, 0.08, mode)
    assert torch.equal(one_spacing[0][0], together[0][0])
    assert not torch.allclose(one_spacing[0][1], together[0][1], atol=1e-3)
    alike = RigidMotion(*(getattr(both, field.name)[:1].repeat_interleave(2, dim=0) for field in fields(both)))
    assert not torch.allclose(move(layers, masks, alike, spacing, mode)[0][1], together[0][1], atol=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_a_motion_has_true_gradients(mode: str) -> None:
    layers, masks = smooth(2, 7, 6, sigma=1.0), joint_masks(2, 7, 6)
    asked = drawn(2, x_mm=0.15, y_mm=0.15, rotation_deg=20.0)
    assert torch.autograd.gradcheck(
        lambda layers, masks: move(layers, 0.1 + 0.8 * masks, asked, SPACING, mode),
        (layers.requires_grad_(), masks.requires_grad_()),
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers": torch.zeros(2, 2, 8, 8)}, r"layers must be \(B, 3, H, W\).*got \(2, 2, 8, 8\) and \(2, 2, 8, 8\)"),
        ({"layers": torch.zeros(3, 8, 8)}, r"got \(3, 8, 8\) and"),
        ({"masks": torch.zeros(2, 2, 8, 9)}, r"got \(2, 3, 8, 8\) and \(2, 2, 8, 9\)"),
        ({"masks": torch.zeros(1, 2, 8, 8)}, r"got \(2, 3, 8, 8\) and \(1, 2, 8, 8\)"),
        ({"motion": RigidMotion.still(3)}, "the motion must be that of 2 samples, got 3"),
        ({"spacing": 0.0}, "pixel size must be above 0 mm.*got 0.0"),
        ({"spacing": float("nan")}, "pixel size must be above 0 mm.*got nan"),
        ({"spacing": torch.tensor([0.1, -0.1])}, "pixel size must be above 0 mm"),
        ({"spacing": torch.tensor([0.1, 0.1, 0.1])}, "a scalar or one for each of 2 samples"),
        ({"mode": "area"}, "bilinear, bicubic or nearest, got area"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(changed: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "layers": torch.zeros(2, 3, 8, 8),
        "masks": torch.zeros(2, 2, 8, 8),
        "motion": RigidMotion.still(2),
    }
    with pytest.raises(ValueError, match=message):
        move(**{**arguments, **changed})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
@pytest.mark.parametrize("mode", MODES)
def test_gpu_and_cpu_agree(mode: str) -> None:
    layers, masks, asked = smooth(2, 48, 40).float(), joint_masks(2, 48, 40).float(), drawn(2)
    on_gpu = move(layers.cuda(), masks.cuda(), asked, SPACING, mode)
    for one, other in zip(on_gpu, move(layers, masks, asked, SPACING, mode), strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=2e-6, rtol=0)


def test_sampling_in_single_precision_moves_the_same_to_rounding() -> None:
    """It is the training's: gradients flow, and a place is right to 1e-4 pixels."""
    random = torch.Generator().manual_seed(0)
    layers = torch.rand(2, 3, 64, 48, generator=random).requires_grad_()
    masks = (torch.rand(2, 2, 64, 48, generator=random) > 0.5).float()
    motion = MotionRange().sample(2, np.random.RandomState(0))
    made = [move(layers, masks, motion, exact=exact) for exact in (True, False)]
    for one, other in zip(*made, strict=True):
        assert one.dtype == other.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    gradients = [torch.autograd.grad(moved.square().sum(), layers)[0] for moved, _ in made]
    torch.testing.assert_close(*gradients, atol=1e-2, rtol=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([(48, 48), (40, 64)]), wide=st.booleans())
def test_sampling_only_where_a_bone_comes_to_lie_loses_nothing(seed: int, size: tuple[int, int], wide: bool) -> None:
    random = np.random.RandomState(seed)
    bones = torch.zeros(2, 2, *size)
    for bone in bones.flatten(0, 1):
        top, left = (random.randint(0, side - 2) for side in size)
        bottom, right = (random.randint(first + 1, side + 1) for first, side in zip((top, left), size, strict=True))
        bone[top:bottom, left:right] = torch.from_numpy(random.rand(bottom - top, right - left)).float()
    ranges = (
        MotionRange(x_mm=3.0, y_mm=8.0, rotation_deg=180.0)
        if wide
        else MotionRange(x_mm=0.5, y_mm=0.5, rotation_deg=4.0)
    )
    motion = ranges.sample(2, random)
    continued = ContinuedBones.of(bones, (bones > 0.5).float()[:, :, None])
    everywhere = torch.tensor([-math.inf, -math.inf, math.inf, math.inf]).expand(2, 2, 4)
    for mode in ("bilinear", "bicubic"):
        found = continued.moved(motion, 0.2, mode)
        for part, whole in zip(found, replace(continued, boxes=everywhere).moved(motion, 0.2, mode), strict=True):
            torch.testing.assert_close(part, whole, atol=1e-12, rtol=0)
