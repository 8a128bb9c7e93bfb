"""Target distributions of a data set: joint space, shifts, rotations, noise.

A distribution is given by its quantile function, so that evenly spread levels yield a data set that follows it closely
at any size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from bundle.base import read_json
from bundle.errors import InputError
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]


class Distribution(ABC):
    """Distribution of requested values."""

    @abstractmethod
    def quantile(self, share: ArrayLike) -> Array:
        """Return the values at these cumulative probabilities, in [0, 1)."""

    def of_sources(self, values: ArrayLike) -> Distribution:
        """Return the distribution for source joints with these values (N,); most do not depend on them."""
        return self

    def describe(self) -> dict[str, Any]:
        """Return its name and parameters, for the card of a data set."""
        return {"distribution": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform distribution from ``lowest`` to ``highest``; equal ends give one value."""

    lowest: float
    highest: float

    def __post_init__(self) -> None:
        _expect_range(self.lowest, self.highest)

    def quantile(self, share: ArrayLike) -> Array:
        """See :meth:`Distribution.quantile`."""
        return self.lowest + (self.highest - self.lowest) * np.asarray(share, np.float64)


@dataclass(frozen=True)
class Normal(Distribution):
    """Normal distribution truncated at ``lowest`` and ``highest``."""

    mean: float
    deviation: float
    lowest: float
    highest: float

    def __post_init__(self) -> None:
        _expect_range(self.lowest, self.highest)
        if not (self.deviation > 0 and self.lowest < self.highest and np.isfinite(self.mean)):
            msg = f"{self} is not a distribution. Set a finite mean, a deviation above 0 and lowest below highest."
            raise InputError(msg)

    def quantile(self, share: ArrayLike) -> Array:
        """See :meth:`Distribution.quantile`."""
        ends = ((end - self.mean) / self.deviation for end in (self.lowest, self.highest))
        return np.asarray(stats.truncnorm.ppf(share, *ends, loc=self.mean, scale=self.deviation))


@dataclass(frozen=True)
class Histogram(Distribution):
    """Histogram with ``counts`` (N,) between ascending ``edges`` (N + 1,), uniform inside a bin."""

    edges: Sequence[float]
    counts: Sequence[float]

    def __post_init__(self) -> None:
        edges, counts = np.asarray(self.edges, np.float64), np.asarray(self.counts, np.float64)
        shaped = edges.ndim == counts.ndim == 1 and len(edges) == len(counts) + 1 >= 2
        finite = shaped and np.isfinite(edges).all() and np.isfinite(counts).all()
        if not (finite and (np.diff(edges) > 0).all() and (counts >= 0).all() and counts.sum() > 0):
            msg = (
                f"edges are {self.edges}, counts {self.counts}. Pass N + 1 ascending edges and N counts of at least 0, "
                "not all 0."
            )
            raise InputError(msg)

    def quantile(self, share: ArrayLike) -> Array:
        """See :meth:`Distribution.quantile`."""
        return np.asarray(self._distribution.ppf(share))

    @cached_property
    def _distribution(self) -> stats.rv_histogram:
        return stats.rv_histogram((np.asarray(self.counts), np.asarray(self.edges)), density=False)


def read_histogram(path: str | Path) -> Histogram:
    """Read a histogram: JSON with ``edges`` and ``counts``, as in the card of a data set under
    ``distributions.joint_space_mm``.

    Raises:
        InputError: the file cannot be read or holds no histogram.
    """
    try:
        found = read_json(path)
        return Histogram(list(found["edges"]), list(found["counts"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f'{path}: not a histogram ({error}). Write one as {{"edges": [0, 1, 2], "counts": [3, 4]}}.'
        raise InputError(msg) from error


@dataclass(frozen=True)
class Mirror(Distribution):
    """Inverted distribution of the source joints: values rare among them become frequent.

    The images fill every bin up to the fullest bin of the source joints, so that both together are uniform.

    Attributes:
        bins: number of bins over the range of the source joints.
        lowest: lower end of the range; None for the lowest source joint.
        highest: upper end of the range; None for the highest source joint.
    """

    bins: int = 20
    lowest: float | None = None
    highest: float | None = None

    def quantile(self, share: ArrayLike) -> Array:
        """Undefined before :meth:`of_sources`."""
        msg = "the mirrored distribution has no source joints: call of_sources first"
        raise ValueError(msg)

    def of_sources(self, values: ArrayLike) -> Histogram:
        """Return the inverted histogram.

        Raises:
            InputError: the source joints leave nothing to fill up: a single one, or all values equal.
        """
        known = np.asarray(values, np.float64)
        lowest = float(known.min()) if self.lowest is None else self.lowest
        highest = float(known.max()) if self.highest is None else self.highest
        if self.bins < 1 or not lowest < highest:
            msg = f"bins is {self.bins}, from {lowest} to {highest}. Pass at least one bin, and sources that differ."
            raise InputError(msg)
        counts, edges = np.histogram(known, self.bins, (lowest, highest))
        if (counts == counts[0]).all():
            return Histogram(edges.tolist(), [1.0] * self.bins)
        return Histogram(edges.tolist(), (counts.max() - counts).astype(float).tolist())


@dataclass(frozen=True)
class Own(Distribution):
    """Distribution of the source joints, unchanged.

    Attributes:
        bins: number of bins over the range of the source joints.
    """

    bins: int = 40

    def quantile(self, share: ArrayLike) -> Array:
        """Undefined before :meth:`of_sources`."""
        msg = "the distribution has no source joints: call of_sources first"
        raise ValueError(msg)

    def of_sources(self, values: ArrayLike) -> Distribution:
        """Return the histogram; for equal source joints, their one value.

        Raises:
            InputError: fewer than one bin.
        """
        known = np.asarray(values, np.float64)
        if self.bins < 1:
            msg = f"bins is {self.bins}. Pass at least one bin."
            raise InputError(msg)
        if (known == known[0]).all():
            return Uniform(float(known[0]), float(known[0]))
        counts, edges = np.histogram(known, self.bins)
        return Histogram(edges.tolist(), counts.astype(float).tolist())


@dataclass(frozen=True)
class Sweep(Distribution):
    """Fixed values, equally frequent."""

    values: Sequence[float]

    def __post_init__(self) -> None:
        if not len(self.values) or not np.isfinite(np.asarray(self.values, np.float64)).all():
            msg = f"values is {self.values}. Pass a list of finite numbers."
            raise InputError(msg)

    def quantile(self, share: ArrayLike) -> Array:
        """See :meth:`Distribution.quantile`."""
        places = np.floor(np.asarray(share, np.float64) * len(self.values)).astype(int)
        return np.asarray(self.values, np.float64)[places]


def _expect_range(lowest: float, highest: float) -> None:
    if not (np.isfinite([lowest, highest]).all() and lowest <= highest):
        msg = f"lowest is {lowest}, highest {highest}. Pass finite numbers, lowest not above highest."
        raise InputError(msg)
