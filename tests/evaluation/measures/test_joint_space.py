"""Measuring the joint space width, by phantoms and by made-up widths whose agreement can be counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from bundle.evaluation.measures.joint_space import JointSpaceMeasurement
from bundle.io.joints import phantom_items
from bundle.measurement.outline_gap import VERTICAL
from bundle.separation.transforms.loading import LoadJointd
from bundle.statistics.measured import SeparatedJoints
from torch import Tensor

SIZE = 128


def flat_joint(gap: int) -> Tensor:
    """Masks (2, H, W) of bones with straight surfaces, so many pixels apart."""
    rows = torch.arange(SIZE)[:, None].expand(SIZE, SIZE)
    return torch.stack([rows >= 70 + gap, rows < 70]).float()


def made_up(gaps: list[int], spacing: float = 0.15, **known: list[Any]) -> SeparatedJoints:
    """Joints with flat bones of half the light, whose radiographs tell their number by their grey."""
    masks = torch.stack([flat_joint(gap) for gap in gaps])
    grey = torch.arange(len(gaps)).reshape(-1, 1, 1, 1).expand(-1, 1, SIZE, SIZE) / 100.0
    items = [
        {"name": f"n{row}", "joint": f"j{row}", "finger": "index", "side": "left", "spacing": spacing}
        | {key: values[row] for key, values in known.items()}
        for row in range(len(gaps))
    ]
    return SeparatedJoints(items, torch.cat([grey, masks], dim=1), torch.cat([grey, 0.5 * masks], dim=1))


@pytest.fixture(scope="module")
def retaken() -> SeparatedJoints:
    """Four phantoms with two radiographs each and their true layers."""
    items = phantom_items(4, 11, takes=2)
    loaded = [LoadJointd()(item) for item in items]
    images, layers = (torch.stack([joint[key] for joint in loaded]) for key in ("image", "label"))
    return SeparatedJoints(items, images, layers, layers)


@pytest.mark.slow
def test_phantoms_are_measured_to_a_twentieth_of_a_millimetre_and_repeat_to_a_tenth(retaken: SeparatedJoints) -> None:
    measured = JointSpaceMeasurement(samples=20)(retaken)
    assert (measured.figures["images"], measured.figures["joints"]) == (8, 4)
    assert "along the joint's axis" in measured.figures["definitions"]["masks"] != VERTICAL
    for method in ("masks", "alignment"):
        found = measured.figures[method]
        assert found["missing"] == 0
        assert found["mae"] <= 0.05
        assert found["sdd"] <= 0.1
        assert found["icc"] > 0.99 and found["retakes_icc"] > 0.99
        assert found["limits"][0] < found["bias"] < found["limits"][1]
        assert found["minimum_sdd"] <= 0.1
    assert set(measured.plots) == {"masks_bland_altman", "alignment_bland_altman"}
    assert measured.per_image["retake"].tolist() == [0, 1] * 4


@pytest.mark.slow
def test_errors_and_differences_are_those_of_the_widths() -> None:
    """Gaps of 4, 8 and 12 pixels; the truths are 0.1 mm less, and drawn masks a pixel wider."""
    gaps = [4, 8, 12]
    joints = made_up(gaps, jsw_mm=[0.15 * gap - 0.1 for gap in gaps])
    measure = JointSpaceMeasurement(segment=lambda image: flat_joint(gaps[round(float(image.max()) * 100)] + 1))
    figures = measure(joints).figures
    assert figures["masks"]["bias"] == pytest.approx(0.1, abs=1e-3)
    assert (figures["masks"]["mae"], figures["masks"]["largest"]) == pytest.approx((0.1, 0.1), abs=1e-3)
    assert figures["masks"]["limits"] == pytest.approx([0.1, 0.1], abs=1e-3)
    assert figures["predicted_less_masks"]["bias"] == pytest.approx(0.15, abs=1e-3)
    assert figures["predicted"]["bias_interval"] == pytest.approx([0.25, 0.25], abs=1e-3)
    assert "sdd" not in figures["masks"]


def test_the_detectable_difference_is_that_of_the_pairs_of_re_takes() -> None:
    gaps = [4, 5, 7, 10, 10, 10, 12, 12, 13]
    joints = made_up(gaps, spacing=1.0, retake=[0, 1, 2] * 3)
    for row, item in enumerate(joints.items):
        item["joint"] = f"j{row // 3}"
    found = JointSpaceMeasurement(samples=20)(joints).figures["masks"]
    pairs = [1, 3, 2, 0, 0, 0, 0, 1, 1]
    assert found["sdd"] == pytest.approx(1.96 * np.std(pairs, ddof=1), abs=1e-3)
    assert "mae" not in found


def test_wide_narrow_and_overlapping_joints_have_figures_of_their_own() -> None:
    gaps = [10, 8, 0, 1, -4, -6]
    found = JointSpaceMeasurement(samples=20)(made_up(gaps, jsw_mm=[0.15 * gap for gap in gaps])).figures["masks"]
    assert [found[part]["images"] for part in ("wide", "narrow", "overlapping")] == [2, 2, 2]
    assert found["overlapping"]["mae"] == pytest.approx(0.0, abs=1e-3)


def test_joints_that_cannot_be_measured_are_counted_stay_out_and_are_the_worst() -> None:
    joints = made_up([4, 8, 12])
    joints.images[1, 1] = 0.0
    joints.layers[2, 1:] = 0.0
    measured = JointSpaceMeasurement(samples=20)(joints)
    assert (measured.figures["masks"]["missing"], measured.figures["alignment"]["missing"]) == (1, 2)
    assert measured.figures["alignment_less_masks"] == {"images": 1}
    assert set(measured.worst[:2]) == {"n1", "n2"}
    assert math.isnan(measured.per_image["masks"][1])
    assert measured.plots == {}
