"""Hands in heatmaps: the mean hand is found wherever and however it lies, and nowhere in noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.hands.decoding import Peaks, fit_hand, fit_hands, peaks
from bundle.hands.landmarks import LANDMARKS, MEAN_HAND, Array, apply, inverse, is_mirrored, similarity
from bundle.hands.losses import target_heatmaps
from hypothesis import given
from hypothesis import strategies as st
from tests.hands.hand_drawings import placed
from torch import Tensor


def heatmaps(*hands: Array, seen: list[int] | None = None) -> Tensor:
    """Heatmaps of hands in a view of 192 pixels, of all landmarks or of the ones that are seen."""
    visible = np.isin(np.arange(24), range(24) if seen is None else seen)[:, None]
    points = np.stack([np.hstack([hand, visible]) for hand in hands])
    return target_heatmaps(torch.as_tensor(points, dtype=torch.float32)[None], 96, 96, 1.2)[0]


@given(st.floats(-180, 180), st.booleans(), st.floats(60, 150), st.integers(0, 10**6))
def test_a_hand_is_found_at_any_rotation_size_and_chirality(degrees: float, flip: bool, size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = placed(size, (96 + rng.uniform(-8, 8), 96), degrees, flip)
    fit = fit_hand(peaks(heatmaps(points)))
    assert fit is not None
    assert fit.rival is not None
    assert fit.mirrored == flip == is_mirrored(points)
    assert fit.score > 20.0 > 2.0 * fit.rival.score
    np.testing.assert_allclose(apply(fit.matrix, MEAN_HAND), points, atol=0.3)


def test_a_peak_is_the_centroid_of_its_heatmap() -> None:
    points = placed(120.0, (95.3, 94.6), 12.0)
    found = peaks(heatmaps(points))
    np.testing.assert_allclose(found.place, points[found.channel], atol=0.05)
    np.testing.assert_allclose(found.mass, 1.0, atol=0.03)


def test_half_a_hand_and_some_false_peaks_still_give_the_hand() -> None:
    points = placed(120.0, (96.0, 96.0), 100.0, True)
    seen = [index for index, landmark in enumerate(LANDMARKS) if landmark.joint in ("CMC", "MCP")]
    found = peaks(heatmaps(points, seen=seen))
    wrong = Peaks(np.array([3, 8, 13, 18]), np.array([[20.0, 30], [100, 20], [15, 150], [170, 160]]), np.full(4, 0.6))
    order = np.argsort(np.concatenate([found.channel, wrong.channel]), kind="stable")
    both = Peaks(
        *(np.concatenate(pair)[order] for pair in zip(vars(found).values(), vars(wrong).values(), strict=True))
    )
    fit = fit_hand(both)
    assert fit is not None
    assert fit.mirrored
    np.testing.assert_allclose(apply(fit.matrix, MEAN_HAND)[seen], points[seen], atol=1.0)


def test_two_hands_are_found_and_no_third() -> None:
    hands = [placed(80.0, (50.0, 96.0)), placed(80.0, (140.0, 96.0), 5.0, True)]
    fits = fit_hands(peaks(heatmaps(*hands)), least=5.0)
    assert {fit.mirrored for fit in fits} == {False, True}
    assert len(fits) == 2
    for fit in fits:
        np.testing.assert_allclose(apply(fit.matrix, MEAN_HAND), hands[fit.mirrored], atol=0.5)


@pytest.mark.parametrize("seed", range(5))
def test_scattered_peaks_are_no_hand(seed: int) -> None:
    scattered = np.random.default_rng(seed).uniform(10, 180, (24, 2))
    assert fit_hands(peaks(0.5 * heatmaps(scattered)), least=5.0) == []


def test_empty_heatmaps_have_no_peaks_and_no_hand() -> None:
    found = peaks(torch.zeros(24, 96, 96))
    assert len(found) == 0
    assert fit_hand(found) is None


@given(st.floats(-180, 180), st.booleans(), st.integers(0, 10**6))
def test_a_similarity_is_recovered_and_inverted(degrees: float, flip: bool, seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.1, 1.0, 24)
    points = placed(100.0, (30.0, -7.0), degrees, flip)
    matrix = similarity(MEAN_HAND, points, weights, flip)
    np.testing.assert_allclose(apply(matrix, MEAN_HAND), points, atol=1e-9)
    np.testing.assert_allclose(apply(inverse(matrix), points), MEAN_HAND, atol=1e-9)
