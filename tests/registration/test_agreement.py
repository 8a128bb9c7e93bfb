"""Figures of the narrowing against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from bundle.registration.agreement import narrowing_of_real_pairs, narrowing_of_synthetic_pairs, repeats_of, triples_of

SIGMA = 0.05


def measured(seed: int = 0, joints: int = 30, repeats: int = 8) -> pd.DataFrame:
    """Pairs of joints with four radiographs, each measured with an error of SIGMA."""
    random, rows = np.random.RandomState(seed), []
    for joint in range(joints):
        width = random.uniform(0.5, 2.0, 4)
        for i, j in itertools.combinations(range(4), 2):
            for repeat in range(repeats + 1):
                names = {"name": f"{joint}_{i}_{j}", "joint": f"j{joint}", "finger": "ring"}
                jsn = width[i] - width[j] + random.normal(0.0, SIGMA)
                shown = {"fixed_name": f"r{i}", "moving_name": f"r{j}", "masks_jsn_mm": width[i] - width[j]}
                rows.append({**names, **shown, "repeat": repeat, "jsn_mm": jsn, "mse": 0.002, "plausible": joint > 2})
    return pd.DataFrame(rows)


def test_both_sigmas_are_the_error_of_a_measurement() -> None:
    found = narrowing_of_real_pairs(measured(), samples=50).figures
    assert found["sigma_mm"] == pytest.approx(SIGMA, rel=0.05)
    assert found["triple_sigma_mm"] == pytest.approx(SIGMA, rel=0.2)
    assert found["pairs"] == 180 and found["triples"] == 120 and found["joints"] == 30
    for name in ("sigma_mm", "triple_sigma_mm", "registration_mse"):
        low, high = found[f"{name}_interval"]
        assert low <= found[name] <= high
    assert found["mismatch_rate"] == 0.0 and found["not_found_rate"] == 0.0
    assert found["implausible_rate"] == pytest.approx(0.1)
    assert found["masks_bias_mm"] == pytest.approx(0.0, abs=0.02)
    assert found["masks_limits_mm"][1] == pytest.approx(1.96 * SIGMA, rel=0.2)


def test_sigma_is_the_pooled_deviation_and_nothing_is_deleted() -> None:
    rows = pd.DataFrame(
        {
            "name": ["a"] * 4 + ["b"] * 3,
            "joint": ["a"] * 4 + ["b"] * 3,
            "jsn_mm": [0.1, 0.2, 0.3, 2.0, -0.1, 0.1, math.nan],
        }
    )
    found = repeats_of(rows).set_index("name")
    values = np.array([0.1, 0.2, 0.3, 2.0])
    assert found.loc["a", "squares"] == pytest.approx(((values - values.mean()) ** 2).sum())
    assert found.loc["a", ["repeats", "mismatches", "freedom"]].tolist() == [4, 1, 3]
    assert found.loc["b", ["repeats", "mismatches", "freedom"]].tolist() == [3, 1, 1]
    assert found.loc["a", "spread_mm"] == pytest.approx(np.std(values, ddof=1))


def test_deviations_of_repeats_make_sigma() -> None:
    given = measured(joints=4).sample(frac=1.0, random_state=0)
    found = narrowing_of_real_pairs(given, samples=5)
    rows = found.per_image
    assert rows[["name", "repeat", "jsn_mm"]].equals(given[["name", "repeat", "jsn_mm"]])
    assert rows.loc[rows["repeat"] == 0, "deviation_mm"].isna().all()
    repeats = rows[rows["repeat"] > 0]
    assert repeats.groupby("name")["deviation_mm"].mean().to_numpy() == pytest.approx(0.0, abs=1e-12)
    freedom = len(repeats) - repeats["name"].nunique()
    assert math.sqrt((repeats["deviation_mm"] ** 2).sum() / freedom) == pytest.approx(found.figures["sigma_mm"])


@pytest.mark.slow
def test_an_outlier_raises_sigma_and_the_mismatch_rate() -> None:
    rows = measured()
    outlier = rows.index[(rows["repeat"] == 3)][0]
    rows.loc[outlier, "jsn_mm"] += 3.0
    plain, worse = (narrowing_of_real_pairs(given, samples=20).figures for given in (measured(), rows))
    assert worse["sigma_mm"] > plain["sigma_mm"] + 0.01
    assert worse["mismatch_rate"] == pytest.approx(1 / (180 * 8))
    assert narrowing_of_real_pairs(rows, samples=20).worst[0] == rows.loc[outlier, "name"]


def test_what_is_not_found_is_counted_and_left_out() -> None:
    rows = measured()
    rows.loc[(rows["name"] == "0_0_1"), ["jsn_mm", "mse"]] = math.nan
    found = narrowing_of_real_pairs(rows, samples=20).figures
    assert found["not_found_rate"] == pytest.approx(1 / 180)
    assert found["mismatch_rate"] == pytest.approx(8 / (180 * 8))
    assert found["triples"] == 120 and found["triples_not_found"] == 2
    assert math.isfinite(found["sigma_mm"]) and math.isfinite(found["triple_sigma_mm"])


def test_triples_are_whole_less_parts() -> None:
    rows = pd.DataFrame(
        [("j", "a", "b", 0.3), ("j", "a", "c", 0.8), ("j", "b", "c", 0.4), ("k", "a", "b", 1.0)],
        columns=["joint", "fixed_name", "moving_name", "jsn_mm"],
    )
    assert triples_of(rows)["error_mm"].tolist() == [pytest.approx((0.8 - 0.3 - 0.4) / math.sqrt(3.0))]


def synthetic(seed: int = 0, count: int = 400) -> pd.DataFrame:
    random = np.random.RandomState(seed)
    true = random.uniform(-1.5, 1.5, count)
    names = {"name": [f"p{row}" for row in range(count)], "joint": [f"j{row % 40}" for row in range(count)]}
    read = true + 0.01 + random.normal(0.0, SIGMA, count)
    return pd.DataFrame({**names, "finger": "ring", "true_jsn_mm": true, "jsn_mm": read, "mse": 0.001})


def test_errors_on_synthetic_pairs_are_those_of_what_was_found() -> None:
    rows = synthetic()
    rows.loc[0, "jsn_mm"], rows.loc[1, "jsn_mm"] = math.nan, rows.loc[1, "true_jsn_mm"] + 0.9
    measured = narrowing_of_synthetic_pairs(rows, samples=50)
    found, error = measured.figures, (rows["jsn_mm"] - rows["true_jsn_mm"]).dropna()
    assert found["bias_mm"] == pytest.approx(error.mean())
    assert found["mae_mm"] == pytest.approx(error.abs().mean())
    assert found["rmse_mm"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["p95_mm"] == pytest.approx(np.quantile(error.abs(), 0.95))
    assert found["not_found_rate"] == pytest.approx(1 / 400) and found["mismatch_rate"] == pytest.approx(2 / 400)
    assert measured.worst[:2] == ["p0", "p1"]


@pytest.mark.slow
@pytest.mark.parametrize("told", [0.0, 0.6, 1.0])
def test_the_slope_is_the_part_of_the_narrowing_that_is_told(told: float) -> None:
    rows = synthetic().assign(jsn_mm=lambda known: told * known["true_jsn_mm"] + 0.2)
    found = narrowing_of_synthetic_pairs(rows, samples=20).figures
    assert [found["slope"], *found["slope_interval"]] == pytest.approx([told] * 3, abs=1e-9)
    noisy = synthetic()
    found = narrowing_of_synthetic_pairs(noisy, samples=20).figures
    assert found["slope"] == pytest.approx(np.polyfit(noisy["true_jsn_mm"], noisy["jsn_mm"], 1)[0])


def test_pairs_of_one_narrowing_have_no_slope() -> None:
    found = narrowing_of_synthetic_pairs(synthetic(count=7).assign(true_jsn_mm=0.1), samples=5).figures
    assert math.isnan(found["slope"])


def test_nothing_found_gives_no_figures_and_no_error() -> None:
    rows, pairs = synthetic(count=5).assign(jsn_mm=math.nan, mse=math.nan), measured(joints=2, repeats=2)
    found = narrowing_of_synthetic_pairs(rows, samples=10).figures
    assert found["not_found_rate"] == found["mismatch_rate"] == 1.0 and math.isnan(found["mae_mm"])
    found = narrowing_of_real_pairs(pairs.assign(jsn_mm=math.nan, mse=math.nan), samples=10).figures
    assert found["mismatch_rate"] == 1.0 and math.isnan(found["sigma_mm"]) and math.isnan(found["triple_sigma_mm"])
