"""Accuracy of a method that measures joint space narrowing (JSN) between two radiographs.

As in Ou et al. 2023 (arXiv 2205.09315) and Wang et al. 2023 (arXiv 2304.13938), but without removing outliers first: a
measurement far from its own repeats is counted and stays in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from bundle.statistics import Measured, bland_altman, bootstrap_interval, plot_bland_altman
from matplotlib.figure import Figure
from numpy.typing import NDArray

MISMATCH = 0.5
"""A measurement is a mismatch if it is missing or farther than this from the median of its repeats, in mm."""

Array = NDArray[np.float64]
Statistic = Callable[[NDArray[np.int64]], float]


class _Intervals:
    """Figures of rows, each with a bootstrap interval over joints."""

    def __init__(self, rows: pd.DataFrame, samples: int, level: float, seed: int) -> None:
        self.joints = rows["joint"].astype(str).tolist()
        self.everything = np.arange(len(rows))
        self.settings: dict[str, Any] = {"samples": samples, "level": level, "seed": seed}

    def __call__(self, name: str, statistic: Statistic) -> dict[str, Any]:
        interval = bootstrap_interval(statistic, self.joints, **self.settings)
        value = statistic(self.everything) if self.joints else math.nan
        return {name: value, f"{name}_interval": list(interval)}


def narrowing_of_real_pairs(rows: pd.DataFrame, *, samples: int = 1000, level: float = 0.95, seed: int = 0) -> Measured:
    """Assess measurements of pairs whose true narrowing is unknown.

    Figures: ``registration_mse`` of the raw intensities; ``sigma_mm``, the standard deviation of the repeats of a pair,
    pooled over all pairs; ``mismatch_rate`` of the repeats, by :data:`MISMATCH`; ``triple_sigma_mm``, the root mean
    square of ``(JSN_ij - JSN_ik - JSN_kj) / sqrt(3)`` over the triples of a joint, which is the error of one
    measurement if the three are independent; ``masks_bias_mm`` and ``masks_limits_mm`` of the difference from the
    narrowing by the annotated masks, with its mean absolute value; the rates of missing measurements of unmodified
    pairs and of triples; ``implausible_rate`` of unmodified pairs.
    Missing measurements are counted and enter no other figure. Rows of repeats get ``deviation_mm``, the difference of
    the measurement from the mean of its pair's repeats.

    Args:
        rows: for each pair a row with ``repeat`` 0, of the unmodified radiographs, and others of the slightly
            repositioned radiographs; with ``name, joint, finger, fixed_name, moving_name, jsn_mm`` (NaN if missing),
            ``mse``, ``masks_jsn_mm`` and ``plausible``. All pairs follow one order of their joint's radiographs.
        samples: number of bootstrap samples over joints.
        level: confidence level of the intervals.
        seed: random seed of the bootstrap.
    """
    plain, repeated = (rows[chosen].reset_index(drop=True) for chosen in (rows["repeat"] == 0, rows["repeat"] > 0))
    pairs, triples = repeats_of(repeated), triples_of(plain)
    settings: dict[str, Any] = {"samples": samples, "level": level, "seed": seed}
    figures = {
        "pairs": len(plain),
        "joints": int(plain["joint"].nunique()),
        "repeats": len(repeated),
        **_Intervals(plain, **settings)("not_found_rate", _mean_of(plain["jsn_mm"].isna())),
        **_Intervals(plain, **settings)("implausible_rate", _mean_of(~plain["plausible"].astype(bool))),
        **_Intervals(plain, **settings)("registration_mse", _mean_of(plain["mse"])),
        **_Intervals(pairs, **settings)("sigma_mm", _pooled(pairs)),
        **_Intervals(pairs, **settings)("mismatch_rate", _ratio(pairs["mismatches"], pairs["repeats"])),
        "triples": len(triples),
        "triples_not_found": int(triples["error_mm"].isna().sum()),
        **_Intervals(triples, **settings)("triple_sigma_mm", _root_mean_square(triples["error_mm"])),
        **_masks_agreement(plain, level),
    }
    known = plain[plain["jsn_mm"].notna()]
    plots = {"masks": plot_bland_altman(known["masks_jsn_mm"], known["jsn_mm"], "mm")} if len(known) > 1 else {}
    spread = pairs.sort_values(["mismatches", "spread_mm"], ascending=False, kind="stable")
    of_pair = repeated.groupby(["joint", "name"], sort=False)["jsn_mm"]
    deviation = pd.Series((repeated["jsn_mm"] - of_pair.transform("mean")).to_numpy(), rows.index[rows["repeat"] > 0])
    return Measured(figures, rows.assign(deviation_mm=deviation), plots, spread["name"].tolist())


def repeats_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Summarize the repeated measurements of each pair.

    Returns:
        ``name, joint``; ``repeats`` and ``mismatches``, by :data:`MISMATCH`; ``squares``, the sum of squared deviations
        from the mean of the measurements found, its ``freedom``, one less than their number, and ``spread_mm``, their
        standard deviation.
    """
    found = []
    for (joint, name), group in rows.groupby(["joint", "name"], sort=False):
        values = group["jsn_mm"].dropna().to_numpy(np.float64)
        apart = np.abs(values - np.median(values)) if len(values) else values
        squares = float(np.square(values - values.mean()).sum()) if len(values) else 0.0
        missed = len(group) - len(values) + int((apart > MISMATCH).sum())
        freedom = max(len(values) - 1, 0)
        spread = math.sqrt(squares / freedom) if freedom else math.nan
        found.append((name, joint, len(group), missed, squares, freedom, spread))
    columns = ["name", "joint", "repeats", "mismatches", "squares", "freedom", "spread_mm"]
    return pd.DataFrame(found, columns=columns)


def triples_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Compute ``error_mm = (JSN_ij - JSN_ik - JSN_kj) / sqrt(3)`` of all radiographs i, k, j of a joint, in order.

    Args:
        rows: unmodified pairs, with ``joint, fixed_name, moving_name, jsn_mm``; a triple that lacks a pair is left out.
    """
    found: list[tuple[Any, float]] = []
    for joint, group in rows.groupby("joint", sort=False):
        jsn = dict(zip(zip(group["fixed_name"], group["moving_name"], strict=True), group["jsn_mm"], strict=True))
        for (i, j), whole in jsn.items():
            between = [k for first, k in jsn if first == i and (k, j) in jsn]
            found.extend((joint, (whole - jsn[i, k] - jsn[k, j]) / math.sqrt(3.0)) for k in between)
    return pd.DataFrame(found, columns=["joint", "error_mm"]).astype({"error_mm": float})


def narrowing_of_synthetic_pairs(
    rows: pd.DataFrame, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> Measured:
    """Compute errors against the true narrowing of synthetic pairs.

    Figures: ``bias_mm``, ``mae_mm``, ``rmse_mm``, ``p95_mm`` (95th percentile of the absolute error), limits of
    agreement, ``slope`` of the measurement on the truth, below 1 if the narrowing is underestimated,
    ``mismatch_rate``: the fraction that is missing or farther than :data:`MISMATCH` from the truth, and
    ``registration_mse``. Errors are those of the measurements found, without removal of outliers.

    Args:
        rows: a row per pair, with ``name, joint, finger, true_jsn_mm, jsn_mm`` (NaN if missing), ``mse``.
        samples: number of bootstrap samples over joints.
        level: confidence level of the intervals.
        seed: random seed of the bootstrap.
    """
    rows = rows.assign(error_mm=rows["jsn_mm"] - rows["true_jsn_mm"])
    known = rows[rows["jsn_mm"].notna()].reset_index(drop=True)
    error = known["error_mm"].to_numpy(np.float64)
    settings: dict[str, Any] = {"samples": samples, "level": level, "seed": seed}
    of_known = _Intervals(known, **settings)
    wrong = ~(rows["error_mm"].abs() <= MISMATCH)
    figures = {
        "pairs": len(rows),
        "joints": int(rows["joint"].nunique()),
        **_Intervals(rows, **settings)("not_found_rate", _mean_of(rows["jsn_mm"].isna())),
        **_Intervals(rows, **settings)("mismatch_rate", _mean_of(wrong)),
        **of_known("bias_mm", _mean_of(pd.Series(error))),
        **of_known("mae_mm", _mean_of(pd.Series(np.abs(error)))),
        **of_known("rmse_mm", _root_mean_square(pd.Series(error))),
        **of_known("p95_mm", lambda sampled: float(np.quantile(np.abs(error[sampled]), 0.95))),
        **of_known("slope", _slope(known["true_jsn_mm"], known["jsn_mm"])),
        **of_known("registration_mse", _mean_of(known["mse"])),
        "limits_mm": (
            list(bland_altman(known["true_jsn_mm"], known["jsn_mm"], level=level).limits)
            if len(known) > 1
            else [math.nan, math.nan]
        ),
    }
    worst = rows.loc[rows["error_mm"].abs().fillna(math.inf).sort_values(ascending=False, kind="stable").index, "name"]
    plots: dict[str, Figure] = {}
    if len(known) > 1:
        plots["truth"] = plot_bland_altman(known["true_jsn_mm"], known["jsn_mm"], "mm")
    return Measured(figures, rows, plots, worst.tolist())


def _masks_agreement(plain: pd.DataFrame, level: float) -> Mapping[str, Any]:
    known = plain[plain["jsn_mm"].notna() & plain["masks_jsn_mm"].notna()]
    if len(known) < 2:
        return {"masks_bias_mm": math.nan, "masks_limits_mm": [math.nan, math.nan], "masks_mae_mm": math.nan}
    found = bland_altman(known["masks_jsn_mm"], known["jsn_mm"], level=level)
    return {"masks_bias_mm": found.bias, "masks_limits_mm": list(found.limits), "masks_mae_mm": found.mae}


def _mean_of(values: pd.Series) -> Statistic:
    """Mean of the known values of the sampled rows."""
    numbers = values.to_numpy(np.float64)
    return lambda sampled: _known_mean(numbers[sampled])


def _root_mean_square(values: pd.Series) -> Statistic:
    numbers = np.square(values.to_numpy(np.float64))
    return lambda sampled: math.sqrt(_known_mean(numbers[sampled]))


def _known_mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _ratio(part: pd.Series, whole: pd.Series) -> Statistic:
    parts, wholes = part.to_numpy(np.float64), whole.to_numpy(np.float64)
    return lambda sampled: float(parts[sampled].sum() / wholes[sampled].sum()) if wholes[sampled].sum() else math.nan


def _slope(true: pd.Series, measured: pd.Series) -> Statistic:
    """Least-squares slope of the sampled measurements on the truth; NaN if the truth does not vary."""
    known, found = true.to_numpy(np.float64), measured.to_numpy(np.float64)

    def slope(sampled: NDArray[np.int64]) -> float:
        apart = known[sampled] - known[sampled].mean()
        return float(apart @ found[sampled] / (apart @ apart)) if np.ptp(known[sampled]) > 0.0 else math.nan

    return slope


def _pooled(pairs: pd.DataFrame) -> Statistic:
    """Pooled standard deviation of the sampled pairs."""
    mean = _ratio(pairs["squares"], pairs["freedom"])
    return lambda sampled: math.sqrt(mean(sampled))
