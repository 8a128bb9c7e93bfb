"""The check of the dependence of predictions on the mark of a joint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io import JointFrame
from bundle.joint import Keys
from bundle.phantoms import render, sample_parameters
from bundle.scoring.agreement import JointSpaceReading
from bundle.scoring.placement import OFF_DEG, OFF_MM, PlacementCheck, continued, random_motion
from torch import Tensor, nn

PIXEL = 21 / 64


def joint(seed: int, width: float = 1.0) -> dict[str, Any]:
    phantom = render(sample_parameters(seed, size=64, spacing=PIXEL))
    image = torch.cat([phantom.image, phantom.masks])
    known = {"name": f"image{seed}", "joint": f"joint{seed}", "finger": "ring"}
    return {**known, Keys.IMAGE: image, Keys.SPACING: torch.tensor([PIXEL]), "joint_space": torch.tensor([width])}


class Corner(nn.Module):
    """A network that reads the brightness of a corner, which depends on the frame."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.stack([image[:, 0, :8, :8].mean((1, 2)), torch.zeros(len(image))], dim=1)


def back(radiograph: Tensor, mark: JointFrame) -> tuple[JointFrame, dict[str, Any]]:
    """A placement that finds the right frame from any mark."""
    middle = (radiograph.shape[-1] - 1) / 2.0
    right = continued(torch.zeros(1, 64, 64), PIXEL)[1]
    assert right.place.center == (middle, middle)
    return right, {}


def check(joints: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    def segment(image: Tensor) -> Tensor:
        return torch.ones(2, *image.shape[1:])

    return PlacementCheck(joints, Corner(), lambda made: made, JointSpaceReading(), segment, **more).figures()


def test_marks_are_off_by_at_most_what_is_stated() -> None:
    motions = np.array([random_motion(np.random.RandomState(seed)) for seed in range(2000)])
    distance = np.hypot(motions[:, 0], motions[:, 1])
    assert 0.95 * OFF_MM < distance.max() <= OFF_MM and 0.95 * OFF_DEG < np.abs(motions[:, 2]).max() <= OFF_DEG
    assert np.mean(distance < OFF_MM / math.sqrt(2.0)) == pytest.approx(0.5, abs=0.05)


def test_a_prediction_that_depends_on_the_frame_is_found_and_the_placement_cures_it() -> None:
    joints = [joint(seed, 1.0 + seed / 10) for seed in range(4)]
    kept, placed = (check(joints, count=3, recentre=recentre) for recentre in (None, back))
    assert kept["change"]["mean"] > 0.005 and placed["change"] == {"mean": 0.0, "p99": 0.0, "largest": 0.0}
    assert kept["joints"] == 4 and kept["marks"] == 12 and kept["refused"] == 0.0
    assert kept == check(joints, count=3)


def test_joints_without_truth_and_marks_that_are_refused_are_left_out() -> None:
    calls = iter(range(100))

    def refusing(radiograph: Tensor, mark: JointFrame) -> tuple[JointFrame, dict[str, Any]]:
        if next(calls) in (1, 4):
            raise InputError("no joint")
        return mark, {}

    found = check([joint(0), joint(1, math.nan), joint(2, 1.5)], count=2, recentre=refusing)
    assert found["joints"] == 2 and found["marks"] == 2 and found["refused"] == 0.5


def test_without_marks_nothing_is_checked() -> None:
    assert check([joint(0)]) == {}
