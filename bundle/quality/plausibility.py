"""Plausibility of an image before separation: a well-masked joint of the kind that the separator knows.

A dozen or so interpretable properties of a radiograph and its masks are measured (a bone's width in mm, how well an
outline follows the edge of a bone, noise and others) and compared with their ranges in real joints. An image is flagged
if a property leaves its range, and the reason states that property in words. No network takes part, so the flag does
not share a network's blind spots, and it precedes any separation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from bundle.base import read_json
from bundle.errors import InputError
from bundle.io import write_bytes
from bundle.joint import Keys
from bundle.quality.properties import PROPERTIES, TAIL, Property, measure
from monai.transforms import Transform
from monai.utils.enums import TransformBackends

MARGIN = 1e-6
"""Smallest extent of a range in spreads, for images that do not depart from the medians."""


class Range(NamedTuple):
    """Range of a property in plausible images: its median, and the limits beyond which it is implausible."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """Plausibility of an image.

    Attributes:
        score: largest distance of a property from its median, relative to the distance of its limit; usually at most 1.
        reasons: implausible properties in words, the worst first; empty if the image is plausible.
        notes: unusual properties of the appearance in words, the worst first, that do not make the image implausible:
            the separator has not seen such images, and its errors are not known there.
    """

    score: float
    reasons: Sequence[str]
    notes: Sequence[str] = ()

    @property
    def flagged(self) -> bool:
        """Whether the image is implausible."""
        return bool(self.reasons)

    def described(self) -> dict[str, Any]:
        """Describe for JSON: ``plausibility_score`` (null if infinite), ``flagged``, ``reasons`` and ``notes``."""
        score = round(self.score, 3) if math.isfinite(self.score) else None
        lists = {"reasons": list(self.reasons), "notes": list(self.notes)}
        return {"plausibility_score": score, "flagged": self.flagged, **lists}


@dataclass(frozen=True)
class PlausibilityReference:
    """Ranges of the properties of plausible images.

    Attributes:
        ranges: range of each property.
        made: provenance: data, number of images, rate of false alarms, seed.
        properties: the properties.
        appearance_limits: distance of each property of the appearance from its median, relative to the distance of the
            end of its range, beyond which the image is implausible; default 1. Values in between give a note.
    """

    ranges: Mapping[str, Range]
    made: Mapping[str, Any]
    properties: Mapping[str, Property] = field(default_factory=lambda: PROPERTIES)
    appearance_limits: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls, values: pd.DataFrame, false_alarms: float, made: Mapping[str, Any] | None = None
    ) -> PlausibilityReference:
        """Fit ranges that exclude a given fraction of the images.

        Each side of a property has its own spread, from the median to the quantile :data:`TAIL` of that side, and at
        least :attr:`Property.spread`. All limits lie the same number of spreads from their medians, chosen so that all
        properties together exclude the given fraction.

        Args:
            values: a row for each image, a column for each of :data:`PROPERTIES` (:func:`measure`).
            false_alarms: fraction of these images that is flagged, in (0, 1).
            made: provenance to record with the ranges.

        Raises:
            ValueError: there is no image, or the fraction is out of range.
        """
        if not len(values) or not 0.0 < false_alarms < 1.0:
            msg = f"false_alarms must be in (0, 1), for at least one image, got {false_alarms} for {len(values)}"
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
        """Keep the medians and extend the limits to include the ranges of another kind of plausible images."""
        ranges = {
            name: Range(own.median, min(own.low, other.ranges[name].low), max(own.high, other.ranges[name].high))
            for name, own in self.ranges.items()
        }
        return replace(self, ranges=ranges)

    def with_appearance(self, values: pd.DataFrame, false_alarms: float) -> PlausibilityReference:
        """Extend the limits of the appearance, so that they exclude a fraction of images that other scanners may make.

        Each limit excludes an equal share of this fraction.

        Args:
            values: properties of such images, a row each.
            false_alarms: largest fraction of the images beyond the limits.
        """
        names = [name for name, kind in self.properties.items() if kind.appearance]
        kept = 1.0 - false_alarms / len(names)
        far = {name: [self._departure(name, value) for value in values[name]] for name in names}
        limits = {name: float(np.quantile(far[name], kept, method="higher")) for name in names}
        return replace(self, appearance_limits={name: max(_rounded_up(limit), 1.0) for name, limit in limits.items()})

    def judge(self, values: Mapping[str, float]) -> Verdict:
        """Compare the properties of an image (:func:`measure`) with their ranges; NaN values are ignored."""
        departures = {name: self._departure(name, values[name]) for name in self.properties}
        scores = {name: value / self._limit(name) for name, value in departures.items()}
        unusual = sorted((name for name, value in departures.items() if value > 1.0), key=lambda name: -scores[name])
        said = {name: self._reason(name, values[name]) for name in unusual}
        reasons, notes = (
            list(dict.fromkeys(text for name, text in said.items() if (scores[name] > 1.0) == odd))
            for odd in (True, False)
        )
        return Verdict(max(scores.values(), default=0.0), reasons, notes)

    def _limit(self, name: str) -> float:
        return self.appearance_limits.get(name, 1.0)

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
        """Write as JSON; raises :class:`InputError` if the file cannot be written."""
        ranges = {name: _rounded_outwards(held)._asdict() for name, held in self.ranges.items()}
        limits = dict(self.appearance_limits)
        content = {"made": dict(self.made), "appearance_limits": limits, "ranges": ranges}
        write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: str | Path) -> PlausibilityReference:
        """Read a file from :meth:`write`.

        Raises:
            InputError: the file cannot be read or lacks a property.
        """
        try:
            content = read_json(path)
            ranges = {name: _range(content["ranges"][name]) for name in PROPERTIES}
            limits = {str(name): float(limit) for name, limit in content["appearance_limits"].items()}
            made = dict(content.get("made", {}))
            if not all(0.0 < limit < math.inf for limit in limits.values()):
                raise ValueError("one of the appearance_limits is not above 0")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            msg = (
                f"{path}: not the ranges of plausible images ({type(error).__name__}: {error}). Restore the file, or "
                "run configs/jobs/calibrate.yaml."
            )
            raise InputError(msg) from error
        return cls(ranges, made, appearance_limits=limits)


def _range(stated: Mapping[str, Any]) -> Range:
    """The range that a file states; ValueError if its numbers are not in order."""
    found = Range(**{part: float(value) for part, value in stated.items()})
    if not -math.inf < found.low < found.median < found.high < math.inf:
        msg = f"the range {tuple(found)} is not in order"
        raise ValueError(msg)
    return found


def _rounded_outwards(held: Range) -> Range:
    """Round to four decimals, so that no image in the range leaves it."""
    return Range(round(held.median, 4), math.floor(1e4 * held.low) / 1e4, math.ceil(1e4 * held.high) / 1e4)


def _rounded_up(limit: float) -> float:
    """Round up to hundredths, so that the rounding of the ranges in a file flags no image at the limit."""
    return math.ceil(100.0 * limit) / 100.0


def _spread(values: pd.Series, narrowest: float) -> Range:
    """Return the median and the quantiles :data:`TAIL` of both sides, at least the narrowest spread away from it."""
    median, first, last = (float(values.quantile(part)) for part in (0.5, TAIL, 1.0 - TAIL))
    return Range(median, min(first, median - narrowest), max(last, median + narrowest))


class Plausibilityd(Transform):
    """Judgement of a loaded joint, for networks that see only a part of it.

    Adds ``plausibility_score`` (1,), infinite at worst, and ``reasons``, the implausible properties in words, separated
    by semicolons, "" if there is none.

    Args:
        reference: path of the ranges of plausible images (:meth:`PlausibilityReference.read`).

    Raises:
        InputError: the file cannot be read.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, reference: str | Path) -> None:
        self.reference = PlausibilityReference.read(reference)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Judge ``image`` (3, H, W), a radiograph and its masks, by its ``spacing``."""
        verdict = self.reference.judge(measure(data[Keys.IMAGE], float(data[Keys.SPACING])))
        return {**data, "plausibility_score": torch.tensor([verdict.score]), "reasons": "; ".join(verdict.reasons)}
