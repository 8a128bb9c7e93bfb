"""Kappa: agreement of grades beyond chance, of two raters with weights and of several raters."""

from __future__ import annotations

import math

import numpy as np
from bundle.statistics.estimates import Estimate
from numpy.typing import ArrayLike, NDArray


def weighted_kappa(counts: NDArray[np.int64], power: int) -> float:
    """Cohen's kappa with weights ``|i - j| ** power`` (Psychological Bulletin 1968); NaN if chance never errs."""
    grades = np.arange(len(counts))
    weights = np.abs(grades[:, None] - grades) ** power
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    expected = (weights * chance).sum()
    return float(1.0 - (weights * counts).sum() / expected) if expected else float("nan")


def fleiss_kappa(counts: ArrayLike, *, samples: int = 2000, level: float = 0.95, seed: int = 0) -> Estimate:
    """Compute Fleiss' kappa of several raters (Psychological Bulletin 1971) with a bootstrap interval over subjects.

    >>> round(fleiss_kappa([[2, 0], [0, 2], [1, 1], [2, 0]]).value, 4)
    0.4667

    Args:
        counts: number of raters that chose each category for each subject, (N, categories), N at least 2; the same
            number of raters, at least 2, for each subject.
        samples: number of bootstrap samples.
        level: confidence level of the interval.
        seed: random seed of the bootstrap.

    Returns:
        Kappa; NaN if all raters always chose one category.

    Raises:
        ValueError: if the counts do not satisfy these conditions.
    """
    table = _checked(counts)
    weights = np.random.RandomState(seed).multinomial(len(table), np.full(len(table), 1.0 / len(table)), size=samples)
    value = float(_kappas(table, np.ones((1, len(table))))[0])
    resampled = _kappas(table, weights.astype(np.float64))
    return Estimate(value, _quantiles(resampled, level) if math.isfinite(value) else (math.nan, math.nan))


def _kappas(table: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kappa (B,) of subjects that count with weights (B, N)."""
    raters = table[0].sum()
    agreeing = (np.square(table).sum(axis=1) - raters) / (raters * (raters - 1.0))
    shares = weights @ table / (raters * weights.sum(axis=1, keepdims=True))
    observed, chance = weights @ agreeing / weights.sum(axis=1), np.square(shares).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1.0 - 1e-12, (observed - chance) / (1.0 - chance), math.nan)


def _checked(counts: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(counts, np.float64)
    sound = table.ndim == 2 and len(table) > 1 and table.shape[1] > 0 and bool((table >= 0.0).all())
    if not sound or np.ptp(table.sum(axis=1)) or table[0].sum() < 2:
        msg = (
            f"counts {table.shape} must be (subjects, categories), with at least 2 subjects and the same number of "
            "raters, at least 2, for each subject"
        )
        raise ValueError(msg)
    return table


def _quantiles(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
