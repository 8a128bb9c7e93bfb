"""Figures of the joint space width, on phantoms and on made-up joints whose agreement can be counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from bundle.evaluation.measures.joint_space import TRUE, JointSpaceMeasurement, _known
from bundle.io.phantom_lists import destroyed_items, moved_items, phantom_items
from bundle.measurement.joint_space import NO_AXIS
from bundle.phantoms.sampling import sample_parameters
from bundle.phantoms.surfaces import true_joint_space
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
    found = measured.figures["surfaces"]
    assert found["mae"] <= 0.05
    assert found["sdd"] <= 0.1
    assert found["icc"] > 0.99 and found["retakes_icc"] > 0.99
    assert found["limits"][0] < found["bias"] < found["limits"][1]
    assert "mae" not in measured.figures["outlines"] and measured.figures["outlines"]["sdd"] <= 0.1
    assert set(measured.plots) == {"surfaces_bland_altman"}
    assert measured.per_image["retake"].tolist() == [0, 1] * 4


def test_the_true_width_of_a_phantom_does_not_depend_on_the_number_of_pixels() -> None:
    small, usual = (_known(phantom_items(1, 11, size)[0], size) for size in (64, 256))
    assert small == usual and usual[TRUE] == true_joint_space(sample_parameters(11_000_000))


GAPS = [10, 12, 14, 16, 18]
TRUTH = [0.15 * gap - 0.1 for gap in GAPS]


@pytest.mark.slow
def test_errors_are_those_against_the_truth_and_between_masks() -> None:
    joints = made_up(GAPS, joint_space_mm=TRUTH)
    measure = JointSpaceMeasurement(samples=20, segment=lambda image: flat_joint(GAPS[round(float(image.max()) * 100)]))
    measured = measure(joints)
    rows, figures = measured.per_image, measured.figures["surfaces"]
    error = rows["surfaces"].to_numpy() - np.array(TRUTH)
    assert error == pytest.approx(np.full(5, 0.1), abs=0.06)
    assert figures["bias"] == pytest.approx(error.mean()) and figures["mae"] == pytest.approx(np.abs(error).mean())
    assert figures["largest"] == pytest.approx(np.abs(error).max())
    assert figures["refused"] == 0.0 and figures["reasons"] == {}
    assert measured.figures["predicted_less_surfaces"]["mae"] == pytest.approx(0.0, abs=1e-6)
    assert rows["outlines"].to_numpy() == pytest.approx(0.15 * np.array(GAPS), abs=1e-3)
    assert [figures[part]["images"] for part in ("wide", "narrow", "closed")] == [5, 0, 0]


@pytest.mark.slow
def test_the_detectable_difference_is_that_of_the_pairs_of_re_takes() -> None:
    gaps = [10, 11, 13, 16, 16, 16, 18, 18, 19]
    joints = made_up(gaps, retake=[0, 1, 2] * 3)
    for row, item in enumerate(joints.items):
        item["joint"] = f"j{row // 3}"
    found = JointSpaceMeasurement(samples=20)(joints).figures["outlines"]
    pairs = 0.15 * np.array([1, 3, 2, 0, 0, 0, 0, 1, 1])
    assert found["sdd"] == pytest.approx(1.96 * np.std(pairs, ddof=1), abs=1e-3)
    within = [np.var(0.15 * np.array(gaps[row : row + 3]), ddof=1) for row in (0, 3, 6)]
    assert found["sdd_by_finger"] == {"index": pytest.approx(1.96 * np.sqrt(2 * np.mean(within)), abs=1e-3)}


@pytest.mark.slow
def test_the_repeatability_over_visits_is_that_within_joints() -> None:
    gaps = [10, 11, 12, 10, 10, 18]
    joints = made_up(gaps)
    for row, item in enumerate(joints.items):
        item["joint"] = f"j{row // 3}"
    found = JointSpaceMeasurement(samples=20)(joints).figures["outlines"]
    assert found["visits_joints"] == 2
    assert found["visits_sd"] == pytest.approx(
        np.median([np.std([1.5, 1.65, 1.8], ddof=1), np.std([1.5, 1.5, 2.7], ddof=1)])
    )
    assert found["gross"] == pytest.approx(1 / 6)


@pytest.mark.slow
def test_refused_joints_are_counted_by_reason_stay_out_and_are_the_worst() -> None:
    joints = made_up([10, 12, 14])
    joints.images[1, 1] = 0.0
    measured = JointSpaceMeasurement(samples=20)(joints)
    figures = measured.figures["surfaces"]
    assert figures["refused"] == pytest.approx(1 / 3)
    assert figures["reasons"] == {NO_AXIS: 1}
    assert measured.worst[0] == "n1"
    assert measured.per_image["surfaces"].isna().tolist() == [False, True, False]


@pytest.mark.slow
def test_joints_in_moved_frames_are_measured_against_their_unmoved_frame() -> None:
    frames = [[0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 20.0]]
    items = moved_items(phantom_items(2, 11), frames)
    loaded = [LoadJointd()(item) for item in items]
    images, layers = (torch.stack([joint[key] for joint in loaded]) for key in ("image", "label"))
    measured = JointSpaceMeasurement(samples=20)(SeparatedJoints(items, images, layers, layers))
    rows, figures = measured.per_image, measured.figures["surfaces"]
    assert rows["frame"].tolist() == ["unmoved", "shifted", "rotated"] * 2
    assert "visits_sd" not in figures
    for frame in ("shifted", "rotated"):
        widths = [rows.loc[rows["frame"] == kind, "surfaces"].to_numpy() for kind in (frame, "unmoved")]
        assert figures[frame]["change"] == pytest.approx(float(np.abs(widths[0] - widths[1]).mean()), abs=1e-6)
        assert 0.0 < figures[frame]["change"] <= 0.05 and figures[frame]["mae"] <= 0.05
        assert figures[frame]["refused"] == 0.0
    assert figures["unmoved"]["change"] == 0.0


@pytest.mark.slow
def test_destroyed_joints_are_refused() -> None:
    items = destroyed_items(phantom_items(3, 12))
    loaded = [LoadJointd()(item) for item in items]
    images, layers = (torch.stack([joint[key] for joint in loaded]) for key in ("image", "label"))
    measured = JointSpaceMeasurement(samples=20)(SeparatedJoints(items, images, layers, layers))
    assert measured.figures["surfaces"]["refused"] == 1.0
    assert TRUE not in measured.per_image
