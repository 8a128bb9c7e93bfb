"""Rows of the list of joints."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

READY, CLOSED, FAILED = "ready", "closed", "failed"
"""States of a joint: its layers are at hand; it is separated when it is opened; it cannot be opened."""


@dataclass(frozen=True, kw_only=True)
class JointRow:
    """A joint in the list; None where a value is unknown.

    Attributes:
        id: identifier in addresses, made from the name.
        name: pseudonym of the radiograph.
        hand: name of the hand that it is cut out of.
        patient: pseudonym of the patient.
        visit: days since the patient's first study.
        side: L or R.
        finger: finger.
        joint: type of the joint.
        joint_space_mm: joint space width.
        joint_space_sd_mm: its expected standard deviation.
        grade: grade of narrowing, 0 to 4.
        refused: whether the measurement is refused.
        plausible: whether radiograph and masks are plausible.
        reasons: reasons of both.
        state: :data:`READY`, :data:`CLOSED` or :data:`FAILED`.
        failure: why the joint cannot be opened, and the remedy; "" if it can.
    """

    id: str
    name: str
    hand: str | None = None
    patient: str | None = None
    visit: int | None = None
    side: str | None = None
    finger: str | None = None
    joint: str | None = None
    joint_space_mm: float | None = None
    joint_space_sd_mm: float | None = None
    grade: int | None = None
    refused: bool | None = None
    plausible: bool | None = None
    reasons: tuple[str, ...] = ()
    state: str = READY
    failure: str = ""


def row_id(name: str) -> str:
    """Identifier of a joint in addresses: 16 hexadecimal digits that follow from its name."""
    return hashlib.blake2s(name.encode(), digest_size=8).hexdigest()


_TEXT = ("hand", "patient", "side", "finger", "joint")
_NUMBERS = ("joint_space_mm", "joint_space_sd_mm")


def row_of(values: Mapping[str, Any], **more: Any) -> JointRow:
    """Make the row of a joint from a line of ``joints.jsonl``; values of a wrong type count as unknown.

    Args:
        values: the line, with ``name``.
        more: other attributes.
    """
    name = str(values["name"])
    known: dict[str, Any] = {key: _of(values.get(key), str) for key in _TEXT}
    known |= {key: _of(values.get(key), int, float) for key in _NUMBERS}
    known |= {key: _of(values.get(key), int) for key in ("visit", "grade")}
    known |= {key: _of(values.get(key), bool) for key in ("refused", "plausible")}
    reasons = tuple(part.strip() for part in (_of(values.get("reasons"), str) or "").split(";") if part.strip())
    return JointRow(id=row_id(name), name=name, **{**known, "reasons": reasons, **more})


def _of(value: Any, *kinds: type) -> Any:
    """The value if it is of one of some types, else None; a bool is no number."""
    return value if type(value) in kinds else None
