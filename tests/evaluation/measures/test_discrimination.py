"""Classifiers, their crops and figures, against naive counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.evaluation.measures.discrimination import (
    Answer,
    Discriminator,
    OwnCrops,
    SharedShift,
    Sides,
    answer_figures,
    dense_classifier,
    small_classifier,
)
from bundle.statistics.adversary import FitSettings

JOINTS = ["a", "a", "b"] * 2


def answer(*fits: list[float]) -> Answer:
    return Answer(np.array(fits, np.float32), np.repeat([0, 1], 3), JOINTS)


def test_accuracy_counts_sides_of_one_half_and_pairs_compare_with_their_own() -> None:
    found = answer([0.4, 0.6, 0.5, 0.7, 0.65, 0.5])
    assert found.correct()[0].tolist() == [1.0, 0.0, 0.5, 1.0, 1.0, 0.5]
    assert found.paired()[0].tolist() == [1.0, 1.0, 0.5]


def test_figures_are_means_over_the_fits() -> None:
    figures = answer_figures(
        answer([0.1, 0.1, 0.1, 0.9, 0.9, 0.9], [0.9, 0.9, 0.9, 0.1, 0.1, 0.1]), "x", 0, paired=True
    )
    assert figures["accuracy_x"] == figures["paired_accuracy_x"] == figures["auc_x"] == 0.5
    assert figures["accuracy_std_x"] == pytest.approx(np.std([1.0, 0.0], ddof=1))
    assert figures["paired_accuracy_x_interval"] == [0.5, 0.5]


def numbered(count: int, side: int) -> torch.Tensor:
    """Frames whose pixels state their row and column."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([rows, columns]).float().expand(count, 2, side, side)


def corners(crops: torch.Tensor) -> torch.Tensor:
    """Position (N, 2) of each crop in its frame; mirrored frames count from the other side."""
    return torch.stack([crops[:, 0].amin(dim=(1, 2)), crops[:, 1].amin(dim=(1, 2))], dim=1)


def test_both_sides_are_cropped_at_positions_of_their_own() -> None:
    frames = numbered(64, 20)
    crops = OwnCrops(4).sampled(torch.cat([frames, frames], dim=1), torch.Generator().manual_seed(0))
    assert crops.shape == (128, 2, 12, 12)
    real, other = corners(crops).chunk(2)
    for axis in range(2):
        assert set(real[:, axis].tolist()) == set(map(float, range(9)))
        assert abs(np.corrcoef(real[:, axis], other[:, axis])[0, 1]) < 0.4
    assert torch.equal(crops[:, 0, 1:] - crops[:, 0, :-1], torch.ones(128, 11, 12))


def test_crops_of_a_test_follow_from_the_seed() -> None:
    frames = numbered(8, 20)
    first, again, other = (OwnCrops(4, seed).fixed(frames) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_shared_shift_leaves_the_middle_for_a_test() -> None:
    assert torch.equal(SharedShift(2).fixed(numbered(3, 10)), numbered(3, 10)[..., 2:8, 2:8])


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: small_classifier((8, 8)), lambda: dense_classifier(4, 4, (1, 1))])
def test_a_bright_spot_is_found_and_noise_is_not(make) -> None:
    random = torch.Generator().manual_seed(0)

    def sides(spot: float) -> Sides:
        real, other = (0.1 * torch.randn(24, 2, 24, 24, generator=random) for _ in range(2))
        other[..., 10:14, 10:14] += spot
        return Sides(real, other, [str(row) for row in range(24)] * 2)

    quick = FitSettings(epochs=12, batch_size=8, learning_rate=1e-2)
    asked = Discriminator(view=OwnCrops(2), network=make, fits=1, fit_settings=quick)
    found, chance = (asked.ask(sides(spot), sides(spot)) for spot in (1.0, 0.0))
    assert found.correct().mean() > 0.9 and found.paired().mean() > 0.9
    assert abs(chance.correct().mean() - 0.5) < 0.25
