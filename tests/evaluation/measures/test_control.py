"""E6 on phantoms, whose layers are known, on separators that fail in known ways, and its figures against loops."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.evaluation.measures.control import JointSpaceControl, plot_changes
from bundle.io.lists import read_datalist
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.radiograph import partition
from bundle.separation.transforms.loading import LoadJointd
from bundle.statistics.measured import Measured, SeparatedJoints
from torch import Tensor

SPACING = MCP.spacing_mm

WIDTHS = (1.6, 0.4, -0.4)
QUICK = JointSpaceControl(changes_mm=(0.02, -0.05), random_changes=2, samples=50)


@functools.cache
def phantoms() -> SeparatedJoints:
    """Three phantoms with their true layers."""
    drawn = [render(sample_parameters(seed, outline_gap_mm=jsw)) for seed, jsw in enumerate(WIDTHS)]
    names = [{"name": f"p{i}", "joint": f"p{i}", "finger": p.parameters.finger} for i, p in enumerate(drawn)]
    items = [{**name, "side": "left", "spacing": SPACING} for name in names]
    images = torch.stack([torch.cat([phantom.image, phantom.masks]) for phantom in drawn])
    return SeparatedJoints(items, images, torch.stack([phantom.layers for phantom in drawn]))


@functools.cache
def of_true_layers() -> Measured:
    return QUICK(phantoms())


def with_shadows(share: float) -> Tensor:
    """Layers of a separator that leaves this share of each bone's attenuation in the soft tissue."""
    layers = phantoms().layers
    kept = torch.cat(
        [partition(bone[:, None], torch.full_like(bone[:, None], 1.0 - share)) for bone in layers[:, 1:].unbind(1)],
        dim=1,
    )
    left = 1.0 - (1.0 - layers[:, :1]) * ((1.0 - layers[:, 1:]) / (1.0 - kept)).prod(dim=1, keepdim=True)
    return torch.cat([left, kept], dim=1)


@pytest.mark.long
def test_true_layers_of_phantoms_move_as_asked() -> None:
    figures = of_true_layers().figures
    assert figures["failures"] == 0
    assert abs(figures["bias"]) <= 0.01
    assert figures["mae"] <= 0.01
    assert figures["largest"] <= 0.02


@pytest.mark.long
def test_the_weight_free_separator_moves_as_asked() -> None:
    joints = phantoms()
    figures = QUICK(replace(joints, layers=separate(joints.images[:, :1], joints.images[:, 1:]))).figures
    assert figures["failures"] == 0
    assert figures["mae"] <= 0.02


def test_the_asked_change_of_the_masks_is_the_asked_one() -> None:
    assert of_true_layers().figures["masks"]["mae"] <= 0.003


@pytest.mark.long
def test_shadows_left_in_the_soft_tissue_cost_control() -> None:
    control = replace(QUICK, changes_mm=(0.3,), random_changes=0)
    errors = [control(replace(phantoms(), layers=with_shadows(share))).figures for share in (0.0, 0.2)]
    assert errors[1]["mae"] > 0.02 > errors[0]["mae"]
    assert errors[1]["bias"] < -0.02


@pytest.mark.long
def test_a_separator_without_bones_has_no_control() -> None:
    joints = phantoms()
    layers = torch.cat([joints.images[:, :1], torch.zeros_like(joints.layers[:, 1:])], dim=1)
    table = QUICK(replace(joints, layers=layers)).per_image
    assert np.abs(table["measured"]).max() <= 0.005


@pytest.mark.slow
def test_a_diverged_separator_fails_every_trial() -> None:
    joints = phantoms()
    measured = QUICK(replace(joints, layers=torch.full_like(joints.layers, torch.nan)))
    assert measured.figures["failures"] == measured.figures["trials"] == 12
    assert math.isnan(measured.figures["mae"])
    assert measured.figures["mae_with_failures"] == pytest.approx(np.abs(measured.per_image["asked"]).mean())
    assert measured.plots["bland_altman"] is not None


@pytest.mark.slow
def test_sideways_motion_and_rotation_do_not_disturb_the_measurement() -> None:
    control = replace(QUICK, changes_mm=(0.1,), random_changes=1, sideways_mm=0.3, rotation_deg=2.0)
    figures = control(phantoms()).figures
    assert figures["failures"] == 0
    assert figures["mae"] <= 0.02


def test_figures_are_those_of_a_loop_over_the_trials() -> None:
    measured = of_true_layers()
    errors = [row.measured - row.asked for row in measured.per_image.itertuples()]
    bias = sum(errors) / len(errors)
    deviation = math.sqrt(sum((error - bias) ** 2 for error in errors) / (len(errors) - 1))
    assert measured.figures["bias"] == pytest.approx(bias)
    assert measured.figures["limits"] == pytest.approx([bias - 1.96 * deviation, bias + 1.96 * deviation])
    assert measured.figures["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors))
    low, high = measured.figures["bias_interval"]
    assert low <= bias <= high
    for row in measured.per_image.itertuples():
        assert row.measured - row.asked == pytest.approx(row.lower_error - row.upper_error, abs=1e-6)


def test_trials_are_grouped_by_finger_and_by_change() -> None:
    figures = of_true_layers().figures
    assert list(figures["by_change"]) == ["-0.05", "0.02"]
    assert figures["random"]["trials"] == 6
    assert sum(group["trials"] for group in figures["by_finger"].values()) == 12
    json.dumps(figures)


@pytest.mark.long
def test_the_seed_makes_the_measure() -> None:
    one = replace(QUICK, changes_mm=())
    tables = [replace(one, seed=seed)(phantoms()).per_image for seed in (0, 0, 1)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert (tables[0]["asked"] != tables[2]["asked"]).all()
    assert one(phantoms()).figures["settings"]["seed"] == 0


@pytest.mark.long
def test_other_layers_are_asked_for_the_same_changes() -> None:
    joints = phantoms()
    other = QUICK(replace(joints, layers=with_shadows(0.1))).per_image
    columns = ["name", "asked", "upper_share", "noise_texture"]
    pd.testing.assert_frame_equal(other[columns], of_true_layers().per_image[columns])


@pytest.mark.slow
def test_the_worst_come_first_and_failures_before_them() -> None:
    joints = phantoms()
    layers = joints.layers.clone()
    layers[1] = torch.nan
    layers[2] = with_shadows(0.3)[2]
    assert list(QUICK(replace(joints, layers=layers)).worst) == ["p1", "p2", "p0"]


def test_the_plot_shows_every_trial_that_was_measured() -> None:
    axes = plot_changes(of_true_layers().per_image).axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert sum(len(line.get_xdata()) for line in dots) == 12
    assert axes.get_ylabel() == "measured - requested (mm)"


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="joints and changes must be at least 1 each"):
        replace(QUICK, changes_mm=(), random_changes=0)(phantoms())


@pytest.mark.long
def test_real_joints_move_as_asked(joint_data: Path) -> None:
    items = [{**item, "spacing": SPACING} for item in read_datalist(joint_data, "LS_K1_all_test")[::40]]
    images = torch.stack([LoadJointd()(item)["image"] for item in items]).float()
    layers = separate(images[:, :1], images[:, 1:])
    figures = replace(QUICK, random_changes=1)(SeparatedJoints(items, images, layers)).figures
    assert figures["failures"] == 0
    assert figures["mae"] <= 0.03
    assert abs(figures["bias"]) <= 0.01
