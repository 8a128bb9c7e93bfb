"""Accuracy of the joint space width (JSW), measured on masks and by aligning the layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from bundle.measurement import ALIGNED, ALONG_AXIS, OutlineGap, joint_space_by_alignment, outline_gap_along_axis
from bundle.physics import continue_to_border
from bundle.separation import identity
from bundle.statistics import (
    Measured,
    SeparatedJoints,
    absolute_agreement,
    bland_altman,
    bootstrap_interval,
    plot_bland_altman,
    smallest_detectable_difference,
)
from torch import Tensor
from tqdm import tqdm

DEFINITIONS = {"masks": ALONG_AXIS, "predicted": f"{ALONG_AXIS}, on predicted masks", "alignment": ALIGNED}
"""Definition of the width by each method; truth files use another one, :data:`bundle.measurement.VERTICAL`."""
METHODS = tuple(DEFINITIONS)
NARROW = 0.3
"""Upper limit of the narrow joints in mm; joints below 0 are overlapping."""


@dataclass(frozen=True, kw_only=True)
class JointSpaceMeasurement:
    """JSW by three methods, against the true one, between re-takes, and against each other, in mm.

    The methods are ``masks`` (:func:`bundle.measurement.outline_gap_along_axis` on the list's masks, binary),
    ``predicted`` (on those that a network predicts) and ``alignment``
    (:func:`bundle.measurement.joint_space_by_alignment` of the layers, in the region of the list's masks).

    Figures of joints whose items contain ``jsw_mm``: bias, 95 % limits, MAE, largest error and ICC(2,1) of each method
    against it, also separately for wide, narrow and overlapping joints. For joints with several radiographs with a
    ``retake``: the smallest detectable difference (SDD) over pairs of re-takes, of the mean and of the minimum width,
    and the ICC(2,1) of re-takes. For all: ``alignment_less_masks`` and ``predicted_less_masks``. Intervals are by
    bootstrap over joints. Failed measurements are counted as ``missing`` and excluded.

    The true width is vertical, the measured one along the joint's axis; on phantoms, which are slightly slanted, the
    two differ by 0.01 mm in the mean.

    Attributes:
        segment: function that predicts masks (2, H, W) from a radiograph (1, H, W); None omits ``predicted``.
        samples: number of bootstrap samples.
        level: confidence level of the intervals.
        seed: random seed of the bootstrap.
    """

    segment: Callable[[Tensor], Tensor] | None = None
    samples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __call__(self, test: SeparatedJoints) -> Measured:
        """Measure; the worst joints are those with the largest error, or difference of alignment and masks."""
        rows = self._rows(test)
        reference = rows["jsw_mm"] if "jsw_mm" in rows else rows["masks"]
        figures = {
            "images": len(rows),
            "joints": rows["joint"].nunique(),
            "definitions": {method: DEFINITIONS[method] for method in self._methods},
            **{method: self._of_method(rows, method) for method in self._methods},
            **{
                f"{method}_less_masks": self._agreement(rows, "masks", method)
                for method in self._methods
                if method != "masks"
            },
        }
        error = (rows["alignment"] - reference).abs()
        worst = rows.assign(error=error).sort_values("error", ascending=False, na_position="first", kind="stable")
        return Measured(figures, rows, self._plots(rows), worst["name"].tolist())

    @property
    def _methods(self) -> tuple[str, ...]:
        return METHODS if self.segment else tuple(method for method in METHODS if method != "predicted")

    def _rows(self, test: SeparatedJoints) -> pd.DataFrame:
        """Return a row for each image with the widths by each method."""
        known = {
            key: [item[key] for item in test.items]
            for key in ("jsw_mm", "retake")
            if all(key in item for item in test.items)
        }
        images = tqdm(range(len(test)), desc="measuring JSW", unit="joint", mininterval=0.5)
        found = [self._widths(test, index) for index in images]
        return identity(test).assign(**known, **pd.DataFrame(found).to_dict("series"))

    def _widths(self, test: SeparatedJoints, index: int) -> dict[str, float]:
        """Measure one joint, by ``<method>`` and ``<method>_minimum``."""
        image, spacing = test.images[index], float(test.spacing[index])
        masks = (image[None, 1:] > 0.5).float()
        spaces = {
            "masks": outline_gap_along_axis(masks, spacing),
            "alignment": joint_space_by_alignment(test.layers[index : index + 1], masks, spacing),
        }
        if self.segment is not None:
            spaces["predicted"] = outline_gap_along_axis(
                continue_to_border(self.segment(image[:1]), spacing)[None], spacing
            )
        return {name: value for method, space in spaces.items() for name, value in _named(method, space)}

    def _of_method(self, rows: pd.DataFrame, method: str) -> dict[str, Any]:
        figures: dict[str, Any] = {"missing": int(rows[method].isna().sum())}
        if "jsw_mm" in rows:
            figures |= self._agreement(rows, "jsw_mm", method)
            parts = _parts(rows["jsw_mm"])
            figures |= {name: self._agreement(rows[part], "jsw_mm", method) for name, part in parts.items()}
        if "retake" in rows:
            figures |= self._between_retakes(rows, method)
        return figures

    def _agreement(self, rows: pd.DataFrame, first: str, second: str) -> dict[str, Any]:
        """Compute figures of ``second`` against ``first``; only their number if fewer than two images have both."""
        both = rows.dropna(subset=[first, second])
        if len(both) < 2:
            return {"images": len(both)}
        one, other = both[first].to_numpy(), both[second].to_numpy()
        error, joints = other - one, both["joint"].tolist()
        interval = partial(bootstrap_interval, joints=joints, samples=self.samples, level=self.level, seed=self.seed)
        found = bland_altman(one, other)
        return {
            "images": len(both),
            "bias": found.bias,
            "bias_interval": list(interval(lambda sampled: float(error[sampled].mean()))),
            "limits": list(found.limits),
            "mae": found.mae,
            "mae_interval": list(interval(lambda sampled: float(np.abs(error[sampled]).mean()))),
            "largest": float(np.abs(error).max()),
            "icc": absolute_agreement(np.stack([one, other], axis=1)).value,
        }

    def _between_retakes(self, rows: pd.DataFrame, method: str) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        for name, column in (("", method), ("minimum_", f"{method}_minimum")):
            takes = rows.pivot(index="joint", columns="retake", values=column).dropna().to_numpy()
            if min(takes.shape) < 2:
                continue
            found = absolute_agreement(takes, level=self.level)
            first, second = (np.concatenate(pair) for pair in zip(*combinations(takes.T, 2), strict=True))
            figures |= {
                f"{name}sdd": smallest_detectable_difference(first, second),
                f"{name}retakes_icc": found.value,
                f"{name}retakes_icc_interval": list(found.interval),
            }
        return figures

    def _plots(self, rows: pd.DataFrame) -> dict[str, Any]:
        reference = "jsw_mm" if "jsw_mm" in rows else "masks"
        measured = {method: rows.dropna(subset=[reference, method]) for method in self._methods if method != reference}
        return {
            f"{method}_bland_altman": plot_bland_altman(both[reference], both[method], "mm")
            for method, both in measured.items()
            if len(both) > 1
        }


def _named(method: str, space: OutlineGap) -> Iterator[tuple[str, float]]:
    yield method, float(space.mean)
    yield f"{method}_minimum", float(space.minimum)


def _parts(width: pd.Series) -> dict[str, pd.Series]:
    """Select the images whose joints are wide, narrow or overlapping."""
    return {"wide": width >= NARROW, "narrow": (width >= 0.0) & (width < NARROW), "overlapping": width < 0.0}
