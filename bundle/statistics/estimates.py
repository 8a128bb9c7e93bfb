"""Estimates with their confidence intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """An estimate with its confidence interval.

    Attributes:
        value: the estimate; NaN if it is undefined.
        interval: lower and upper bound; NaN if they are undefined.
    """

    value: float
    interval: tuple[float, float]


UNDEFINED = Estimate(math.nan, (math.nan, math.nan))
"""Estimate of a quantity that the data do not determine."""


def proportion(hits: int, count: int, *, level: float = 0.95) -> Estimate:
    """Compute a proportion with Wilson's interval (Journal of the American Statistical Association 1927).

    >>> found = proportion(81, 263)
    >>> round(found.value, 4), [round(bound, 4) for bound in found.interval]
    (0.308, [0.2553, 0.3662])

    Args:
        hits: number of successes.
        count: number of trials.
        level: confidence level of the interval.

    Returns:
        The proportion; :data:`UNDEFINED` without trials.

    Raises:
        ValueError: the number of successes is negative or exceeds that of the trials.
    """
    if not 0 <= hits <= count:
        msg = f"{hits} successes of {count} trials"
        raise ValueError(msg)
    if not count:
        return UNDEFINED
    quantile, share = float(stats.norm.ppf((1.0 + level) / 2.0)), hits / count
    scale = 1.0 + quantile**2 / count
    middle = (share + quantile**2 / (2.0 * count)) / scale
    reach = quantile * math.sqrt(share * (1.0 - share) / count + quantile**2 / (4.0 * count**2)) / scale
    return Estimate(share, (max(0.0, middle - reach), min(1.0, middle + reach)))
