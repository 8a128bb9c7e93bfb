"""Shadow detectability where the answer is known: true soft tissue of phantoms, and bones that were left in."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from bundle.evaluation.measures.detectability import ShadowDetectability
from bundle.statistics.adversary import FitSettings
from bundle.statistics.measured import SeparatedJoints
from scipy.ndimage import distance_transform_edt
from tests.evaluation.measures.phantom_joints import phantom_joints

SIZE = 64
QUICK: dict[str, Any] = {
    "fit_settings": FitSettings(epochs=12, batch_size=4, learning_rate=1e-2),
    "features": (8,) * 6,
    "fits": 1,
}


@pytest.fixture(scope="module")
def training() -> SeparatedJoints:
    return phantom_joints(32, 0)


@pytest.fixture(scope="module")
def test_joints() -> SeparatedJoints:
    return phantom_joints(16, 1)


def bones_left_in(joints: SeparatedJoints) -> SeparatedJoints:
    return replace(joints, layers=joints.images[:, :1].expand(-1, 3, -1, -1))


@pytest.mark.long
def test_true_soft_tissue_shows_no_more_than_shape_and_radiographs_show_the_bones(
    training: SeparatedJoints, test_joints: SeparatedJoints
) -> None:
    measure = ShadowDetectability(**QUICK)
    clean = measure(training, test_joints).figures
    shown = measure(bones_left_in(training), bones_left_in(test_joints)).figures
    assert clean["above_shape"] < 0.05
    assert shown["auc_soft"] > 0.95
    assert shown["above_shape"] > 0.1 and shown["above_shape_interval"][0] > 0.08
    for same in ("auc_shape", "auc_outline", "pooled_auc_shape"):
        assert clean[same] == shown[same], "what knows nothing of the layers does not depend on them"


@pytest.mark.long
def test_figures_are_means_of_the_table_with_intervals_around_them(
    training: SeparatedJoints, test_joints: SeparatedJoints
) -> None:
    measure = ShadowDetectability(outline=False, **{**QUICK, "fit_settings": FitSettings(epochs=1)})
    measured = measure(training, test_joints)
    table, figures = measured.per_image, measured.figures
    assert list(table["name"]) == [item["name"] for item in test_joints.items]
    assert figures["auc_soft"] == pytest.approx(table["auc_soft"].mean())
    assert figures["above_shape"] == pytest.approx((table["auc_soft"] - table["auc_shape"]).mean())
    for name in ("auc_soft", "auc_shape", "above_shape"):
        low, high = figures[f"{name}_interval"]
        assert low <= figures[name] <= high
    assert measured.worst == list(table.sort_values("auc_soft", ascending=False)["name"])
    assert not any("outline" in name for name in figures)
    again = measure(training, test_joints)
    assert again.figures == figures and again.per_image.equals(table)


@pytest.mark.long
def test_figures_are_means_over_fits_and_more_fits_begin_with_the_same(
    training: SeparatedJoints, test_joints: SeparatedJoints
) -> None:
    quick = {**QUICK, "outline": False, "fit_settings": FitSettings(epochs=1)}
    one, two = (ShadowDetectability(**{**quick, "fits": fits})(training, test_joints).figures for fits in (1, 2))
    assert "auc_soft_std" not in one
    second = 2.0 * two["auc_soft"] - one["auc_soft"]
    assert two["auc_soft_std"] == pytest.approx(np.std([one["auc_soft"], second], ddof=1), abs=1e-9)
    assert two["auc_soft_std"] > 0.0
    assert two["auc_shape"] == one["auc_shape"]


def test_the_band_is_bone_and_tissue_near_the_outline_without_penumbra_and_air() -> None:
    spacing, size = 0.25, 64
    y, x = np.mgrid[:size, :size] - 31.5
    disc = np.hypot(x, y) < 12
    image = torch.zeros(1, 3, size, size)
    image[0, 0] = torch.from_numpy(np.where(x > -14, 0.3, 0.0))  # air on the left
    image[0, 1] = torch.from_numpy(disc.astype(float))
    joint = SeparatedJoints([{"name": "disc", "joint": "disc", "finger": "ring", "spacing": spacing}], image, image)
    asked = ShadowDetectability(size=size, band_mm=1.0, penumbra_mm=0.5)._questions(joint)
    inside, outside = distance_transform_edt(disc) - 0.5, distance_transform_edt(~disc) - 0.5
    tissue = ~disc & (outside * spacing > 0.5) & (outside * spacing < 1.5) & (x > -14)
    expected = (disc & (inside * spacing < 1.0)) | tissue
    assert np.array_equal(asked.bone[0, 0].numpy() > 0, disc)
    assert np.array_equal(asked.counts[0, 0].numpy(), expected)


@pytest.mark.slow
def test_an_image_without_tissue_in_the_band_is_not_defined_and_left_out(
    training: SeparatedJoints, test_joints: SeparatedJoints
) -> None:
    images = test_joints.images.clone()
    images[0, 1:] = 1.0
    measure = ShadowDetectability(outline=False, **{**QUICK, "fit_settings": FitSettings(epochs=1)})
    measured = measure(training, replace(test_joints, images=images))
    assert math.isnan(measured.per_image["auc_soft"][0])
    assert not math.isnan(measured.figures["auc_soft"])
    assert test_joints.items[0]["name"] not in measured.worst


def test_blurring_takes_out_the_grain_and_keeps_the_level(test_joints: SeparatedJoints) -> None:
    sharp, blurred = (ShadowDetectability(blur_mm=blur)._questions(test_joints).soft for blur in (0.0, 1.0))
    assert torch.allclose(sharp.mean(dim=(-2, -1)), blurred.mean(dim=(-2, -1)), rtol=0.05)
    assert (blurred.diff(dim=-1).abs().mean() < 0.7 * sharp.diff(dim=-1).abs().mean()).item()


@pytest.mark.long
def test_the_floor_is_the_same_segmenter_on_the_true_soft_tissue(
    training: SeparatedJoints, test_joints: SeparatedJoints
) -> None:
    measure = ShadowDetectability(outline=False, **QUICK)
    exact = measure(training, test_joints).figures
    assert exact["auc_true"] == exact["auc_soft"] and exact["above_true"] == 0.0
    shown = measure(bones_left_in(training), bones_left_in(test_joints)).figures
    assert shown["auc_true"] == exact["auc_true"]
    assert shown["above_true"] == pytest.approx(shown["auc_soft"] - exact["auc_true"], abs=1e-6)
    assert shown["above_true"] > 0.05
    unknown = [replace(joints, truth=None) for joints in (training, test_joints)]
    assert "auc_true" not in measure(*unknown).figures
