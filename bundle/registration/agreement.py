"""How well does a method measure the narrowing of a joint space (JSN) between two radiographs?

As in Ou et al. 2023 (arXiv 2205.09315) and Wang et al. 2023 (arXiv 2304.13938), but without deleting outliers first:
what lies far from its own repeats is counted, and stays in.
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
"""A measurement is a mismatch if it lies farther than this from the median of its repeats, in mm, or found nothing."""

Array = NDArray[np.float64]
Statistic = Callable[[NDArray[np.int64]], float]


class _Intervals:
    """Figures of rows, each with a bootstrap interval over joints."""

    def __init__(self, rows: pd.DataFrame, samples: int, level: float, seed: int) -> None:
        self.joints = rows["joint"].astype(str).tolist()
        self.everything = np.arange(len(rows))
        self.settings: dict[str, Any] = {"samples": samples, "level": level, "seed": seed}

    def __call__(self, name: str, statistic: Statistic) -> dict[str, Any]:
        interval = bootstrap_interval(statistic, self.joints, **self.settings) if self.joints else (math.nan, math.nan)
        value = statistic(self.everything) if self.joints else math.nan
        return {name: value, f"{name}_interval": list(interval)}


def narrowing_of_real_pairs(rows: pd.DataFrame, *, samples: int = 1000, level: float = 0.95, seed: int = 0) -> Measured:
    """What can be said of pairs whose narrowing nobody knows.

    Figures: ``registration_mse`` of the raw intensities; ``sigma_mm``, the standard deviation of the repeats of a pair,
    pooled over all pairs; ``mismatch_rate`` of the repeats, by :data:`MISMATCH`; ``triple_sigma_mm``, over the triples
    of a joint the root mean square of ``(JSN_ij - JSN_ik - JSN_kj) / sqrt(3)``, which is the error of one measurement
    if the three are independent; ``masks_bias_mm`` and ``masks_limits_mm``, of the difference to the narrowing by the
    annotated masks, with its mean absolute value; how much could not be found, of pairs as they are and of triples;
    ``implausible_rate``, of pairs as they are.
    What was not found is counted, and can stand in no other figure. Rows of repeats get ``deviation_mm``, how far each
    measurement is from the mean of its pair's repeats.

    Args:
        rows: of each pair one with the ``repeat`` 0, of the radiographs as they are, and others, of the radiographs
            placed a little otherwise; with ``name, joint, finger, fixed_name, moving_name, jsn_mm`` (NaN where nothing
            was found), ``mse``, ``masks_jsn_mm`` and ``plausible``. Pairs are in one order of their joint's
            radiographs.
        samples: bootstrap draws over joints.
        level: of the intervals.
        seed: of the draws.
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
    """Of each pair the spread of its repeated measurements.

    Returns:
        ``name, joint``; ``repeats`` and ``mismatches``, by :data:`MISMATCH`; ``squares``, the sum of squared deviations
        from the mean of what was found, its ``freedom``, one less than their number, and ``spread_mm``, their standard
        deviation.
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
    """``error_mm = (JSN_ij - JSN_ik - JSN_kj) / sqrt(3)`` of each three radiographs i, k, j of a joint, in their order.

    Args:
        rows: pairs as they are, with ``joint, fixed_name, moving_name, jsn_mm``; triples of which a pair is missing are
            none.
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
    """Errors against the true narrowing of synthetic pairs.

    Figures: ``bias_mm``, ``mae_mm``, ``rmse_mm``, ``p95_mm`` (95th percentile of the absolute error), limits of
    agreement, ``slope`` of what is measured on the truth, below 1 where only a part of the narrowing is told,
    ``mismatch_rate``: the part that was not found or is farther than :data:`MISMATCH` from the truth, and
    ``registration_mse``. Errors are of what was found, no outlier deleted.

    Args:
        rows: a pair each, with ``name, joint, finger, true_jsn_mm, jsn_mm`` (NaN where nothing was found), ``mse``.
        samples: bootstrap draws over joints.
        level: of the intervals.
        seed: of the draws.
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
        **of_known("p95_mm", lambda drawn: float(np.quantile(np.abs(error[drawn]), 0.95))),
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
    """Mean of what is known, of drawn rows."""
    numbers = values.to_numpy(np.float64)
    return lambda drawn: _known_mean(numbers[drawn])


def _root_mean_square(values: pd.Series) -> Statistic:
    numbers = np.square(values.to_numpy(np.float64))
    return lambda drawn: math.sqrt(_known_mean(numbers[drawn]))


def _known_mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _ratio(part: pd.Series, whole: pd.Series) -> Statistic:
    parts, wholes = part.to_numpy(np.float64), whole.to_numpy(np.float64)
    return lambda drawn: float(parts[drawn].sum() / wholes[drawn].sum()) if wholes[drawn].sum() else math.nan


def _slope(true: pd.Series, measured: pd.Series) -> Statistic:
    """Least-squares slope of drawn measurements on the truth; NaN where that does not vary."""
    known, found = true.to_numpy(np.float64), measured.to_numpy(np.float64)

    def slope(drawn: NDArray[np.int64]) -> float:
        apart = known[drawn] - known[drawn].mean()
        return float(apart @ found[drawn] / (apart @ apart)) if np.ptp(known[drawn]) > 0.0 else math.nan

    return slope


def _pooled(pairs: pd.DataFrame) -> Statistic:
    """Pooled standard deviation of drawn pairs."""
    mean = _ratio(pairs["squares"], pairs["freedom"])
    return lambda drawn: math.sqrt(mean(drawn))
