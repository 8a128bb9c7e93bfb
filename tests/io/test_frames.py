"""Frames of joints in a hand: what they see, upright and at their scale, and what comes back into the hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io import frames
from bundle.io.frames import JointFrame, JointPlace
from bundle.joint import COARSE_SPACING, MCP
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

SIZE = 64


def smooth(x: Tensor, y: Tensor) -> Tensor:
    """A picture without fine detail, of places in mm."""
    return 0.5 + 0.2 * torch.sin(x / 5.0) + 0.2 * torch.cos(y / 7.0 + x / 11.0)


def hand(spacing: tuple[float, float], millimetres: float = 60.0) -> Tensor:
    """The smooth picture, (1, H, W), pixel centres at whole numbers times the spacing."""
    height, width = (round(millimetres / length) for length in spacing)
    y, x = torch.meshgrid(torch.arange(height) * spacing[0], torch.arange(width) * spacing[1], indexing="ij")
    return smooth(x, y)[None]


def frame(
    spacing: tuple[float, float], center_mm: tuple[float, float] = (30.0, 30.0), angle: float = 0.0, size: int = SIZE
) -> JointFrame:
    """A frame whose upright direction is turned by an angle in degrees, clockwise on the screen."""
    x, y = math.sin(math.radians(angle)), -math.cos(math.radians(angle))
    center = (center_mm[0] / spacing[1], center_mm[1] / spacing[0])
    return JointFrame(JointPlace("joint", center, (x / spacing[1], y / spacing[0])), spacing, size)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    angle=st.floats(-180.0, 180.0),
    rows=st.floats(0.05, 0.3),
    columns=st.floats(0.05, 0.3),
    x=st.floats(20.0, 40.0),
    y=st.floats(20.0, 40.0),
)
def test_a_frame_sees_the_hand_upright_in_mm_at_any_spacing(
    angle: float, rows: float, columns: float, x: float, y: float
) -> None:
    cut = frame((rows, columns), (x, y), angle).cut(hand((rows, columns)))[0]
    offset = (torch.arange(SIZE) - (SIZE - 1) / 2) * MCP.frame_mm / SIZE
    down, right = torch.meshgrid(offset, offset, indexing="ij")
    turn = math.radians(angle)
    expected = smooth(
        x + right * math.cos(turn) - down * math.sin(turn), y + right * math.sin(turn) + down * math.cos(turn)
    )
    torch.testing.assert_close(cut, expected.to(cut), atol=4e-3, rtol=0)


def test_a_frame_of_the_hand_s_own_pixels_is_a_crop() -> None:
    pixels = torch.rand(2, 100, 100, generator=torch.Generator().manual_seed(0))
    spacing = (MCP.frame_mm / SIZE, MCP.frame_mm / SIZE)
    cut = JointFrame(JointPlace("joint", (50.5, 40.5)), spacing, SIZE).cut(pixels)
    torch.testing.assert_close(cut, pixels[:, 9:73, 19:83], atol=2e-5, rtol=0)


def test_fine_detail_is_averaged_not_aliased() -> None:
    checkers = ((torch.arange(400)[:, None] + torch.arange(400)) % 2).float()[None]
    cut = frame((0.06, 0.06), (12.0, 12.0)).cut(checkers)
    assert float((cut - 0.5).abs().max()) < 0.02


def waves(spacing: float, wavelength_mm: float = 1.6, millimetres: float = 60.0) -> Tensor:
    """Waves that run down, (1, H, W), pixel centres at whole numbers times the spacing."""
    y = torch.arange(round(millimetres / spacing)) * spacing
    return (0.5 + 0.2 * torch.cos(2.0 * math.pi * y / wavelength_mm))[None, :, None].repeat(1, 1, len(y))


def test_coarse_pixels_are_not_seen_as_a_grid() -> None:
    cut = frame((0.4, 0.4), size=256).cut(waves(0.4))[0]
    places = 30.0 + (torch.arange(256) - 127.5) * MCP.frame_mm / 256
    expected = 0.5 + 0.2 * torch.cos(2.0 * math.pi * places / 1.6)
    torch.testing.assert_close(cut, expected[:, None].expand(256, 256), atol=0.015, rtol=0)


@pytest.mark.parametrize("spacing", [0.1, COARSE_SPACING])
def test_pixels_that_are_not_coarse_are_interpolated_linearly(spacing: float) -> None:
    picture, place = waves(spacing), frame((spacing, spacing), size=256)
    rows = (place.matrix @ torch.stack([torch.zeros(256), torch.arange(256.0), torch.ones(256)]).double())[1]
    expected = np.interp(rows.numpy(), np.arange(picture.shape[1]), picture[0, :, 0].numpy())
    np.testing.assert_allclose(place.cut(picture)[0, :, 0].numpy(), expected, atol=1e-5)


def test_nothing_comes_back_of_a_frame_that_has_not_changed() -> None:
    picture = hand((0.1, 0.12))
    place = frame((0.1, 0.12), angle=25.0)
    cut = place.cut(picture)
    assert torch.equal(place.paste(picture, cut, cut.clone()), picture)


@pytest.mark.parametrize("angle", [0.0, 30.0, -100.0])
def test_a_change_comes_back_where_it_was_and_nowhere_else(angle: float) -> None:
    spacing = (0.1, 0.12)
    picture, place = hand(spacing), frame(spacing, angle=angle)
    before = place.cut(picture)
    after = before.clone()
    after[:, 20:40, 16:44] += 0.1
    pasted = place.paste(picture, before, after)
    again = place.cut(pasted)
    torch.testing.assert_close(again[:, 23:37, 19:41], after[:, 23:37, 19:41], atol=3e-3, rtol=0)
    torch.testing.assert_close(again[:, :17], before[:, :17], atol=1e-6, rtol=0)
    rows, columns = np.mgrid[: picture.shape[1], : picture.shape[2]]
    far = np.hypot(rows * spacing[0] - 30.0, columns * spacing[1] - 30.0) > MCP.frame_mm / 2
    assert torch.equal(pasted[0][far], picture[0][far])
    assert not torch.equal(pasted, picture)


def test_a_change_up_to_the_border_of_a_frame_leaves_no_edge() -> None:
    spacing = (0.1, 0.1)
    picture, place = hand(spacing), frame(spacing)
    before = place.cut(picture)
    change = (place.paste(picture, before, before - 0.2) - picture)[0]
    assert float(change[300, 300]) == pytest.approx(-0.2, abs=1e-5)
    assert float(change.diff(dim=0).abs().max()) <= 0.2 * spacing[0] / 1.0 + 1e-3
    assert float(place.covers((600, 600))[300, 300]) == 1.0


def test_a_frame_that_leaves_the_radiograph_is_refused_with_the_joint() -> None:
    with pytest.raises(InputError, match=r"frame of 21 mm, .* does not lie inside the radiograph of 600 x 600"):
        frame((0.1, 0.1), (8.0, 30.0)).cut(hand((0.1, 0.1)))


@pytest.mark.parametrize(
    ("center", "direction"), [((math.nan, 1.0), (0.0, -1.0)), ((1.0, 1.0), (0.0, 0.0)), ((1.0, 1.0), (math.inf, 0.0))]
)
def test_a_place_that_is_none_is_refused(center: tuple[float, float], direction: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="Mark the joint again"):
        JointPlace("index", center, direction)


def test_a_frame_comes_back_from_json() -> None:
    frame = JointFrame(JointPlace("index, 2", (100.25, 90.5), (0.1, -2.0)), (0.1, 0.12), 128, 20.0)
    assert JointFrame.from_json(frame.to_json()) == frame


@pytest.mark.slow
@pytest.mark.parametrize("angle", [0.0, 33.0, 200.0])
@pytest.mark.parametrize("center", [(30.0, 30.0), (16.0, 44.0)])
@pytest.mark.parametrize("spacing", [(0.1, 0.1), (0.05, 0.12), (0.3, 0.4)])
def test_a_large_hand_is_cut_and_pasted_around_the_joint_alone(
    monkeypatch: pytest.MonkeyPatch, spacing: tuple[float, float], center: tuple[float, float], angle: float
) -> None:
    """What lies elsewhere is not even looked at, and the frame is the same."""
    picture, place = hand(spacing), frame(spacing, center, angle)
    picture = (picture + 0.1 * torch.rand(picture.shape, generator=torch.Generator().manual_seed(0))).clamp(0.0, 1.0)
    whole = place.cut(picture)
    monkeypatch.setattr(frames, "LARGE", 1)
    torch.testing.assert_close(place.cut(picture), whole, atol=2e-4, rtol=0)
    covered, changed = place.covers(picture.shape[-2:]), place.paste(picture, whole, 1.0 - whole)
    monkeypatch.setattr(JointFrame, "_box", lambda *_: (range(picture.shape[-2]), range(picture.shape[-1])))
    assert torch.equal(place.covers(picture.shape[-2:]), covered) and bool((covered > 0).any())
    assert torch.equal(place.paste(picture, whole, 1.0 - whole), changed)


@pytest.mark.parametrize("spacing", [(0.1, 0.1), (0.1, 0.2)])
@pytest.mark.parametrize("motion", [(1.5, -2.0, 20.0), (0.0, 0.0, -90.0), (3.0, 0.0, 0.0)])
def test_a_moved_frame_lies_where_its_motion_states(
    spacing: tuple[float, float], motion: tuple[float, float, float]
) -> None:
    before = frame(spacing, angle=30.0)
    after = before.moved(*motion)
    assert before.motion_to(after) == pytest.approx(motion, abs=1e-9)
    moved_mm = [(b - a) * s for a, b, s in zip(before.place.center, after.place.center, spacing[::-1], strict=True)]
    assert math.hypot(*moved_mm) == pytest.approx(math.hypot(*motion[:2]), abs=1e-9)
