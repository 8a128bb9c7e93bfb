"""Quality gate of a data set: criteria for images and for their source joints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bundle.datasets.sources import Source
from bundle.datasets.specifications import SampleSpecification
from bundle.errors import InputError, flag
from bundle.measurement import JointSurfaces, outline_gap, widths
from bundle.physics import overlap
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class QualityGate:
    """Criteria for refusal, each with a reason of one word.

    Attributes:
        largest_change_mm: ``change``: largest relative motion of the bones.
        least_visible: ``frame``: smallest fraction of a bone's area that stays in the frame.
        largest_overlap: ``overlap``: largest overlap of the bones, as a fraction of the smaller one.
        tolerance_mm: ``joint_space``: largest difference between resulting and requested joint space. Images of
            bones without a common column and source joints without a measured joint space are refused for this reason,
            too.
        largest_error: ``uncertain``, of a source joint: largest expected error of its bones in their overlap (root mean
            square, in intensity).
        plausible: ``implausible``, of a source joint: refuse joints that inference flags.
    """

    largest_change_mm: float = 2.5
    least_visible: float = 0.7
    largest_overlap: float = 0.25
    tolerance_mm: float = 0.05
    largest_error: float = 0.1
    plausible: bool | str = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "plausible", flag(self.plausible))

    def of_source(self, source: Source) -> str:
        """Return why a joint is refused as a source, or ""."""
        if source.joint_space_mm is None:
            return "joint_space"
        if self.plausible and source.flagged:
            return "implausible"
        return "uncertain" if (source.expected_overlap_rmse or 0.0) > self.largest_error else ""

    def usable(self, sources: Sequence[Source]) -> list[Source]:
        """Return the joints that images can be made from.

        Raises:
            InputError: there is none; the message states reasons and remedies.
        """
        reasons = [self.of_source(source) for source in sources]
        left = [source for source, reason in zip(sources, reasons, strict=True) if not reason]
        if not left:
            msg = f"no image can be made from any of {len(sources)} joints"
            raise InputError(": ".join([msg, *_ways_on(sources, reasons)]))
        return left

    def of_specification(self, specification: SampleSpecification) -> str:
        """Return why a specification is refused, or ""."""
        return "change" if abs(specification.change_mm) > self.largest_change_mm else ""

    def of_images(self, specifications: Sequence[SampleSpecification], found: Mapping[str, Tensor]) -> list[str]:
        """Return why images with these properties (:func:`examine`) are refused, or ""."""
        return [
            self._of_image(specification, {name: float(values[row]) for name, values in found.items()})
            for row, specification in enumerate(specifications)
        ]

    def _of_image(self, specification: SampleSpecification, found: Mapping[str, float]) -> str:
        unmade = self.of_specification(specification)
        if unmade:
            return unmade
        if found["visible"] < self.least_visible:
            return "frame"
        if found["overlap"] > self.largest_overlap:
            return "overlap"
        facing = math.isfinite(found["outline_gap_mm"])
        as_asked = abs(found["joint_space_mm"] - specification.joint_space_mm) <= self.tolerance_mm
        return "" if facing and as_asked else "joint_space"


_WAYS_ON = {
    "joint_space": "whose joint space measurement is refused. Correct their masks, or use other joints",
    "implausible": "flagged by inference. Pass --gate#plausible false (pre-training: --plausible false) to use them",
    "uncertain": "with an expected error above the gate's largest_error. Raise --gate#largest_error",
}
_SHOWN = 5


def _ways_on(sources: Sequence[Source], reasons: Sequence[str]) -> list[str]:
    """Return for each reason the number of refused joints, the remedy, and the findings for some of them."""
    said = []
    for reason, way in _WAYS_ON.items():
        of = [source for source, why in zip(sources, reasons, strict=True) if why == reason]
        flags = [f"{source.name}: {finding}" for source in of if (finding := _finding(source, reason))][:_SHOWN]
        if of:
            more = f", and {len(of) - _SHOWN} more" if len(of) > _SHOWN and flags else ""
            said.append(f"{len(of)} {way}" + (f" ({', '.join(flags)}{more})" if flags else ""))
    return said


def _finding(source: Source, reason: str) -> str:
    """Return why exactly a joint is refused; empty if the reason alone says it."""
    return {"implausible": "; ".join(source.reasons), "joint_space": source.joint_space_refused}.get(reason, "")


def examine(before: Tensor, after: Tensor, spacing: Tensor, surfaces: JointSurfaces) -> dict[str, Tensor]:
    """Measure the properties that the quality gate checks, (B,) each.

    Args:
        before: masks before the motion, (B, 2, H, W).
        after: moved masks, (B, 2, H, W).
        spacing: pixel size in mm, (B,).
        surfaces: moved joint surfaces.

    Returns:
        ``joint_space_mm`` between the surfaces; ``outline_gap_mm`` of the masks, NaN without a common
        column; ``visible``, the remaining fraction of area of the bone that loses most; ``overlap``, the common area as
        a fraction of the smaller bone.
    """
    areas, left = before.sum(dim=(-2, -1)), after.sum(dim=(-2, -1))
    common = overlap(after).sum(dim=(-3, -2, -1))
    return {
        "joint_space_mm": widths(surfaces)[0],
        "outline_gap_mm": outline_gap(after, spacing),
        "visible": (left / areas.clamp(min=1.0)).amin(dim=1),
        "overlap": common / left.amin(dim=1).clamp(min=1.0),
    }
