"""Rows of the list of joints."""

from __future__ import annotations

import hashlib
import math
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
    return hashlib.blake2s(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


_TEXT = ("hand", "patient", "side", "finger", "joint")
_NUMBERS = ("joint_space_mm", "joint_space_sd_mm")


def row_of(values: Mapping[str, Any], **more: Any) -> JointRow:
    """Make the row of a joint from a line of ``joints.jsonl``.

    Values of a wrong type and numbers that are not finite count as unknown.

    Args:
        values: the line, with ``name``.
        more: other attributes.
    """
    name = str(values["name"])
    known: dict[str, Any] = {key: typed(values.get(key), str) for key in _TEXT}
    known |= {key: typed(values.get(key), int, float) for key in _NUMBERS}
    known |= {key: typed(values.get(key), int) for key in ("visit", "grade")}
    known |= {key: typed(values.get(key), bool) for key in ("refused", "plausible")}
    reasons = tuple(part.strip() for part in (typed(values.get("reasons"), str) or "").split(";") if part.strip())
    return JointRow(id=row_id(name), name=name, **{**known, "reasons": reasons, **more})


def typed(value: Any, *kinds: type) -> Any:
    """Return a value of one of some types, None for any other; a bool is not a number, and numbers are finite.

    Characters of a text that cannot be encoded are replaced.
    """
    if type(value) not in kinds or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
