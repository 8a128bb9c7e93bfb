from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from bundle.measurement import outline_distance
from bundle.phantoms import render, sample_parameters
from bundle.quality import corrupt, measure
from bundle.quality.edges import Outline, edge_width, gradients, limited, outline_fit, straight_edge
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

PITCH = 0.16
SPACING = 21 / 256


@cache
def joint(seed: int) -> Tensor:
    phantom = render(sample_parameters(seed))
    return torch.cat([phantom.image, phantom.masks])


def disc(right: float = 0.0) -> NDArray[np.float64]:
    """Signed distance to a disc with a radius of 20 pixels, positive inside."""
    down, across = np.mgrid[:96, :96] - 47.5
    return 20.0 - np.hypot(down, across - right)


def bone(blur: float) -> NDArray[np.float64]:
    image: NDArray[np.float64] = ndimage.gaussian_filter((disc() > 0.0).astype(float), blur)
    return image


def outline(right: float = 0.0) -> Outline:
    return Outline(outline_distance(disc(right) > 0.0), np.full((96, 96), -np.inf))


@pytest.mark.parametrize("shift", [0, 3, 6, 12])
def test_an_outline_fits_best_where_its_edges_are(shift: int) -> None:
    """Compared with the mean gradient along the outline, at each shift by itself."""
    gradient = limited(gradients(bone(1.0)))
    own = outline(shift)

    def along(down: int, right: int) -> float:
        field = np.roll(gradient, (-down, -right), (1, 2))[:, own.rows, own.columns]
        return float((field * own.inward).sum(axis=0).mean())

    reach = round(3.0 / PITCH)
    shifts = [(down, right) for down in range(-reach, reach + 1) for right in range(-reach, reach + 1)]
    best = max(along(*place) for place in shifts if math.hypot(*place) * PITCH <= 3.0)
    near = max(along(*place) for place in shifts if math.hypot(*place) * PITCH <= 0.5)
    assert outline_fit(gradient, own, PITCH) == pytest.approx(max(near, 0.0) / best, abs=1e-6)
    assert (outline_fit(gradient, own, PITCH) > 0.99) == (shift <= 3)


def test_edges_do_not_fit_nothing() -> None:
    empty = Outline(np.full((96, 96), -np.inf), np.full((96, 96), -np.inf))
    assert math.isnan(outline_fit(limited(gradients(bone(1.0))), empty, PITCH))
    assert math.isnan(edge_width(bone(1.0), (empty, empty), PITCH))
    assert outline_fit(np.zeros((2, 96, 96)), outline(), PITCH) == 0.0


@pytest.mark.parametrize("blur", [1.0, 1.5, 2.0, 2.5])
def test_the_width_of_an_edge_is_that_of_its_blur(blur: float) -> None:
    width = edge_width(bone(blur), (outline(),), PITCH)
    assert width == pytest.approx(blur * PITCH, rel=0.12)
    assert edge_width(3.0 * bone(blur), (outline(),), PITCH) == pytest.approx(width)


@pytest.mark.parametrize("degrees", [0.0, 20.0, 90.0, 140.0])
def test_a_straight_edge_through_a_bone_is_found_at_any_angle(degrees: float) -> None:
    angle = math.radians(degrees)
    down, right = np.mgrid[:96, :96] - 47.5
    beyond = math.cos(angle) * right + math.sin(angle) * down > 10.0
    grain = np.random.RandomState(0).normal(0.0, 0.02, (96, 96))
    image = 0.2 + 0.5 * bone(1.0) + grain
    masks = np.stack([disc() > 0.0, np.zeros((96, 96), bool)])
    whole = straight_edge(image, masks, PITCH)
    cut = straight_edge(np.where(beyond, 0.0, image), masks & ~beyond, PITCH)
    assert cut > 0.7 > 0.5 > whole
    beside = math.cos(angle) * right + math.sin(angle) * down > 28.0
    assert straight_edge(np.where(beside, 0.0, image), masks, PITCH) < 0.5


@pytest.mark.slow
def test_a_mask_beside_its_bone_fits_worse_than_one_on_it() -> None:
    for seed in (0, 7):
        right = measure(joint(seed), SPACING)
        assert min(right["lower_fit"], right["upper_fit"]) > 0.9
        for name in ("lower", "upper"):
            wrong = measure(*corrupt(f"{name}_mask_shifted_2mm", joint(seed), SPACING, seed))
            assert wrong[f"{name}_fit"] < 0.8 * right[f"{name}_fit"]


@pytest.mark.slow
def test_blur_widens_the_edges_of_bones() -> None:
    widths = [measure(*corrupt(name, joint(0), SPACING, 0))["edge_width"] for name in ("blur_0.3mm", "blur_0.6mm")]
    assert measure(joint(0), SPACING)["edge_width"] < widths[0] < widths[1] == pytest.approx(0.6, abs=0.12)
