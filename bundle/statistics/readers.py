"""Several readers who score the same images: accuracy and area under the curve with intervals, and learning.

Intervals of the mean over readers hold for other readers and other joints. The area under the curve follows Obuchowski
and Rockette (Communications in Statistics - Simulation and Computation 1995) with the degrees of freedom of Hillis
(Statistics in Medicine 2007, 26:596); covariances are those of DeLong et al. (Biometrics 1988).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from bundle.statistics.estimates import UNDEFINED, Estimate
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

FIGURES = ("sensitivity", "specificity", "accuracy", "auc")
"""Names of the figures of a reader."""

_STEPS = 50
"""Largest number of Newton steps of the logistic regression."""

_FARTHEST = 30.0
"""Log odds beyond which a logistic regression counts as separated."""


@dataclass(frozen=True, eq=False)
class ReaderScores:
    """Scores of readers for the same images.

    Attributes:
        scores: (R, N), above 0 where the reader calls the image positive; NaN where there is no answer.
        labels: (N,), true for positive images.

    Raises:
        ValueError: the shapes do not match, or one of both kinds of images is absent.
    """

    scores: Array
    labels: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.labels.shape != self.scores.shape[1:] or not len(self.scores):
            msg = f"scores {self.scores.shape} must be (readers, images), for labels {self.labels.shape}"
            raise ValueError(msg)
        if self.labels.all() or not self.labels.any():
            msg = "labels must name images of both kinds"
            raise ValueError(msg)

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """Whether each reader has scored each image, (R, N)."""
        return np.isfinite(self.scores)

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each answer is correct, (R, N); False without one."""
        return self.answered & ((self.scores > 0.0) == self.labels)

    def figures(self, weights: ArrayLike) -> dict[str, Array]:
        """Compute the figures of each reader, (B, R), of images that count with weights (B, N).

        Returns:
            Sensitivity, specificity, accuracy and area under the curve; NaN where they are undefined.
        """
        counted = np.asarray(weights, np.float64)
        groups = {"sensitivity": self.labels, "specificity": ~self.labels, "accuracy": np.ones_like(self.labels)}
        shares = {name: self._share(counted * group) for name, group in groups.items()}
        return {**shares, "auc": self._areas(counted)}

    def _share(self, weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return weights @ self.correct.T / (weights @ self.answered.T)

    def _areas(self, weights: Array) -> Array:
        """Area under the curve of each reader, (B, R)."""
        found = []
        for order, known in zip(comparisons(self.scores, self.labels), self.answered, strict=True):
            positive, negative = (weights[:, group] * known[group] for group in (self.labels, ~self.labels))
            above = ((positive @ order) * negative).sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append(above / (positive.sum(axis=1) * negative.sum(axis=1)))
        return np.stack(found, axis=1)


def comparisons(scores: Array, labels: NDArray[np.bool_]) -> Array:
    """Compare each positive with each negative image: 1 where it scores higher, one half for ties, (R, n_1, n_0)."""
    positive, negative = scores[:, labels, None], scores[:, None, ~labels]
    return (positive > negative) + 0.5 * (positive == negative)


def reader_intervals(
    scores: ReaderScores, joints: Sequence[str], *, samples: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[list[dict[str, Estimate]], dict[str, Estimate]]:
    """Compute the figures of each reader and their means over the readers with bootstrap intervals.

    The intervals of one reader resample joints; those of the means resample joints and readers. Joints are resampled
    within their kind, so that every sample has images of both.

    Args:
        scores: scores of the readers.
        joints: joint of each image; images of one joint are resampled together and are of one kind.
        samples: number of bootstrap samples.
        level: confidence level of the intervals.
        seed: random seed.

    Returns:
        For each reader, and for the mean, the estimate of each of :data:`FIGURES`.
    """
    random = np.random.RandomState(seed)
    images = _image_weights(scores.labels, joints, samples, random)
    readers = len(scores.scores)
    counted = random.multinomial(readers, np.full(readers, 1.0 / readers), size=samples)
    values, resampled = scores.figures(np.ones((1, len(joints)))), scores.figures(images)
    single = [
        {name: _estimate(values[name][0, row], resampled[name][:, row], level) for name in FIGURES}
        for row in range(readers)
    ]
    means = {name: (resampled[name] * counted).sum(axis=1) / readers for name in FIGURES}
    return single, {name: _estimate(values[name].mean(), means[name], level) for name in FIGURES}


def _image_weights(
    labels: NDArray[np.bool_], joints: Sequence[str], samples: int, random: np.random.RandomState
) -> Array:
    """How often each image is in each bootstrap sample, (B, N)."""
    names, joint_of = np.unique(np.asarray(joints, str), return_inverse=True)
    counted = np.zeros((samples, len(names)))
    for kind in (True, False):
        group = np.unique(joint_of[labels == kind])
        counted[:, group] += random.multinomial(len(group), np.full(len(group), 1.0 / len(group)), size=samples)
    return counted[:, joint_of]


def _estimate(value: float, resampled: Array, level: float) -> Estimate:
    known = resampled[np.isfinite(resampled)]
    if not math.isfinite(value) or not len(known):
        return UNDEFINED
    low, high = np.quantile(known, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Estimate(float(value), (float(low), float(high)))


def delong(scores: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Compute the areas under the curve of several readers (R,) and their covariance (R, R) over images.

    Args:
        scores: finite scores, (R, N), higher for positives.
        labels: (N,), positive above 0.5; at least two of each kind.

    Raises:
        ValueError: the scores are not finite, the shapes do not match, or a kind has fewer than two images.
    """
    found, positive = np.asarray(scores, np.float64), np.asarray(labels) > 0.5
    counts = int(positive.sum()), int((~positive).sum())
    if found.ndim != 2 or found.shape[1:] != positive.shape or not np.isfinite(found).all() or min(counts) < 2:
        msg = f"scores {found.shape} must be finite, (readers, images), at least two images of each kind, got {counts}"
        raise ValueError(msg)
    order = comparisons(found, positive)
    parts = [np.atleast_2d(np.cov(order.mean(axis=axis))) / count for axis, count in zip((2, 1), counts, strict=True)]
    return order.mean(axis=(1, 2)), parts[0] + parts[1]


@dataclass(frozen=True)
class ReaderAveragedArea:
    """Area under the curve averaged over readers (:func:`obuchowski_rockette`).

    Attributes:
        value: mean area.
        interval: confidence interval for other readers and other images, within [0, 1].
        standard_error: standard error of the mean area.
        freedom: degrees of freedom; infinite for one reader.
        between_readers: mean square between readers; NaN for one reader.
        covariance: mean covariance of two readers, Cov2; NaN for one reader.
    """

    value: float
    interval: tuple[float, float]
    standard_error: float
    freedom: float
    between_readers: float
    covariance: float


def obuchowski_rockette(scores: ArrayLike, labels: ArrayLike, *, level: float = 0.95) -> ReaderAveragedArea:
    """Compute the reader-averaged area under the curve of one modality, with its interval.

    The variance of the mean of R readers is ``(MS(R) + R max(Cov2, 0)) / R``, where MS(R) is the mean square of the
    areas between readers and Cov2 the mean covariance of two readers. The quantile is that of Student's t with
    ``(MS(R) + R max(Cov2, 0))^2 / (MS(R)^2 / (R - 1))`` degrees of freedom (Hillis 2007). One reader has DeLong's
    variance and the normal quantile.

    In simulations with 50 + 50 images the 95 % interval covers the true area in 91 to 94 % of studies with five readers
    and in 93 to 95 % with ten; less often, the more the readers differ.

    Args:
        scores: finite scores, (R, N), higher for positives.
        labels: (N,), positive above 0.5; at least two of each kind.
        level: confidence level of the interval.

    Raises:
        ValueError: as in :func:`delong`.
    """
    areas, covariances = delong(scores, labels)
    readers, value = len(areas), float(areas.mean())
    if readers == 1:
        return _averaged(value, float(covariances[0, 0]), math.inf, level, math.nan, math.nan)
    between = float(areas.var(ddof=1))
    shared = float((covariances.sum() - covariances.trace()) / (readers * (readers - 1)))
    total = between + readers * max(shared, 0.0)
    freedom = total**2 / (between**2 / (readers - 1)) if between > 0.0 else math.inf
    return _averaged(value, total / readers, freedom, level, between, shared)


def _averaged(
    value: float, variance: float, freedom: float, level: float, between: float, shared: float
) -> ReaderAveragedArea:
    error = math.sqrt(max(variance, 0.0))
    reach = error * float(stats.t.ppf((1.0 + level) / 2.0, freedom))
    interval = max(0.0, value - reach), min(1.0, value + reach)
    return ReaderAveragedArea(value, interval, error, freedom, between, shared)


def logistic_slope(values: ArrayLike, correct: ArrayLike, readers: Sequence[str], *, level: float = 0.95) -> Estimate:
    """Fit the log odds of a correct answer as a line in ``values``, with one intercept per reader.

    Readers whose answers are all correct or all wrong do not determine a slope and are left out.

    Args:
        values: position of each answer, (N,).
        correct: whether each answer is correct, (N,).
        readers: reader of each answer.
        level: confidence level of the interval (Wald).

    Returns:
        Slope in log odds per unit of ``values``; undefined if the answers do not determine it.
    """
    positions, hits, names = np.asarray(values, np.float64), np.asarray(correct, bool), np.asarray(readers, str)
    mixed = [name for name in np.unique(names) if 0 < hits[names == name].sum() < (names == name).sum()]
    kept = np.isin(names, mixed)
    if not mixed or not np.ptp(positions[kept]):
        return UNDEFINED
    scale = float(positions[kept].std())
    line = (positions[kept] - positions[kept].mean()) / scale
    design = np.column_stack([line, *[names[kept] == name for name in mixed]]).astype(np.float64)
    fitted = _logistic_fit(design, hits[kept].astype(np.float64))
    if fitted is None:
        return UNDEFINED
    slope, error = fitted[0] / scale, fitted[1] / scale
    reach = error * float(stats.norm.ppf((1.0 + level) / 2.0))
    return Estimate(slope, (slope - reach, slope + reach))


def _logistic_fit(design: Array, hits: Array) -> tuple[float, float] | None:
    """First coefficient and its standard error, by Newton's method; None if it does not converge."""
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-design @ found))
        information = design.T @ (design * (chance * (1.0 - chance))[:, None])
        try:
            step = np.linalg.solve(information, design.T @ (hits - chance))
        except np.linalg.LinAlgError:
            return None
        found = found + step
        if np.abs(found).max() > _FARTHEST:
            return None
        if np.abs(step).max() < 1e-9:
            return float(found[0]), float(np.sqrt(np.linalg.inv(information)[0, 0]))
    return None


def named(estimates: Mapping[str, Estimate]) -> dict[str, float | list[float]]:
    """Return estimates as figures: each value, and its interval under ``<name>_interval``."""
    figures: dict[str, float | list[float]] = {}
    for name, found in estimates.items():
        figures |= {name: found.value, f"{name}_interval": list(found.interval)}
    return figures
