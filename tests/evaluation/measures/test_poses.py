"""Poses of other radiographs, against motions that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bundle.evaluation.measures.poses import _partners, poses_of_others
from bundle.physics import MotionRange, synthesize
from bundle.statistics.measured import SeparatedJoints
from tests.evaluation.measures.phantom_joints import phantom_joints


def test_each_radiograph_is_the_other_one_of_one_radiograph_of_its_joint() -> None:
    names = list("abacbbd")
    pairs = _partners(names, np.random.RandomState(0))
    own, others = (sorted(side) for side in zip(*pairs, strict=True))
    assert own == others == [0, 1, 2, 4, 5]
    assert all(names[one] == names[other] and one != other for one, other in pairs)


def two_visits(count: int) -> tuple[SeparatedJoints, torch.Tensor]:
    """Phantoms, each at two visits; the second shows its bones moved, (count, 2, 2) in mm."""
    first = phantom_joints(count, 3, size=128)
    motion = MotionRange(x_mm=0.3, y_mm=0.3, rotation_deg=1.0).sample(count, np.random.RandomState(0))
    moved = synthesize(first.layers, first.images[:, 1:], motion, first.spacing, list(range(count)))
    images = torch.cat([first.images, torch.cat([moved.image, moved.masks], dim=1)])
    items = [*first.items, *({**item, "name": f"{item['name']}_b"} for item in first.items)]
    return SeparatedJoints(items, images, torch.cat([first.layers, moved.layers])), motion.translation


@pytest.mark.slow
def test_a_radiograph_in_the_pose_of_the_other_shows_its_bones_there() -> None:
    joints, truth = two_visits(4)
    poses = poses_of_others(joints, np.random.RandomState(0))
    known = poses.radiographs < 4
    assert int(known.sum()) >= 3 and torch.equal(poses.others[known], poses.radiographs[known] + 4)
    layers, masks = joints.layers[poses.radiographs], joints.images[poses.radiographs, 1:]
    shown = synthesize(layers, masks, poses.motion, joints.spacing[poses.radiographs], [0] * len(layers))
    wanted = joints.images[poses.others, 1:]
    assert float((shown.masks - wanted).abs().mean()) < 0.15 * float((masks - wanted).abs().mean())
    found = poses.motion.translation[known]
    assert float((found - truth[poses.radiographs[known]]).abs().max()) < 0.03


def test_joints_with_one_radiograph_have_no_pose() -> None:
    joints = phantom_joints(2, 0)
    assert len(poses_of_others(joints, np.random.RandomState(0)).radiographs) == 0


def test_radiographs_whose_bones_are_not_found_are_left_out() -> None:
    joints = phantom_joints(2, 0)
    same = [{**item, "joint": "one"} for item in joints.items]
    noise = torch.rand(joints.images[:, :1].shape, generator=torch.Generator().manual_seed(0))
    unlike = replace(joints, items=same, images=torch.cat([noise, joints.images[:, 1:]], dim=1))
    assert len(poses_of_others(unlike, np.random.RandomState(0)).radiographs) == 0
