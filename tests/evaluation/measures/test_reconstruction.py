from __future__ import annotations

import math

import pytest
import torch
from bundle.evaluation.measures.reconstruction import ReconstructionQuality
from bundle.io.phantom_lists import phantom_items
from bundle.physics.harmonic import separate
from bundle.physics.radiograph import reconstruct
from bundle.separation.transforms.loading import LoadJointd
from bundle.statistics.measured import SeparatedJoints

SIZE = 64


@pytest.fixture(scope="module")
def joints() -> SeparatedJoints:
    """Three phantoms; the soft tissue of the second is too bright by 0.1."""
    items = phantom_items(3, 0, SIZE)
    images = torch.stack([LoadJointd(SIZE)(item)["image"] for item in items])
    layers = separate(images[:, :1], images[:, 1:])
    layers[1, 0] = (layers[1, 0] + 0.1).clamp(max=1.0)
    return SeparatedJoints(items, images, layers)


def test_figures_are_means_over_the_images_of_what_the_definitions_say(joints: SeparatedJoints) -> None:
    measured = ReconstructionQuality(samples=50)(joints)
    errors = [
        ((reconstruct(layers) - image[:1]) ** 2).mean()
        for layers, image in zip(joints.layers, joints.images, strict=True)
    ]
    assert measured.per_image["frame_mse"].tolist() == pytest.approx([float(error) for error in errors], abs=1e-9)
    assert measured.figures["frame_mse"] == pytest.approx(float(sum(errors)) / 3, rel=1e-5)
    assert measured.figures["psnr_lowest"] == pytest.approx(measured.per_image["psnr"].min())
    assert {"psnr", "mse", "ssim", "frame_psnr", "frame_ssim", "pixel_row_frechet_distance"} <= set(measured.figures)
    low, high = measured.figures["mse_interval"]
    assert low <= measured.figures["mse"] <= high


def test_the_worst_joint_comes_first(joints: SeparatedJoints) -> None:
    measured = ReconstructionQuality(samples=2)(joints)
    assert measured.worst[0] == joints.items[1]["name"]
    assert sorted(measured.worst) == sorted(item["name"] for item in joints.items)
    assert measured.per_image["psnr"].drop(1).min() > 90.0


def test_a_prediction_that_is_not_finite_is_the_worst_possible(joints: SeparatedJoints) -> None:
    layers = joints.layers.clone()
    layers[2] = math.nan
    measured = ReconstructionQuality(samples=2)(SeparatedJoints(joints.items, joints.images, layers))
    assert measured.worst[0] == joints.items[2]["name"]
    assert measured.figures["psnr_lowest"] == -math.inf
