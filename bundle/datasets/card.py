"""Requested and actual contents of a data set, counted image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from bundle.datasets.factory import Sample
from bundle.datasets.specifications import SampleSpecification, SampleSpecifications

BINS = 30
"""Number of bins of the histograms."""
_ALMOST_ALL = 1.0 - 1e-12


class DataCount:
    """Counts of the images of a data set or of a subset; counts of subsets can be added.

    Args:
        specifications: sample specifications of the data set; they set the range of its histograms.
    """

    def __init__(self, specifications: SampleSpecifications) -> None:
        self._edges = {name: np.linspace(low, high, BINS + 1) for name, (low, high) in _ends(specifications).items()}
        empty = {name: np.zeros(BINS, int) for name in self._edges}
        self._asked, self._made = empty, {name: counts.copy() for name, counts in empty.items()}
        self.refused: Counter[str] = Counter()
        self._counts = {
            name: Counter[str]() for name in ("images", "missing", "fingers", "narrowing_grades", "sources")
        }

    @property
    def made(self) -> int:
        """Number of images made."""
        return self._counts["images"]["all"]

    def count(self, asked: SampleSpecification, made: Sample | None) -> None:
        """Count a requested image and the image made from it, if any."""
        self._fill(self._asked, asked, asked.joint_space_mm)
        if made is None:
            self._counts["missing"]["all"] += 1
            return
        self._fill(self._made, made.specification, made.joint_space_mm)
        source = made.specification.source
        named = {"images": "all", "fingers": source.finger, "narrowing_grades": str(made.grade), "sources": source.name}
        for name, value in named.items():
            self._counts[name][value] += 1

    def _fill(self, counts: Mapping[str, Any], specification: SampleSpecification, width: float) -> None:
        for name, edges in self._edges.items():
            value = width if name == "joint_space_mm" else getattr(specification, name)
            counts[name][int(np.clip(np.searchsorted(edges, value, "right") - 1, 0, BINS - 1))] += 1

    def to_json(self) -> dict[str, Any]:
        """Return all counts, for storage and addition."""
        asked, made = ({name: part.tolist() for name, part in of.items()} for of in (self._asked, self._made))
        return {"asked": asked, "made": made, "refused": dict(self.refused), "counts": self._counts}

    def add(self, stored: Mapping[str, Any]) -> None:
        """Add the :meth:`to_json` of another subset; damaged counts raise a ValueError, LookupError or similar."""
        for name in self._edges:
            self._asked[name] += np.asarray(stored["asked"][name])
            self._made[name] += np.asarray(stored["made"][name])
        self.refused.update({reason: int(count) for reason, count in stored["refused"].items()})
        for name, counts in self._counts.items():
            counts.update(stored["counts"][name])

    def describe(self) -> dict[str, Any]:
        """Summarize for people: numbers of images, refusals, and each quantity as requested and as made."""
        counts = self._counts
        return {
            "images": counts["images"]["all"],
            "missing": counts["missing"]["all"],
            "refused": dict(sorted(self.refused.items())),
            "narrowing_grades": dict(sorted(counts["narrowing_grades"].items())),
            "fingers": dict(sorted(counts["fingers"].items())),
            "distributions": {name: self._compared(name) for name in self._edges},
        }

    def images_of(self, source: str) -> int:
        """Return the number of images made from a source joint."""
        return self._counts["sources"][source]

    def _compared(self, name: str) -> dict[str, Any]:
        """Return both histograms and the largest difference of their cumulative shares (Kolmogorov-Smirnov)."""
        asked, made = self._asked[name], self._made[name]
        shares = [np.cumsum(counts) / max(counts.sum(), 1) for counts in (asked, made)]
        return {
            "edges": self._edges[name].round(6).tolist(),
            "asked": asked.tolist(),
            "counts": made.tolist(),
            "largest_difference": round(float(np.abs(shares[0] - shares[1]).max()), 5),
        }


def _ends(specifications: SampleSpecifications) -> dict[str, tuple[float, float]]:
    """Return the range of each quantity."""
    plan = specifications.plan
    asked = {
        "joint_space_mm": specifications.joint_space_mm,
        "sideways_mm": plan.sideways_mm,
        "rotation_degrees": plan.rotation_deg,
        "noise": plan.noise,
    }
    ends = {name: (float(of.quantile(0.0)), float(of.quantile(_ALMOST_ALL))) for name, of in asked.items()}
    if plan.fixed:
        widths = [source.width + change for source in specifications.sources for change in plan.changes_mm] or list(
            plan.fixed
        )
        ends["joint_space_mm"] = (min(widths), max(widths))
    return {name: (low, high) if high > low else (low - 0.5, high + 0.5) for name, (low, high) in ends.items()}
