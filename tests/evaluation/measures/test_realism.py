"""Realism where the answer is known: the same image twice, and layers that cannot pass for a joint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bundle.evaluation.measures.crops import as_seen, cut_out, shifted
from bundle.evaluation.measures.realism import Realism, Trial, synthetic
from bundle.joint import MCP
from bundle.statistics.adversary import FitSettings
from bundle.statistics.measured import SeparatedJoints
from tests.evaluation.measures.phantom_joints import phantom_joints

SPACING = MCP.spacing_mm

SIZE = 64
QUICK = {
    "fits": 1,
    "fit_settings": FitSettings(epochs=30, batch_size=8, learning_rate=1e-2),
    "channels": (8, 8, 16),
    "shift": 1,
}


@pytest.fixture(scope="module")
def training() -> SeparatedJoints:
    return phantom_joints(24, 0)


@pytest.fixture(scope="module")
def test_joints() -> SeparatedJoints:
    return phantom_joints(12, 1)


def hollow(joints: SeparatedJoints) -> SeparatedJoints:
    """Bones with all of the attenuation in their masks: where one has moved away, there is nothing."""
    masks = (joints.images[:, 1:] > 0.5).float()
    soft = joints.images[:, :1] * (1.0 - masks.amax(dim=1, keepdim=True))
    return replace(joints, layers=torch.cat([soft, joints.images[:, :1] * masks], dim=1))


@pytest.mark.long
def test_an_image_against_itself_is_a_coin_and_layers_that_do_not_compose_are_found(
    training: SeparatedJoints, test_joints: SeparatedJoints
) -> None:
    still = Trial(motion_mm=0.0)
    exact = Realism(trials=(still,), floors=False, **QUICK)(training, test_joints).figures
    assert exact["accuracy_0mm"] == pytest.approx(0.5, abs=0.05)
    assert exact["auc_0mm"] == pytest.approx(0.5, abs=0.02)
    darker = [replace(joints, layers=0.7 * joints.layers) for joints in (training, test_joints)]
    found = Realism(trials=(still,), floors=False, **QUICK)(*darker).figures
    assert found["accuracy_0mm"] > 0.9


@pytest.mark.long
def test_black_gaps_are_found_and_listed(training: SeparatedJoints, test_joints: SeparatedJoints) -> None:
    measure = Realism(trials=(Trial(motion_mm=1.5),), **QUICK)
    measured = measure(hollow(training), hollow(test_joints))
    figures, table = measured.figures, measured.per_image
    assert figures["accuracy_1.5mm"] > 0.8
    low, high = figures["accuracy_1.5mm_interval"]
    assert low <= figures["accuracy_1.5mm"] <= high
    assert table["accuracy"].mean() == pytest.approx(figures["accuracy_1.5mm"])
    surest = table.sort_values("synthetic_score", ascending=False)["name"]
    assert measured.worst == list(surest) and set(surest) == {item["name"] for item in test_joints.items}
    assert list(measured.plots) == ["realism_roc"]
    groups = table.groupby("overlapping")["accuracy"].mean()
    assert figures["accuracy_1.5mm_overlapping"] == pytest.approx(groups[True])
    assert figures["accuracy_1.5mm_separate"] == pytest.approx(groups[False])
    floors = ("real", "still", "moved", "outlines")
    assert {f"{figure}_{floor}" for figure in ("accuracy", "auc") for floor in floors} <= set(figures)


@pytest.mark.long
def test_a_seed_repeats_every_figure(training: SeparatedJoints, test_joints: SeparatedJoints) -> None:
    quick = {**QUICK, "fits": 2, "fit_settings": FitSettings(epochs=1), "trials": (Trial(),)}
    first, again, other = (Realism(seed=seed, **quick)(training, test_joints) for seed in (3, 3, 4))
    assert first.figures == again.figures
    assert first.per_image.equals(again.per_image)
    assert not first.per_image.equals(other.per_image)
    assert first.figures["accuracy_std_0.5mm"] >= 0.0


def test_the_first_of_the_trials_at_the_native_grid_has_140_pixels_less_the_border() -> None:
    frame = torch.rand(2, 1, 256, 256)
    assert as_seen(frame, torch.full((2,), SPACING), native=True).shape == (2, 1, 140 - 16, 140)
    assert as_seen(frame, torch.full((2,), SPACING), native=False).shape == (2, 1, 256 - 30, 256)
    coarse = frame[..., :64, :64]
    assert torch.equal(as_seen(coarse, torch.full((2,), 0.3), native=True), coarse[..., 4:-4, :])


def test_the_motion_is_of_the_asked_size_and_the_grain_is_drawn(training: SeparatedJoints) -> None:
    some = SeparatedJoints(training.items[:4], training.images[:4], training.layers[:4])
    still = synthetic(some, 0.0, np.random.RandomState(0))
    assert torch.allclose(still, some.images[:, :1], atol=1e-5)
    near, far = (synthetic(some, mm, np.random.RandomState(0)) - still for mm in (0.1, 1.0))
    assert 0 < near.abs().mean() < far.abs().mean()
    parts = synthetic(some, 1.0, np.random.RandomState(0), batch=3)
    assert torch.allclose(parts, far + still, atol=1e-6)


def test_shifting_cuts_windows_of_one_size_at_all_places() -> None:
    column = torch.arange(9.0)[:, None].expand(9, 9)[None, None]
    random = torch.Generator().manual_seed(0)
    cut = [shifted(column, 2, random) for _ in range(40)]
    assert {window.shape for window in cut} == {(1, 1, 5, 5)}
    assert {float(window[0, 0, 0, 0]) for window in cut} == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_a_window_moves_the_radiograph_as_a_whole() -> None:
    frames = torch.rand(2, 1, 12, 10)
    still, moved = (
        cut_out(frames, places, 3) for places in (torch.zeros(2, 2), torch.tensor([[3.0, -2.0], [0.0, 1.0]]))
    )
    assert torch.equal(still, frames[..., 3:-3, 3:-3])
    assert torch.equal(moved[0], frames[0, :, 5:11, 0:4])
    assert torch.equal(moved[1], frames[1, :, 2:8, 3:7])


def test_bones_that_move_together_keep_their_place_to_each_other(training: SeparatedJoints) -> None:
    some = replace(
        training,
        items=training.items[:4],
        images=training.images[:4],
        layers=torch.cat([torch.zeros(4, 1, SIZE, SIZE), training.images[:4, 1:]], dim=1),
        truth=None,
    )
    apart, joined = (synthetic(some, 1.0, np.random.RandomState(0), together=together) for together in (False, True))
    area, other, still = (float((made > 0.5).float().mean()) for made in (joined, apart, some.images[:, 1:].amax(1)))
    assert abs(area - still) < abs(other - still)


@pytest.mark.long
def test_the_place_of_a_joint_in_its_frame_is_what_a_floor_shows(
    training: SeparatedJoints, test_joints: SeparatedJoints
) -> None:
    """Perfect layers, every joint at one place of its frame: only what has moved by itself can be told."""
    joints = [replace(some, layers=truth) for some in (training, test_joints) if (truth := some.truth) is not None]
    trials = (Trial(motion_mm=3.0), Trial(motion_mm=3.0, together=True))
    figures = Realism(trials=trials, **QUICK)(*joints).figures
    assert figures["accuracy_3mm_together"] < figures["accuracy_3mm"]
    assert figures["accuracy_outlines"] > 0.6
