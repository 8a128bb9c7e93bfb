"""The axis and the middle of a joint turn and move with it, also where the common columns leave them undetermined."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.axis import joint_axis
from bundle.measurement.facing import middle_and_extent
from bundle.measurement.pose import joint_pose
from bundle.phantoms.parameters import PhantomParameters
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import reframed, sample_parameters
from bundle.phantoms.surfaces import true_axis, true_surfaces
from torch import Tensor

WANDERING = (1_003_000_023, 1_003_000_033)
"""Phantoms whose axis is undetermined by degrees around the middle of the common columns."""


def masks_of(parameters: PhantomParameters) -> Tensor:
    return (render(parameters).masks[None] > 0.5).float()


def test_the_middle_and_the_extent_are_those_of_a_loop_over_the_columns() -> None:
    masks = torch.zeros(1, 2, 8, 20)
    masks[0, 0, 5:, 2:12] = 1.0
    masks[0, 0, 6, 12] = 0.5
    masks[0, 1, :4, 6:18] = 1.0
    middles, common = [], 0.0
    for bone in masks[0]:
        highest = [max(bone[:, column].tolist()) for column in range(20)]
        middles.append(sum(v * (c + 0.5 - 10) for c, v in enumerate(highest)) / sum(highest))
    for column in range(20):
        common += min(float(masks[0, bone, :, column].max()) for bone in (0, 1))
    middle, extent = middle_and_extent(masks)
    assert float(middle) == pytest.approx(sum(middles) / 2)
    assert float(extent) == pytest.approx(common) == pytest.approx(6.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", WANDERING)
def test_the_axis_and_the_middle_follow_the_joint(seed: int) -> None:
    first = sample_parameters(seed, side="right")
    poses = [joint_pose(masks_of(reframed(first, 0.3, -0.2, turn)), MCP.spacing_mm) for turn in (-2.0, 0.0, 2.0)]
    axes = [float(pose.axis) for pose in poses]
    assert np.diff(axes) == pytest.approx([2.0, 2.0], abs=0.3)
    assert np.ptp([float(pose.extent) for pose in poses]) < 0.15
    truth = true_axis(reframed(first, 0.3, -0.2, 0.0))
    assert axes[1] == pytest.approx(truth, abs=0.3)


@pytest.mark.parametrize("seed", WANDERING)
def test_the_true_joint_space_of_a_rotated_joint_is_the_same(seed: int) -> None:
    first = sample_parameters(seed)
    widths = [true_surfaces(reframed(first, 0.0, 0.0, turn)).width for turn in (-2.0, 0.0, 2.0)]
    assert np.ptp(widths) < 0.003


@pytest.mark.slow
@pytest.mark.parametrize("seed", WANDERING)
def test_four_rotations_are_enough(seed: int) -> None:
    masks = masks_of(sample_parameters(seed))
    assert float(joint_axis(masks)) == pytest.approx(float(joint_axis(masks, rounds=20)), abs=0.05)


def test_masks_without_a_bone_have_no_axis_and_no_extent() -> None:
    empty = torch.zeros(1, 2, 64, 64)
    pose = joint_pose(empty, MCP.spacing_at(64))
    assert math.isnan(float(pose.axis)) and float(pose.extent) == 0.0 and math.isfinite(float(pose.middle))
