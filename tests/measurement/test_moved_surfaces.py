"""Joint surfaces that move with their bones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.axis import joint_axis
from bundle.measurement.curves import columns
from bundle.measurement.joint_space import widths
from bundle.measurement.surfaces import JointSurfaces, find_surfaces
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.motion import RigidMotion, move
from torch import Tensor

SPACING = MCP.spacing_mm
PHANTOMS = ((0, 0.2), (1, 0.4), (3, 0.9), (4, 1.1))


@pytest.fixture(scope="module")
def joints() -> tuple[Tensor, Tensor]:
    """True layers and binary masks of some phantoms."""
    made = [render(sample_parameters(seed, outline_gap_mm=gap)) for seed, gap in PHANTOMS]
    return torch.stack([one.layers for one in made]), (torch.stack([one.masks for one in made]) > 0.5).float()


@pytest.fixture(scope="module")
def surfaces(joints: tuple[Tensor, Tensor]) -> JointSurfaces:
    return find_surfaces(*joints, SPACING)


def random_motion(seed: int) -> RigidMotion:
    """Shifts of up to 0.5 mm and rotations of up to 2 degrees of each bone about points near the joint."""
    sampled = torch.rand(3, len(PHANTOMS), 2, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return RigidMotion(0.5 * sampled[0], 2.0 * sampled[1, ..., 0], 2.0 * sampled[2])


def along_axis(surfaces: JointSurfaces, change: float) -> RigidMotion:
    """A motion of both bones along the joint's axis that widens the joint space."""
    angle = torch.deg2rad(surfaces.axis)
    down = torch.stack([-angle.sin(), angle.cos()], dim=-1)
    still = RigidMotion.still(len(angle))
    return replace(still, translation=torch.stack([0.7 * change * down, -0.3 * change * down], dim=1))


def test_a_shift_along_the_axis_changes_the_joint_space_by_exactly_its_amount(surfaces: JointSurfaces) -> None:
    moved = surfaces.moved(along_axis(surfaces, 0.8))
    torch.testing.assert_close(moved.profile, surfaces.profile + 0.8, atol=2e-5, rtol=0)
    torch.testing.assert_close(moved.middle, surfaces.middle, atol=2e-5, rtol=0)
    assert torch.equal(moved.axis, surfaces.axis) and torch.equal(moved.window, surfaces.window)


def test_a_rotation_of_the_whole_joint_turns_the_axis_and_keeps_the_profile(surfaces: JointSurfaces) -> None:
    still = RigidMotion.still(len(PHANTOMS))
    moved = surfaces.moved(replace(still, rotation=still.rotation + 7.0, center=still.center + 1.3))
    torch.testing.assert_close(moved.axis, surfaces.axis + 7.0)
    torch.testing.assert_close(moved.profile, surfaces.profile, atol=1e-4, rtol=0)


def test_a_motion_and_its_inverse_restore_the_surfaces(surfaces: JointSurfaces) -> None:
    motion = random_motion(0)
    again = surfaces.moved(motion).moved(motion.inverse())
    near = columns().abs() < 3.5
    torch.testing.assert_close(again.axis, surfaces.axis, atol=1e-4, rtol=0)
    for one, other in zip(again.points(), surfaces.points(), strict=True):
        assert float((one - other)[:, near].abs().amax()) < 0.03


def test_moved_surfaces_are_those_measured_on_the_moved_layers(
    joints: tuple[Tensor, Tensor], surfaces: JointSurfaces
) -> None:
    errors, turns = [], []
    for seed in (1, 2):
        motion = random_motion(seed)
        layers, masks = move(*joints, motion, SPACING, "bicubic")
        anew, moved = find_surfaces(layers, masks, SPACING), surfaces.moved(motion)
        errors.append(widths(moved)[0] - widths(anew)[0])
        turns.append(moved.axis - joint_axis(masks))
    error, turn = torch.cat(errors), torch.cat(turns)
    assert float(error.abs().mean()) <= 0.02
    assert float(turn.abs().mean()) <= 1.0


def test_the_surfaces_of_one_joint_do_not_depend_on_the_others(surfaces: JointSurfaces) -> None:
    motion = random_motion(3)
    whole = surfaces.moved(motion)
    one = JointSurfaces(*(getattr(surfaces, name)[2:3] for name in ("axis", "middle", "head", "floor", "window")), {})
    alone = one.moved(motion.of(2))
    assert torch.equal(alone.head, whole.head[2:3]) and torch.equal(alone.floor, whole.floor[2:3])
