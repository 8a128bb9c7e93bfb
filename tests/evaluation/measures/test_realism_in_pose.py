"""Realism in the poses of other visits: what compares two radiographs, what is left in the tissue, what is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.evaluation.measures.discrimination import Answer
from bundle.evaluation.measures.realism_in_pose import RealismInPose, with_ghost
from bundle.io.phantom_lists import phantom_items
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import retake, sample_parameters
from bundle.physics.radiograph import attenuation, reconstruct
from bundle.statistics.adversary import FitSettings
from bundle.statistics.measured import SeparatedJoints
from tests.evaluation.measures.phantom_joints import phantom_joints

QUICK = {"fits": 1, "fit_settings": FitSettings(epochs=10, batch_size=8, learning_rate=1e-2), "crop_mm": 1.0}


def visits(count: int, seed: int, size: int = 96) -> SeparatedJoints:
    """Phantoms with two radiographs each, with their true layers."""
    items = phantom_items(count, seed, size, takes=2)
    made = [render(retake(sample_parameters(i["seed"], size=size, spacing=i["spacing"]), i["retake"])) for i in items]
    images = torch.stack([torch.cat([phantom.image, phantom.masks]) for phantom in made])
    layers = torch.stack([phantom.layers for phantom in made])
    return SeparatedJoints(items, images, layers, layers)


def test_a_ghost_leaves_the_radiograph_and_a_tenth_of_the_bones_in_the_tissue() -> None:
    joints = phantom_joints(2, 0)
    ghost, _ = with_ghost(joints.images, joints.layers, 0.1)
    assert torch.allclose(reconstruct(ghost), reconstruct(joints.layers), atol=1e-5)
    before, after = attenuation(joints.layers), attenuation(ghost)
    assert torch.allclose(after[:, 1:], 0.9 * before[:, 1:], atol=1e-4)
    assert torch.allclose(after[:, 0], before[:, 0] + 0.1 * before[:, 1:].sum(dim=1), atol=1e-4)


@pytest.mark.long
def test_what_is_hollow_is_found_and_real_against_real_is_a_coin() -> None:
    def hollow(joints: SeparatedJoints) -> SeparatedJoints:
        masks = (joints.images[:, 1:] > 0.5).float()
        soft = joints.images[:, :1] * (1.0 - masks.amax(dim=1, keepdim=True))
        return replace(joints, layers=torch.cat([soft, joints.images[:, :1] * masks], dim=1))

    training, test = hollow(visits(16, 0)), hollow(visits(12, 1))
    measured = RealismInPose(trials=("layers", "real"), **QUICK)(training, test)
    figures = measured.figures
    assert figures["accuracy_layers"] > 0.75 and figures["paired_accuracy_layers"] > 0.75
    assert abs(figures["accuracy_real"] - 0.5) < 0.2
    assert figures["test_radiographs"] == len(measured.worst) <= 24
    assert {"accuracy_layers_overlapping", "accuracy_layers_separate"} <= figures.keys()
    assert measured.per_image["trial"].value_counts().to_dict() == dict.fromkeys(
        ("layers", "real"), len(measured.worst)
    )


def test_a_set_in_which_all_joints_overlap_is_measured_as_one_group() -> None:
    joints = visits(6, 3)
    images = joints.images.clone()
    images[:, 1, 40:], images[:, 2, :56] = 1.0, 1.0
    joints = replace(joints, images=images)
    count = len(joints)
    answer = Answer(np.full((1, 2 * count), 0.7), np.repeat([0, 1], count), joints.joints * 2)
    figures = RealismInPose(**QUICK)._by_overlap(answer, joints)
    assert figures["accuracy_layers_overlapping"] == pytest.approx(0.5)
    assert "accuracy_layers_separate" not in figures


def test_joints_with_one_radiograph_and_unknown_trials_are_refused() -> None:
    joints = phantom_joints(3, 0)
    with pytest.raises(InputError, match="joints with several radiographs"):
        RealismInPose(trials=("layers",), **QUICK)(joints, joints)
    with pytest.raises(InputError, match=r"trials: \['gohst'\]"):
        RealismInPose(trials=("gohst",), **QUICK)(joints, joints)


@pytest.mark.slow
def test_poses_follow_from_the_seed() -> None:
    joints = visits(6, 2)
    posed = [RealismInPose(seed=seed)._posed(joints, 0) for seed in (0, 0, 1)]
    assert torch.equal(posed[0].poses.motion.translation, posed[1].poses.motion.translation)
    assert posed[0].seeds == posed[1].seeds != posed[2].seeds
    assert np.array_equal(posed[0].poses.radiographs, posed[1].poses.radiographs)
