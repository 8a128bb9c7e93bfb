"""Plots of sampled overlaps: which joints are shown."""

from __future__ import annotations

from dataclasses import replace

import torch
from bundle import Joint
from scripts.draw_sampled_overlaps import deepest


def overlapping(rows: int, name: str) -> Joint:
    """A joint whose masks have ``rows`` rows in common."""
    joint = Joint.phantom(seed=0)
    masks = torch.zeros_like(joint.masks)
    masks[0, 128 - rows // 2 :], masks[1, : 128 + rows // 2] = 1.0, 1.0
    return replace(joint, masks=masks, name=name)


def test_the_deepest_come_first_without_those_of_wrong_masks() -> None:
    joints = [overlapping(4, "shallow"), overlapping(120, "wrong"), overlapping(20, "deep"), overlapping(10, "middle")]
    assert [joint.name for joint in deepest(joints, 2)] == ["deep", "middle"]
