"""Pixel spacings from lists, options and files: which one is used, and where they contradict each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bundle.errors import InputError
from bundle.io.stated import StatedRadiograph
from bundle.joint import LARGEST_SPACING, Keys

SPACING_OPTION = "spacing_option"
"""Key of a list entry's pixel spacing from an option, in mm, for files that state none; 0 without the option."""

SPACING_ARGUMENT = "spacing_argument"
"""Key of the argument by which the caller gives a pixel spacing, for messages; a command's items do without it."""

TOLERANCE = 1e-3
"""Largest relative difference of two equal pixel spacings."""


def checked_spacing(value: Any) -> float:
    """Check a pixel spacing in mm given by the option ``--spacing``; 0 means not given.

    Args:
        value: a number, or a number as text.

    Raises:
        InputError: it is neither 0 nor a length below 100 mm.
    """
    try:
        length = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        length = math.nan
    if not 0.0 <= length < LARGEST_SPACING:
        msg = (
            f"--spacing {value!r} is not a pixel spacing. Pass mm per pixel, such as 0.08, or 0 to use the files' own."
        )
        raise InputError(msg)
    return length


def spacing_argument(item: Mapping[str, Any]) -> str:
    """Return the argument that gives the pixel spacing of an item, as its caller writes it."""
    return str(item.get(SPACING_ARGUMENT, "--spacing MM"))


def with_given_spacing(item: dict[str, Any], found: StatedRadiograph) -> dict[str, Any]:
    """Replace the option in an item by the spacing that it gives: the list's, else the option's if the file has none.

    Args:
        item: item of :func:`bundle.io.read_datalist`.
        found: its radiograph.

    Returns:
        The item without :data:`SPACING_OPTION`; ``spacing`` 0 uses the file's own.
    """
    kept = {key: value for key, value in item.items() if key != SPACING_OPTION}
    given = item[Keys.SPACING] or (item.get(SPACING_OPTION, 0.0) if found.spacing is None else 0.0)
    return {**kept, Keys.SPACING: given}


def contradicted_spacing(item: dict[str, Any], found: StatedRadiograph) -> float:
    """Return the pixel spacing in mm that list or option give against that of the file; 0 without a contradiction.

    Args:
        item: item of :func:`bundle.io.read_datalist`.
        found: its radiograph.
    """
    given = float(item[Keys.SPACING] or item.get(SPACING_OPTION, 0.0))
    return given if found.spacing and not math.isclose(given, found.spacing[1], rel_tol=TOLERANCE) else 0.0


@dataclass
class SpacingConflicts:
    """Files that state another pixel spacing than the list or the option ``--spacing``.

    Attributes:
        read: number of radiographs.
        listed: widths of a pixel in mm that files state, where the list gives another.
        optional: widths of a pixel in mm that files state, where the option gives another.
        option: the option, in mm.
    """

    read: int = 0
    listed: list[float] = field(default_factory=list)
    optional: list[float] = field(default_factory=list)
    option: float = 0.0

    def add(self, item: dict[str, Any], found: StatedRadiograph) -> None:
        """Compare the spacings of an item of :func:`bundle.io.read_datalist` and of its radiograph."""
        self.read += 1
        self.option = item.get(SPACING_OPTION, 0.0)
        if contradicted_spacing(item, found) and found.spacing:
            (self.listed if item[Keys.SPACING] else self.optional).append(found.spacing[1])

    def report(self) -> list[str]:
        """Describe the conflicts in one sentence for the list and one for the option."""
        listed = "the list states another, which is used. Remove it from the list to use that of the file."
        optional = f"--spacing {self.option:g} is not used for them. State the spacing in a list to replace it."
        found = ((self.listed, listed), (self.optional, optional))
        return [f"{self._count(lengths)}; {remedy}" for lengths, remedy in found if lengths]

    def _count(self, lengths: Sequence[float]) -> str:
        low, high = (f"{limit:.4g}" for limit in (min(lengths), max(lengths)))
        shown = low if low == high else f"{low} to {high}"
        return f"{len(lengths)} of {self.read} radiographs state their pixel spacing, {shown} mm"
