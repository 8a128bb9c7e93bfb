"""Bone that a motion uncovers at the borders of the frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.physics.continuation import CONTINUED_MM, continue_texture
from bundle.physics.motion import move
from scipy.ndimage import gaussian_filter
from tests.physics.motions import LOWER, MODES, SPACING, motion, smooth


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [128, 40])
@pytest.mark.parametrize(
    "asked", [(0, 2, 0), (0, -2, 0), (2, 0, 0), (-2, 0, 0), (1.5, -2, 10), (-1.5, 2, -10), (0, 7, 0), (9, -9, 0)]
)
def test_a_bone_that_fills_the_frame_still_fills_it_after_a_motion(
    mode: str, size: int, asked: tuple[float, float, float]
) -> None:
    layers, masks = torch.full((1, 3, size, size), 0.6), torch.ones(1, 2, size, size)
    moved, moved_masks = move(layers, masks, motion(asked, asked), SPACING, mode)
    torch.testing.assert_close(moved, layers, atol=1e-6, rtol=0)
    torch.testing.assert_close(moved_masks, masks, atol=1e-6, rtol=0)


@pytest.mark.parametrize("distance", [2.0, -2.0])
def test_a_shaft_along_the_motion_continues_straight_past_the_border(distance: float) -> None:
    """Columns of any brightness, constant along the motion: the shaft's cortices, and air beside them."""
    columns = torch.rand(3, 1, 64).double().clamp(min=0.1)
    columns[..., :10] = columns[..., -10:] = 0.0
    layers = columns.expand(3, 64, 64)[None]
    masks = (layers[:, 1:] > 0).double()
    moved, moved_masks = move(layers, masks, motion((0.0, distance, 0.0), (0.0, distance, 0.0)), SPACING, "bicubic")
    torch.testing.assert_close(moved, layers, atol=1e-9, rtol=0)
    torch.testing.assert_close(moved_masks, masks, atol=1e-9, rtol=0)


def test_a_layer_constant_across_the_motion_stays_so() -> None:
    rows = 0.2 + 0.6 * torch.rand(3, 64, 1, dtype=torch.float64)
    layers = rows.expand(3, 64, 64)[None]
    moved, _ = move(layers, torch.ones_like(layers[:, 1:]), motion((0.0, 2.0, 0.0), (0.0, -2.0, 0.0)))
    assert float((moved[:, 1:] - moved[:, 1:, :, :1]).abs().max()) < 1e-9
    assert float(moved[:, LOWER, :20].diff(dim=-2).std()) > 0.01


@pytest.mark.parametrize(
    ("asked", "uncovered"),
    [
        ((0.0, 2.0, 0.0), (slice(0, 24), slice(None))),
        ((0.0, -2.0, 0.0), (slice(-24, None), slice(None))),
        ((2.0, 0.0, 0.0), (slice(None), slice(0, 24))),
        ((-2.0, 0.0, 0.0), (slice(None), slice(-24, None))),
    ],
)
def test_uncovered_bone_has_the_texture_of_the_bone_without_streaks(
    asked: tuple[float, float, float], uncovered: tuple[slice, slice]
) -> None:
    size = 128
    texture = torch.from_numpy(gaussian_filter(np.random.default_rng(0).standard_normal((size, size)), 1.0))
    slope = torch.linspace(0.3, 0.7, size, dtype=torch.float64)
    layers = (slope[:, None] * 0.5 + slope * 0.5 + 0.1 * texture).expand(1, 3, size, size)
    moved, _ = move(layers, torch.ones_like(layers[:, 1:]), motion(asked, asked), SPACING, "bicubic")
    for axis in (-2, -1):
        change = moved[0, LOWER].diff(dim=axis)
        inside = float(change[40:-40, 40:-40].std())
        assert float(change[uncovered].std()) == pytest.approx(inside, rel=0.25)
        lines = change[uncovered].square().mean(dim=axis).sqrt()
        assert float(lines.min()) > 0.4 * inside
    assert float((moved[0, LOWER] - layers[0, LOWER]).mean()) == pytest.approx(0.0, abs=0.06)


@pytest.mark.parametrize("margin", [0, 1, 5, 19])
def test_continuing_leaves_the_frame_and_keeps_air_dark(margin: int) -> None:
    bones = torch.rand(2, 2, 24, 20)
    bones[..., :6] = 0.0
    continued = continue_texture(bones, margin, 3.0)
    assert tuple(continued.shape) == (2, 2, 24 + 2 * margin, 20 + 2 * margin)
    frame = continued[..., margin : margin + 24, margin : margin + 20]
    assert torch.equal(frame, bones)
    assert float(continued[..., : margin + 6].abs().max()) == 0.0
    assert float(continued.min()) >= 0.0
    assert float(continued.max()) <= 1.0


def test_a_margin_wider_than_the_frame_is_cut_to_what_can_be_mirrored() -> None:
    bones = torch.rand(1, 2, 9, 12)
    assert torch.equal(continue_texture(bones, 64, 3.0), continue_texture(bones, 8, 3.0))


def test_far_past_the_continued_texture_the_bone_still_does_not_end() -> None:
    size = 2 * round(CONTINUED_MM / SPACING) + 40
    layers = smooth(1, size, size)
    moved, _ = move(layers, torch.ones(1, 2, size, size).double(), motion((0.0, 12.0, 0.0), (0.0, 12.0, 0.0)))
    assert float(moved[0, LOWER, : 12 * 8].min()) > 0.1
