"""The loss is the cross-entropy of a position or of absence, and lowest at the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from bundle.hands import HeatmapLoss, LandmarkAccuracy
from bundle.hands.losses import target_heatmaps
from bundle.hands.networks import FinderNetwork, probabilities
from torch import Tensor


def points(*rows: tuple[float, float, int]) -> Tensor:
    """Landmarks of one hand in one view, (1, 1, C, 3)."""
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def test_the_loss_is_the_cross_entropy_written_out() -> None:
    torch.manual_seed(0)
    logits, given = torch.randn(1, 2, 6, 7), points((4.0, 5.0, 1), (2.0, 2.0, 0))
    expected = 0.0
    for channel in range(2):
        whole = math.log(1.0 + float(logits[0, channel].exp().sum()))
        weights = np.zeros((6, 7))
        for row in range(6):
            for column in range(7):
                away = (2 * row + 0.5 - 5.0) ** 2 + (2 * column + 0.5 - 4.0) ** 2
                weights[row, column] = math.exp(-0.5 * away / (2 * 1.5) ** 2)
        share = weights / weights.sum() if channel == 0 else 0.0 * weights
        expected += whole - float((share * logits[0, channel].numpy()).sum())
    loss = HeatmapLoss(sigma_px=1.5)([logits], [given])
    assert float(loss) == pytest.approx(expected / 2, rel=1e-5)


def test_targets_of_two_hands_share_a_heatmap_and_absent_landmarks_have_none() -> None:
    both = torch.cat([points((8.0, 8.0, 1), (20.0, 8.0, 0)), points((40.0, 40.0, 1), (9.0, 9.0, 0))], dim=1)
    maps = target_heatmaps(both, 32, 32, 1.2)[0]
    assert float(maps[0].sum()) == pytest.approx(1.0)
    assert float(maps[0, :12, :12].sum()) == pytest.approx(0.5, abs=0.01)
    assert float(maps[1].sum()) == 0.0


def test_probabilities_add_up_to_that_of_presence() -> None:
    logits = torch.full((1, 2, 4, 4), -40.0)
    logits[0, 0, 1, 2] = 0.0
    maps = probabilities(logits)
    assert float(maps[0, 0].sum()) == pytest.approx(0.5)
    assert float(maps[0, 1].sum()) == pytest.approx(0.0, abs=1e-9)


def test_accuracy_counts_near_peaks_and_rightly_absent_landmarks() -> None:
    logits = torch.full((1, 4, 16, 16), -40.0)
    logits[0, 0, 4, 6] = 20.0  # at (12.5, 8.5): right
    logits[0, 1, 4, 6] = 20.0  # far from its landmark
    logits[0, 2, 4, 6] = 20.0  # of an absent landmark
    given = points((13.0, 9.0, 1), (28.0, 9.0, 1), (0.0, 0.0, 0), (0.0, 0.0, 0))
    metric = LandmarkAccuracy("crop", within_px=4.0)
    metric.update(([logits, logits], [given, given]))
    assert metric.compute() == 0.5


def test_the_network_ignores_brightness_and_contrast() -> None:
    torch.manual_seed(0)
    network = FinderNetwork([8] * 6).eval()
    views = [torch.rand(1, 1, 64, 64), torch.rand(1, 1, 96, 64)]
    with torch.no_grad():
        plain, changed = network(views), network([0.5 * view + 0.2 for view in views])
    for first, second, view in zip(plain, changed, views, strict=True):
        assert first.shape == (1, 24, view.shape[2] // 2, view.shape[3] // 2)
        torch.testing.assert_close(first, second, atol=0.05, rtol=0.05)
