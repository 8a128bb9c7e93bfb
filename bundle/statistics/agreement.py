"""Agreement of paired measurements or several raters: Bland-Altman, ICC, smallest detectable difference and change.

Bland and Altman, Lancet 1986; Shrout and Fleiss, Psychological Bulletin 1979, with the intervals of McGraw and Wong,
Psychological Methods 1996; Lassere et al., Journal of Rheumatology 1999 (SDD); Bruynesteyn et al., Annals of the
Rheumatic Diseases 2005 (SDC).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Interval = tuple[float, float]
"""Lower and upper bound."""


_ROUNDING = 1e-15
"""Mean squares of raters and residuals that are rounding errors, relative to the mean square of subjects."""


@dataclass(frozen=True)
class BlandAltman:
    """Bland-Altman statistics of paired measurements: differences, second minus first, in their unit.

    Attributes:
        pairs: number of pairs.
        bias: mean difference.
        bias_interval: confidence interval of the bias.
        deviation: sample standard deviation of the differences.
        limits: limits of agreement, which contain the fraction ``level`` of normal differences.
        lower_interval: confidence interval of the lower limit.
        upper_interval: confidence interval of the upper limit.
        mae: mean absolute difference.
    """

    pairs: int
    bias: float
    bias_interval: Interval
    deviation: float
    limits: Interval
    lower_interval: Interval
    upper_interval: Interval
    mae: float


def bland_altman(
    first: ArrayLike, second: ArrayLike, *, level: float = 0.95, factor: float | None = None
) -> BlandAltman:
    """Compute bias and limits of agreement of paired measurements.

    Args:
        first: first measurements, (N,), N at least 2, finite.
        second: second measurements, (N,), finite.
        level: level of the limits and the confidence intervals, in (0, 1).
        factor: distance of the limits from the bias in standard deviations; default: the normal quantile of ``level``,
            1.96 for 0.95.

    Raises:
        ValueError: if the measurements are not finite, differ in length or are fewer than 2.
    """
    difference = np.subtract(*reversed(_paired(first, second)))
    count, bias, deviation = len(difference), float(difference.mean()), float(difference.std(ddof=1))
    reach = deviation * (float(stats.norm.ppf((1.0 + level) / 2.0)) if factor is None else factor)
    quantile = float(stats.t.ppf((1.0 + level) / 2.0, count - 1))
    of_bias, of_limit = (quantile * deviation * math.sqrt(times / count) for times in (1.0, 3.0))
    lower, upper = bias - reach, bias + reach
    return BlandAltman(
        count,
        bias,
        (bias - of_bias, bias + of_bias),
        deviation,
        (lower, upper),
        (lower - of_limit, lower + of_limit),
        (upper - of_limit, upper + of_limit),
        float(np.abs(difference).mean()),
    )


def smallest_detectable_difference(first: ArrayLike, second: ArrayLike) -> float:
    """Compute the SDD: 1.96 standard deviations of the differences of repeated measurements (N,), in their unit."""
    return 1.96 * bland_altman(first, second).deviation


def smallest_detectable_change(first: ArrayLike, second: ArrayLike, readings: int = 1) -> float:
    """Compute the SDC: the SDD divided by the square roots of 2 and of the number of averaged readings.

    Args:
        first: changes measured in the first reading, (N,).
        second: changes measured in the second reading, (N,).
        readings: number of averaged readings.

    Raises:
        ValueError: if ``readings`` is below 1, or as in :func:`bland_altman`.
    """
    if readings < 1:
        msg = f"readings must be at least 1, got {readings}"
        raise ValueError(msg)
    return smallest_detectable_difference(first, second) / math.sqrt(2.0 * readings)


def repeatability(values: ArrayLike, subjects: ArrayLike) -> float:
    """Compute ``1.96 sqrt(2)`` times the standard deviation within subjects, in the unit of the values.

    It is the SDC of repeated measurements, and the repeatability coefficient of Bland and Altman (1986): the difference
    of two measurements of one subject is smaller in 95 % of the cases. Arguments and errors are those of
    :func:`deviation_within`.

    >>> round(repeatability([1.0, 1.2, 2.0, 2.4], ["a", "a", "b", "b"]), 4)
    0.6198
    """
    return 1.96 * math.sqrt(2.0) * deviation_within(values, subjects)


def deviation_within(values: ArrayLike, subjects: ArrayLike) -> float:
    """Compute the standard deviation within subjects, in the unit of the values.

    >>> round(deviation_within([1.0, 1.2, 2.0, 2.4], ["a", "a", "b", "b"]), 4)
    0.2236

    Args:
        values: measurements, (N,), finite.
        subjects: subject of each measurement, (N,); those with one measurement do not contribute.

    Raises:
        ValueError: if the measurements are not finite, differ in number from the subjects, or no subject has two.
    """
    found, names = np.asarray(values, np.float64), np.asarray(subjects)
    counts = np.unique(names, return_counts=True)[1] if found.shape == names.shape else np.zeros(0)
    freedom = int((counts - 1).sum())
    if not freedom or not np.isfinite(found).all():
        msg = f"measurements {found.shape} of subjects {names.shape} must be finite, two of at least one subject"
        raise ValueError(msg)
    squares = [float(np.square(found[names == name] - found[names == name].mean()).sum()) for name in np.unique(names)]
    return math.sqrt(sum(squares) / freedom)


@dataclass(frozen=True)
class IntraclassCorrelation:
    """An intraclass correlation with its confidence interval."""

    value: float
    interval: Interval


def regression_slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Compute the slope of the regression line of y (N,) over x (N,); NaN if x does not vary."""
    centred = x - x.mean() if len(x) else x
    squares = float(centred @ centred)
    return float(centred @ y) / squares if squares > 1e-12 else math.nan


def absolute_agreement(ratings: ArrayLike, *, level: float = 0.95) -> IntraclassCorrelation:
    """Compute ICC(2,1), absolute agreement of single ratings by random raters; their biases count as disagreement.

    Args:
        ratings: ratings of N subjects by K raters, (N, K), both at least 2, finite, not all equal.
        level: level of the confidence interval.

    Raises:
        ValueError: if the ratings do not satisfy these conditions.
    """
    table = _Variance.of(ratings)
    n, k, rows, columns, rest = table.subjects, table.raters, table.rows, table.columns, table.rest
    if max(columns, rest) <= _ROUNDING * rows:
        return IntraclassCorrelation(1.0, (1.0, 1.0))
    value = (rows - rest) / (rows + (k - 1) * rest + k * (columns - rest) / n)
    a, b = k * value / (n * (1.0 - value)), 1.0 + k * value * (n - 1) / (n * (1.0 - value))
    freedom = (a * columns + b * rest) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * rest) ** 2 / ((n - 1) * (k - 1)))
    noise = k * columns + (k * n - k - n) * rest
    below = float(stats.f.ppf((1.0 + level) / 2.0, n - 1, freedom))
    above = float(stats.f.ppf((1.0 + level) / 2.0, freedom, n - 1))
    lower = n * (rows - below * rest) / (below * noise + n * rows)
    upper = n * (above * rows - rest) / (noise + n * above * rows)
    return IntraclassCorrelation(float(value), (float(lower), float(upper)))


def consistency(ratings: ArrayLike, *, level: float = 0.95) -> IntraclassCorrelation:
    """Compute ICC(3,1), consistency of single ratings by fixed raters; their biases do not count.

    Arguments and errors as in :func:`absolute_agreement`.
    """
    table = _Variance.of(ratings)
    n, k = table.subjects, table.raters
    ratio = table.rows / table.rest if table.rest else math.inf
    degrees = (n - 1, (n - 1) * (k - 1))
    below = ratio / float(stats.f.ppf((1.0 + level) / 2.0, *degrees))
    above = ratio * float(stats.f.ppf((1.0 + level) / 2.0, *reversed(degrees)))
    value, lower, upper = (_of_ratio(part, k) for part in (ratio, below, above))
    return IntraclassCorrelation(value, (lower, upper))


def _of_ratio(ratio: float, raters: int) -> float:
    """``(F - 1) / (F + k - 1)``; 1 for infinite F."""
    return 1.0 if math.isinf(ratio) else (ratio - 1.0) / (ratio + raters - 1.0)


@dataclass(frozen=True)
class _Variance:
    """Mean squares of a two-way table without replicates: between subjects, between raters, and residual."""

    subjects: int
    raters: int
    rows: float
    columns: float
    rest: float

    @classmethod
    def of(cls, ratings: ArrayLike) -> _Variance:
        table = np.asarray(ratings, np.float64)
        if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all() or np.ptp(table) == 0.0:
            msg = f"ratings must be finite, (subjects, raters) of at least 2 x 2 and not all equal, got {table.shape}"
            raise ValueError(msg)
        n, k = table.shape
        mean, row, column = table.mean(), table.mean(axis=1), table.mean(axis=0)
        rest = table - row[:, None] - column[None] + mean
        return cls(
            n,
            k,
            float(k * ((row - mean) ** 2).sum() / (n - 1)),
            float(n * ((column - mean) ** 2).sum() / (k - 1)),
            float((rest**2).sum() / ((n - 1) * (k - 1))),
        )


def plot_bland_altman(first: ArrayLike, second: ArrayLike, unit: str, *, level: float = 0.95) -> Figure:
    """Plot differences over means of paired measurements (N,), with bias, limits and confidence intervals."""
    one, other = _paired(first, second)
    found = bland_altman(one, other, level=level)
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot((one + other) / 2.0, other - one, ".", alpha=0.6)
    lines = (
        (found.bias, found.bias_interval, "-"),
        (found.limits[0], found.lower_interval, "--"),
        (found.limits[1], found.upper_interval, "--"),
    )
    for value, interval, style in lines:
        axes.axhline(value, color="black", linewidth=1.0, linestyle=style)
        axes.axhspan(*interval, color="0.9", zorder=0)
    axes.set_xlabel(f"mean ({unit})")
    axes.set_ylabel(f"second - first ({unit})")
    axes.set_title(f"bias {found.bias:.3g}, limits {found.limits[0]:.3g} to {found.limits[1]:.3g} {unit}")
    return figure


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 1 or one.shape != other.shape or len(one) < 2 or not np.isfinite([one, other]).all():
        msg = f"both series must be finite and of the same length, at least 2, got {one.shape} and {other.shape}"
        raise ValueError(msg)
    return one, other
