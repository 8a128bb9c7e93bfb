"""What makes an image, or a joint that images are made from, not good enough for a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bundle.datasets.sources import Source
from bundle.datasets.specifications import SampleSpecification
from bundle.errors import InputError, flag
from bundle.measurement import joint_space_width
from bundle.physics import overlap
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class QualityGate:
    """What is refused, each with its reason in a word.

    Attributes:
        largest_change_mm: ``change``: the bones would have to move farther against each other.
        least_visible: ``frame``: less than this part of a bone's area is left in the frame.
        largest_overlap: ``overlap``: the bones share more than this part of the smaller one.
        tolerance_mm: ``jsw``: the measured joint space width is farther from the asked one.
        largest_error: ``uncertain``, of a source: its bones are expected to be farther off where they overlap (root
            mean square, in intensity).
        plausible: ``implausible``, of a source: inference flags it.
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
        """Why no image is made from a joint, or ""."""
        if source.jsw_mm is None:
            return "jsw"
        if self.plausible and source.flagged:
            return "implausible"
        return "uncertain" if (source.expected_overlap_rmse or 0.0) > self.largest_error else ""

    def usable(self, sources: Sequence[Source]) -> list[Source]:
        """The joints that images are made from.

        Raises:
            InputError: there is none; why, and how to go on.
        """
        reasons = [self.of_source(source) for source in sources]
        left = [source for source, reason in zip(sources, reasons, strict=True) if not reason]
        if not left:
            msg = f"no image can be made from any of {len(sources)} joints"
            raise InputError(": ".join([msg, *_ways_on(sources, reasons)]))
        return left

    def of_specification(self, specification: SampleSpecification) -> str:
        """Why an image need not be made, or ""."""
        return "change" if abs(specification.change_mm) > self.largest_change_mm else ""

    def of_images(self, specifications: Sequence[SampleSpecification], found: Mapping[str, Tensor]) -> list[str]:
        """Why images are refused, or "", by what was found of them (:func:`examine`)."""
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
        return "" if abs(found["jsw_mm"] - specification.jsw_mm) <= self.tolerance_mm else "jsw"


_WAYS_ON = {
    "jsw": "without a joint space, for no column crosses both masks. Correct the masks",
    "implausible": "flagged by inference. Pass --gate#plausible false (pre-training: --plausible false) to use them",
    "uncertain": "with an expected error above the gate's largest_error. Raise --gate#largest_error",
}
_SHOWN = 5


def _ways_on(sources: Sequence[Source], reasons: Sequence[str]) -> list[str]:
    """For each reason how many joints are refused, how to go on, and of some what inference says."""
    said = []
    for reason, way in _WAYS_ON.items():
        of = [source for source, why in zip(sources, reasons, strict=True) if why == reason]
        flags = [f"{source.name}: {'; '.join(source.reasons)}" for source in of if reason == "implausible"][:_SHOWN]
        if of:
            more = f", and {len(of) - _SHOWN} more" if len(of) > _SHOWN and flags else ""
            said.append(f"{len(of)} {way}" + (f" ({', '.join(flags)}{more})" if flags else ""))
    return said


def examine(before: Tensor, after: Tensor, spacing: Tensor) -> dict[str, Tensor]:
    """What the quality gate looks at: (B,) each.

    Args:
        before: masks before the motion, (B, 2, H, W).
        after: moved masks, (B, 2, H, W).
        spacing: mm per pixel, (B,).

    Returns:
        ``jsw_mm``; ``visible``, area of the bone of which least is left, of what it was; ``overlap``, common area, of
        the smaller bone.
    """
    areas, left = before.sum(dim=(-2, -1)), after.sum(dim=(-2, -1))
    common = overlap(after).sum(dim=(-3, -2, -1))
    return {
        "jsw_mm": joint_space_width(after, spacing),
        "visible": (left / areas.clamp(min=1.0)).amin(dim=1),
        "overlap": common / left.amin(dim=1).clamp(min=1.0),
    }
