"""Random motions, and the parameters of a motion."""

from __future__ import annotations

import json

import pytest
import torch
from bundle.physics.motion import MotionRange, RigidMotion, move
from hypothesis import given
from hypothesis import strategies as st
from tests.physics.motions import SPACING, drawn, joint_masks, same_motion, smooth


@given(seed=st.integers(0, 10_000), double=st.booleans())
def test_a_motion_read_from_json_is_replayed_to_the_bit(seed: int, double: bool) -> None:
    asked = drawn(2, seed)
    if double:
        asked = asked.to(torch.zeros(1, dtype=torch.float64))
        asked = RigidMotion(asked.translation / 3, asked.rotation / 3, asked.center + 1 / 7)
    line = asked.to_json()
    assert "\n" not in line
    assert set(json.loads(line)) == {"translation", "rotation", "center"}
    read = RigidMotion.from_json(line)
    assert same_motion(read.to(asked.translation), asked)
    assert read.to_json() == line
    layers, masks = smooth(2, 20, 20).float(), joint_masks(2, 20, 20).float()
    for one, other in zip(move(layers, masks, asked), move(layers, masks, read), strict=True):
        assert torch.equal(one, other)


def test_widening_moves_the_bones_apart_by_the_change() -> None:
    change = torch.tensor([0.8, -0.3], dtype=torch.float64)
    for share in (0.0, 0.25, 0.5, 1.0):
        asked = RigidMotion.widening(change, share)
        lower, upper = asked.translation[:, 0, 1], asked.translation[:, 1, 1]
        torch.testing.assert_close(lower - upper, change)
        torch.testing.assert_close(-upper, share * change)
        assert float(asked.translation[..., 0].abs().max()) == float(asked.rotation.abs().max()) == 0.0


@given(seed=st.integers(0, 2**32 - 1), x=st.floats(0.0, 5.0), y=st.floats(0.0, 5.0), rotation=st.floats(0.0, 90.0))
def test_draws_stay_in_their_ranges_and_follow_the_seed(seed: int, x: float, y: float, rotation: float) -> None:
    made = drawn(8, seed, x_mm=x, y_mm=y, rotation_deg=rotation)
    slack = 1 + 1e-6
    assert bool((made.translation.abs() <= torch.tensor([x, y]) * slack).all())
    assert bool((made.rotation.abs() <= rotation * slack).all())
    assert same_motion(made, drawn(8, seed, x_mm=x, y_mm=y, rotation_deg=rotation))


def test_draws_fill_their_ranges_with_a_motion_of_its_own_for_each_sample_and_bone() -> None:
    made = drawn(500, x_mm=1.0, y_mm=2.0, rotation_deg=5.0)
    assert made.translation[..., 0].unique().numel() > 990
    for values, largest in ((made.translation[..., 0], 1.0), (made.translation[..., 1], 2.0), (made.rotation, 5.0)):
        assert float(values.max()) > 0.97 * largest
        assert float(values.min()) < -0.97 * largest
        assert abs(float(values.mean())) < 0.1 * largest
    together = torch.cat([made.translation, made.rotation[..., None]], dim=-1).reshape(500, 6)
    assert float((torch.corrcoef(together.T) - torch.eye(6)).abs().max()) < 0.2
    assert not same_motion(made, drawn(500, 1, x_mm=1.0, y_mm=2.0, rotation_deg=5.0))


def test_the_default_ranges_are_the_published_ones() -> None:
    published = MotionRange()
    assert (published.x_mm / SPACING, published.y_mm / SPACING, published.rotation_deg) == pytest.approx(
        (20.0, 30.0, 10.0)
    )


@pytest.mark.parametrize("largest", [{"x_mm": -0.1}, {"y_mm": -1.0}, {"rotation_deg": -5.0}])
def test_a_negative_range_is_refused(largest: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"ranges of motion must be at least 0, got MotionRange\(x_mm="):
        MotionRange(**largest)


@pytest.mark.parametrize("rotation_shape", [(2,), (1, 3), (2, 2)])
def test_parameters_of_other_shapes_are_refused(rotation_shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"translation must be \(B, 2, 2\), rotation \(B, 2\) and center \(B, 2, 2\), got \["
    ):
        RigidMotion(torch.zeros(1, 2, 2), torch.zeros(rotation_shape), torch.zeros(1, 2, 2))
