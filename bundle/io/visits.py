"""Visits of patients: days since the first study of each patient in a list."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.io.identity import study_day
from bundle.io.loading import Item


def with_visits(items: Sequence[Item]) -> list[Item]:
    """Replace the ``visit`` of items by the days since the first study of their patient, as text without a date.

    Args:
        items: items with ``image``, ``patient`` (empty if unknown) and ``visit`` (days that the list states, or None).
            For a patient without stated days the Study Dates of the DICOM headers apply.

    Returns:
        The items; ``visit`` is empty without a patient, a stated day or a Study Date.
    """
    stated = {item["patient"] for item in items if item["visit"] is not None}
    days = [item["visit"] if item["patient"] in stated else study_day(item["image"]) for item in items]
    first: dict[str, float] = {}
    for item, day in zip(items, days, strict=True):
        if day is not None and item["patient"]:
            first[item["patient"]] = min(day, first.get(item["patient"], day))
    return [
        {**item, "visit": "" if day is None or not item["patient"] else str(round(day - first[item["patient"]]))}
        for item, day in zip(items, days, strict=True)
    ]
