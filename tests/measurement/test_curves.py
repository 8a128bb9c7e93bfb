"""Curves in made-up views whose edges are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.measurement.curves import (
    ALONG,
    Parabolas,
    blurred_across,
    columns,
    depths,
    fitted_parabola,
    mean_along,
    refined,
    slope_along,
    smooth_curve,
    straightened,
)
from torch import Tensor

ROWS = depths(-3.0, 3.0)
X = columns()


def view_of(curve: Tensor, sharpness: float = 0.1) -> Tensor:
    """A view (1, N, K) that rises from 0 to 1 across a curve."""
    return torch.sigmoid((ROWS[:, None] - curve) / sharpness)[None]


def test_the_slope_of_a_ramp_is_its_slope_and_its_mean_lies_half_the_range_below() -> None:
    ramp = (2.5 * ROWS[:, None]).expand(-1, len(X))[None]
    inner = slice(60, -60)
    found = slope_along(ramp, 0.12)[:, inner]
    torch.testing.assert_close(found, torch.full_like(found, 2.5), atol=0.02, rtol=0)
    below = mean_along(ramp, 0.3, 0.9)[:, inner] - ramp[:, inner]
    torch.testing.assert_close(below, torch.full_like(below, 2.5 * 0.6), atol=1e-3, rtol=0)


def test_blurring_across_keeps_what_is_the_same_in_all_columns() -> None:
    view = view_of(torch.zeros(len(X)))
    torch.testing.assert_close(blurred_across(view, 0.3), view, atol=1e-5, rtol=0)


def test_a_straightened_curve_is_a_line() -> None:
    curve = 0.4 * torch.sin(X)
    flat = straightened(view_of(curve), float(ROWS[0]), curve[None], depths(-0.5, 0.5))
    expected = torch.sigmoid(depths(-0.5, 0.5) / 0.1)[:, None].expand(-1, len(X))[None]
    torch.testing.assert_close(flat, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize(("offset", "tilt", "bend"), [(0.0, 0.0, 0.0), (0.6, 0.2, -0.4), (-0.84, -0.4, 0.2)])
def test_the_best_parabola_is_the_one_that_made_the_edge(offset: float, tilt: float, bend: float) -> None:
    t = X / X[-1]
    curve = offset + tilt * t + bend * (t * t - 1 / 3)
    family = Parabolas(-1.2, 1.2, (-0.4, -0.2, 0.0, 0.2, 0.4), (-0.4, -0.2, 0.0, 0.2, 0.4))
    edges = slope_along(view_of(curve), 0.1).clamp(min=0)
    found = family.best(edges, float(ROWS[0]), torch.ones(1, len(X)))
    torch.testing.assert_close(found.curve[0], curve, atol=0.07, rtol=0)
    assert float(found.score) > 0.9 and float(found.margin) > 0.5


def test_of_two_edges_of_about_equal_strength_the_upper_one_is_chosen_if_ties_are_allowed() -> None:
    upper, lower = torch.full((len(X),), -0.6), torch.full((len(X),), 0.6)
    edges = 0.9 * slope_along(view_of(upper), 0.1) + slope_along(view_of(lower), 0.1)
    given = (edges.clamp(min=0), float(ROWS[0]), torch.ones(1, len(X)))
    shapes = ((0.0,), (0.0,))
    assert float(Parabolas(-1.2, 1.2, *shapes).best(*given).curve.mean()) == pytest.approx(0.6, abs=0.05)
    assert float(Parabolas(-1.2, 1.2, *shapes, tie=0.8).best(*given).curve.mean()) == pytest.approx(-0.6, abs=0.05)


def naive_path(gain: np.ndarray, steps: int, steep: float) -> float:
    """The largest sum over all paths, by going through every predecessor of every value."""
    best = gain[:, 0].copy()
    for column in range(1, gain.shape[1]):
        rows = range(len(gain))
        best = np.array(
            [max(best[i] - steep * (i - j) ** 2 for i in rows if abs(i - j) <= steps) + gain[j, column] for j in rows]
        )
    return float(best.max())


def test_the_traced_path_is_the_best_of_all_paths() -> None:
    from bundle.measurement.curves import _STEEP, _STEPS, _traced

    gain = torch.rand(3, 17, 9, generator=torch.Generator().manual_seed(3))
    path = _traced(gain)
    for one, rows in zip(gain, path, strict=True):
        along = one.gather(0, rows[None])[0].sum() - _STEEP * (rows.diff() ** 2).sum()
        assert float(along) == pytest.approx(naive_path(one.numpy(), _STEPS, _STEEP), abs=1e-4)


def test_a_refined_edge_lies_on_the_true_one_to_a_fraction_of_a_sample() -> None:
    curve = 0.12 * torch.cos(0.6 * X)
    edges = slope_along(view_of(curve), 0.08).clamp(min=0)[:, 85:116]
    found, roughness = refined(edges, float(ROWS[85]), torch.ones(1, len(X)), 100.0)
    torch.testing.assert_close(found[0], curve, atol=0.01, rtol=0)
    assert float(roughness) < ALONG / 4


def test_a_smooth_curve_ignores_outliers_and_unweighted_columns() -> None:
    truth = 0.3 + 0.05 * X**2
    noisy, weight = truth.clone(), torch.ones(len(X))
    noisy[40] += 0.8
    noisy[:10] += 1.0
    weight[:10] = 0.0
    found = smooth_curve(noisy[None], weight[None], 600.0)[0]
    torch.testing.assert_close(found[12:], truth[12:], atol=0.02, rtol=0)


def test_a_fitted_parabola_is_the_one_under_outliers() -> None:
    truth = -0.2 + 0.03 * X + 0.04 * X**2
    noisy = truth.clone()
    noisy[20:24] += 2.0
    torch.testing.assert_close(fitted_parabola(noisy[None], torch.ones(1, len(X)))[0], truth, atol=0.02, rtol=0)
