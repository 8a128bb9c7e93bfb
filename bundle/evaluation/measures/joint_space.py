"""Accuracy and repeatability of the joint space width between the joint surfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from bundle.measurement import ALONG_AXIS, DEFINITION, JointSpace, measure_joint_space, outline_gap_along_axis
from bundle.phantoms import true_joint_space
from bundle.physics import continue_to_border
from bundle.separation.transforms import phantom_of
from bundle.statistics import (
    Measured,
    SeparatedJoints,
    absolute_agreement,
    bland_altman,
    bootstrap_interval,
    identity,
    plot_bland_altman,
    repeatability,
    smallest_detectable_difference,
)
from torch import Tensor
from tqdm import tqdm

DEFINITIONS = {"surfaces": DEFINITION, "predicted": f"{DEFINITION}, guided by predicted masks", "outlines": ALONG_AXIS}
"""Definition of the width by each method; the gap of the outlines is another quantity, listed for comparison."""

TRUE = "true_mm"
"""Column of the true joint space width of phantoms."""

FRAME, UNMOVED = "frame", "unmoved"
"""Column of the kind of a phantom's frame, and that of an unmoved one."""

NARROW, CLOSED = 1.0, 0.5
"""Upper limits in mm of narrow and closed joints."""

GROSS = 0.3
"""Deviation from the median of a joint's visits, in mm, above which a measurement is a gross error."""


@dataclass(frozen=True, kw_only=True)
class JointSpaceMeasurement:
    """Joint space width against the true one, between re-takes, and over the visits of a joint, in mm.

    The methods are ``surfaces`` (:func:`bundle.measurement.measure_joint_space` of the layers, guided by the list's
    masks), ``predicted`` (guided by predicted masks) and ``outlines`` (the gap of the list's masks).

    Figures of ``surfaces`` and ``predicted`` on phantoms: bias, 95 % limits, MAE, largest error and ICC(2,1) against
    the true width (:func:`bundle.phantoms.true_joint_space`), also separately for wide, narrow and closed joints. For
    joints with several radiographs with a ``retake``: the smallest detectable difference (SDD) over pairs of re-takes,
    of the mean, also by finger (:func:`bundle.statistics.repeatability`), and of the minimum width, and the ICC(2,1) of
    re-takes. For other joints with several radiographs: ``visits_sd``, the median standard deviation over a joint's
    visits, and ``gross``, the fraction of measurements that deviate by more than :data:`GROSS` from the joint's
    median. For all: ``predicted_less_surfaces``, and ``refused``,
    the fraction of refused measurements, with their number by reason. Intervals are by bootstrap over joints.

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
        """Measure; the worst joints are refused, or have the largest error or deviation from their other visits."""
        rows = self._rows(test)
        figures = {
            "images": len(rows),
            "joints": rows["joint"].nunique(),
            "definitions": {method: DEFINITIONS[method] for method in self._methods},
            **{method: self._of_method(rows, method) for method in self._methods},
        }
        if self.segment is not None:
            figures["predicted_less_surfaces"] = self._agreement(rows, "surfaces", "predicted")
        reference = rows[TRUE] if TRUE in rows else rows.groupby("joint")["surfaces"].transform("median")
        error = (rows["surfaces"] - reference).abs()
        worst = rows.assign(error=error).sort_values("error", ascending=False, na_position="first", kind="stable")
        return Measured(figures, rows, self._plots(rows), worst["name"].tolist())

    @property
    def _methods(self) -> tuple[str, ...]:
        return tuple(method for method in DEFINITIONS if method != "predicted" or self.segment is not None)

    def _rows(self, test: SeparatedJoints) -> pd.DataFrame:
        """Return a row for each image with the widths by each method."""
        images = tqdm(range(len(test)), desc="measuring joint spaces", unit="joint", mininterval=0.5)
        size = test.images.shape[-1]
        found = [{**_known(test.items[index], size), **self._widths(test, index)} for index in images]
        return identity(test).assign(**pd.DataFrame(found).to_dict("series"))

    def _widths(self, test: SeparatedJoints, index: int) -> dict[str, Any]:
        """Measure one joint, by ``<method>``, ``<method>_minimum`` and ``<method>_refused``."""
        image, spacing = test.images[index], float(test.spacing[index])
        layers, masks = test.layers[index : index + 1], (image[None, 1:] > 0.5).float()
        gap = outline_gap_along_axis(masks, spacing)
        widths = _named("surfaces", measure_joint_space(layers, masks, spacing))
        if self.segment is not None:
            predicted = continue_to_border(self.segment(image[:1]), spacing)[None]
            widths |= _named("predicted", measure_joint_space(layers, predicted, spacing))
        return {**widths, "outlines": float(gap.mean), "outlines_minimum": float(gap.minimum)}

    def _of_method(self, rows: pd.DataFrame, method: str) -> dict[str, Any]:
        figures: dict[str, Any] = {"refused": float(rows[method].isna().mean())}
        if f"{method}_refused" in rows:
            reasons = rows[f"{method}_refused"]
            figures["reasons"] = reasons[reasons != ""].value_counts().to_dict()
        if TRUE in rows and method != "outlines":
            figures |= self._agreement(rows, TRUE, method)
            parts = width_groups(rows[TRUE])
            figures |= {name: self._agreement(rows[part], TRUE, method) for name, part in parts.items()}
        if FRAME in rows:
            return figures | self._in_moved_frames(rows, method)
        return figures | (self._between_retakes(rows, method) if "retake" in rows else over_visits(rows, method))

    def _in_moved_frames(self, rows: pd.DataFrame, method: str) -> dict[str, Any]:
        """Figures in each kind of frame, with the mean change from the unmoved frame of the joint."""
        unmoved = rows[rows[FRAME] == UNMOVED].set_index("joint")[method]
        changes = (rows[method] - rows["joint"].map(unmoved)).abs()
        return {
            str(frame): {
                "refused": float(group[method].isna().mean()),
                "change": float(changes[group.index].mean()),
                **(self._agreement(group, TRUE, method) if method != "outlines" else {}),
            }
            for frame, group in rows.groupby(FRAME, sort=False)
        }

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
            if not name and "finger" in rows:
                figures["sdd_by_finger"] = _repeatability_by_finger(rows.dropna(subset=[column]), column)
            first, second = (np.concatenate(pair) for pair in zip(*combinations(takes.T, 2), strict=True))
            figures |= {
                f"{name}sdd": smallest_detectable_difference(first, second),
                f"{name}retakes_icc": found.value,
                f"{name}retakes_icc_interval": list(found.interval),
            }
        return figures

    def _plots(self, rows: pd.DataFrame) -> dict[str, Any]:
        reference = TRUE if TRUE in rows else "surfaces"
        others = [method for method in self._methods if method not in (reference, "outlines")]
        measured = {method: rows.dropna(subset=[reference, method]) for method in others}
        return {
            f"{method}_bland_altman": plot_bland_altman(both[reference], both[method], "mm")
            for method, both in measured.items()
            if len(both) > 1
        }


def _known(item: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Number of the re-take, how its frame is moved, and the true width: as the item states it, or of a phantom."""
    known = {key: item[key] for key in ("retake",) if key in item}
    known |= {FRAME: _kind_of_frame(*item["moved"])} if "moved" in item else {}
    if "joint_space_mm" in item:
        return {**known, TRUE: float(item["joint_space_mm"])}
    if "seed" not in item or item.get("destroyed"):
        return known
    return {**known, TRUE: true_joint_space(phantom_of(item, size))}


def _kind_of_frame(x_mm: float, y_mm: float, rotation_deg: float) -> str:
    """Name of a frame that is moved on the joint."""
    if rotation_deg:
        return "rotated"
    return "shifted" if x_mm or y_mm else UNMOVED


def _named(method: str, space: JointSpace) -> dict[str, Any]:
    widths = {method: float(space.mean), f"{method}_minimum": float(space.minimum)}
    return {**widths, f"{method}_refused": space.refused[0]}


def over_visits(rows: pd.DataFrame, method: str) -> dict[str, Any]:
    """Repeatability over the visits of joints with several; nothing if there are none."""
    joints = rows.dropna(subset=[method]).groupby("joint")[method]
    several = joints.filter(lambda widths: len(widths) > 1)
    if several.empty:
        return {}
    deviation = (several - joints.transform("median")[several.index]).abs()
    visits = joints.std().dropna()
    return {
        "visits_sd": float(visits.median()),
        "visits_joints": len(visits),
        "gross": float((deviation > GROSS).mean()),
    }


def _repeatability_by_finger(rows: pd.DataFrame, column: str) -> dict[str, float]:
    """Compute the smallest detectable difference between re-takes of each finger that has several of one joint."""
    several = rows[rows.groupby("joint")[column].transform("size") > 1]
    return {str(finger): repeatability(group[column], group["joint"]) for finger, group in several.groupby("finger")}


def width_groups(width: pd.Series) -> dict[str, pd.Series]:
    """Select the images whose joints are wide, narrow or closed."""
    return {"wide": width >= NARROW, "narrow": (width >= CLOSED) & (width < NARROW), "closed": width < CLOSED}
