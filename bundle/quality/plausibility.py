"""Whether a separation of an image should be trusted: is this a joint as the separator knows them, well masked?

A dozen or so properties of a radiograph and its masks are measured, each with a meaning (a bone's width in mm, how well
an outline follows the edge of a bone, noise ...), and compared with the range that they have in real joints. An image
is flagged where a property leaves its range, and the reason is that property in words. No network takes part, so the
flag does not share a network's blind spots, and it comes before any separation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from bundle.base import parse_json
from bundle.errors import InputError
from bundle.io import write_bytes
from bundle.quality.properties import PROPERTIES, TAIL, Property

MARGIN = 1e-6
"""Smallest reach of a range in spreads, where no image departs from the medians."""


class Range(NamedTuple):
    """Where a property lies in trusted images: its median, and the limits beyond which it is odd."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """Whether an image should be trusted.

    Attributes:
        score: distance of the oddest property from its median, in units of the distance of its limit; at most 1 is as
            in other joints.
        reasons: what is odd, in words, the oddest first; empty where the image is trusted.
    """

    score: float
    reasons: Sequence[str]

    @property
    def flagged(self) -> bool:
        """Whether the image should not be trusted."""
        return bool(self.reasons)

    def described(self) -> dict[str, Any]:
        """For JSON: ``plausibility_score`` (null where it is infinite), ``flagged`` and ``reasons``."""
        score = round(self.score, 3) if math.isfinite(self.score) else None
        return {"plausibility_score": score, "flagged": self.flagged, "reasons": list(self.reasons)}


@dataclass(frozen=True)
class PlausibilityReference:
    """Ranges of the properties of trusted images.

    Attributes:
        ranges: of each property.
        made: what they were made from: data, number of images, rate of false alarms, seed.
        properties: what they are the ranges of.
    """

    ranges: Mapping[str, Range]
    made: Mapping[str, Any]
    properties: Mapping[str, Property] = field(default_factory=lambda: PROPERTIES)

    @classmethod
    def fit(
        cls, values: pd.DataFrame, false_alarms: float, made: Mapping[str, Any] | None = None
    ) -> PlausibilityReference:
        """Ranges that leave out a given part of the images.

        Each side of a property has its own spread, from the median to its :data:`TAIL` of the images, and at least
        :attr:`Property.spread`. All limits lie equally many spreads from their medians, so many that all properties
        together leave out the given part.

        Args:
            values: a row for each image, a column for each of :data:`PROPERTIES` (:func:`measure`).
            false_alarms: part of these images that is flagged, in (0, 1).
            made: what to state with the ranges.

        Raises:
            ValueError: if there is no image or the part is out of range.
        """
        if not len(values) or not 0.0 < false_alarms < 1.0:
            msg = f"expected images and a part in (0, 1) of them to flag, got {len(values)} and {false_alarms}"
            raise ValueError(msg)
        spreads = {name: _spread(values[name], kind.spread) for name, kind in PROPERTIES.items()}
        near = cls(spreads, {})
        scores = [near.judge(row).score for row in values.to_dict("records")]
        reach = max(float(np.quantile(scores, 1.0 - false_alarms, method="higher")), MARGIN)
        ranges = {
            name: Range(median, median - reach * (median - low), median + reach * (high - median))
            for name, (median, low, high) in spreads.items()
        }
        return cls(ranges, dict(made or {}))

    def widened(self, other: PlausibilityReference) -> PlausibilityReference:
        """The same medians, with limits that also hold the ranges of another kind of trusted images."""
        ranges = {
            name: Range(own.median, min(own.low, other.ranges[name].low), max(own.high, other.ranges[name].high))
            for name, own in self.ranges.items()
        }
        return PlausibilityReference(ranges, self.made)

    def judge(self, values: Mapping[str, float]) -> Verdict:
        """Compare the properties of an image (:func:`measure`) with their ranges; one that is NaN is left out."""
        found = [(self._departure(name, values[name]), name) for name in self.properties]
        odd = sorted(((score, name) for score, name in found if score > 1.0), reverse=True)
        score = max((score for score, _ in found), default=0.0)
        reasons = list(dict.fromkeys(self._reason(name, values[name]) for _, name in odd))
        return Verdict(score, reasons)

    def _departure(self, name: str, value: float) -> float:
        kind, (median, low, high) = self.properties[name], self.ranges[name]
        if value < median and kind.low is not None:
            return (median - value) / (median - low)
        if value > median and kind.high is not None:
            return (value - median) / (high - median)
        return 0.0

    def _reason(self, name: str, value: float) -> str:
        kind, (median, low, high) = self.properties[name], self.ranges[name]
        meaning = kind.low if value < median else kind.high
        usual = f"at most {high:.2f}" if kind.low is None else f"at least {low:.2f}"
        usual = usual if kind.low is None or kind.high is None else f"{low:.2f} to {high:.2f}"
        return f"{meaning} ({name.replace('_', ' ')} {value:.2f}{kind.unit}, usual {usual})"

    def write(self, path: str | Path) -> None:
        """Write as JSON; raises :class:`InputError` where that is refused."""
        ranges = {
            name: {part: round(value, 4) for part, value in held._asdict().items()}
            for name, held in self.ranges.items()
        }
        write_bytes(path, (json.dumps({"made": dict(self.made), "ranges": ranges}, indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: str | Path) -> PlausibilityReference:
        """Read what :meth:`write` wrote.

        Raises:
            InputError: the file cannot be read or lacks a property.
        """
        try:
            content = parse_json(Path(path).read_bytes())
            ranges = {name: Range(**content["ranges"][name]) for name in PROPERTIES}
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = (
                f"expected the ranges of trusted images, got {path} ({type(error).__name__}: {error}): restore the "
                "file, or make it anew by configs/jobs/calibrate.yaml"
            )
            raise InputError(msg) from error
        return cls(ranges, content.get("made", {}))


def _spread(values: pd.Series, narrowest: float) -> Range:
    """The median, and the places of the first and last :data:`TAIL` of the values, at least the narrowest apart."""
    median, first, last = (float(values.quantile(part)) for part in (0.5, TAIL, 1.0 - TAIL))
    return Range(median, min(first, median - narrowest), max(last, median + narrowest))
