"""Measuring sessions: the order of joints with blind repeats, and the record of one measurement."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bundle.errors import InputError, number_argument, seed_argument
from bundle.reader_study.fields import LONGEST_SECONDS, choice, fields_of, number, person, text, whole

REPEATED = 0.2
"""Usual fraction of the joints that a reader measures twice."""

METHODS = ("alignment",)
"""Methods of a measurement: ``alignment`` moves a bone until the joint surfaces touch (LSN section 3.1)."""

LOWEST_MM, HIGHEST_MM = -5.0, 10.0
"""Range of measured joint space widths."""

FARTHEST_MM = 21.0
"""Largest displacement of a bone in either direction: the width of a frame."""

HIGHEST_GRADE = 4
"""Highest grade of narrowing."""

_FIELDS = ("reader", "joint", "value_mm", "grade", "seconds", "repeat", "method", "displacement_mm")
_TRIES = 50


@dataclass(frozen=True)
class Presentation:
    """One joint in a session.

    Attributes:
        joint: id of the joint.
        repeat: 0 for the first presentation, 1 for the blind repeat.
    """

    joint: str
    repeat: int


def session_random(seed: int, reader: str) -> np.random.RandomState:
    """Return the random generator of a reader's session; it depends on the seed and the name alone."""
    digest = hashlib.sha256(f"{seed}\n{reader}".encode("utf-8", "surrogatepass")).digest()
    return np.random.RandomState(np.frombuffer(digest, np.uint32))


def plan_measurements(
    joints: Sequence[str], reader: str, seed: int = 0, *, repeated: float = REPEATED
) -> list[Presentation]:
    """Plan a measuring session: every joint once in random order, some of them twice.

    The repeat of a joint follows its first presentation after at least a third of the session, and never directly.
    The same arguments give the same plan; each reader has a different one.

    Args:
        joints: ids of the joints, each once, in any order.
        reader: name of the reader.
        seed: random seed.
        repeated: fraction of the joints that are presented twice, from 0 to 1; at least one joint unless it is 0.

    Returns:
        The presentations in order. A single joint is presented once.

    Raises:
        InputError: an argument is not valid, or a joint occurs twice.
    """
    names = sorted(text(joint, "joint") for joint in joints)
    share, seed = number_argument("repeated", repeated, 0.0, 1.0), seed_argument("seed", seed)
    if len(set(names)) != len(names):
        msg = f"joints: {len(names)} joints have {len(set(names))} different ids. Name each joint once."
        raise InputError(msg)
    count = max(1, round(share * len(names))) if share and len(names) > 1 else 0
    random = session_random(seed, person(reader))
    order = [names[place] for place in random.permutation(len(names))]
    firsts, repeats = _places(len(names), count, random)
    twice, once = order[:count], iter(order[count:])
    planned = {place: Presentation(joint, 0) for place, joint in zip(firsts, twice, strict=True)}
    planned |= {place: Presentation(joint, 1) for place, joint in zip(repeats, twice, strict=True)}
    return [planned[place] if place in planned else Presentation(next(once), 0) for place in range(len(names) + count)]


def least_distance(total: int) -> int:
    """Return the smallest distance between the two presentations of a joint in a session of ``total`` ones."""
    return max(2, math.ceil(total / 3))


def _places(joints: int, count: int, random: np.random.RandomState) -> tuple[list[int], list[int]]:
    """Places of the first presentations and of the repeats of the joints that are presented twice."""
    total = joints + count
    far = least_distance(total)
    for _ in range(_TRIES):
        repeats = np.sort(random.permutation(np.arange(far, total))[:count])
        free = np.setdiff1d(np.arange(total), repeats)
        before = np.searchsorted(free, repeats - far, side="right")
        if len(repeats) == count and bool((before > np.arange(count)).all()):
            return _firsts(repeats.tolist(), free.tolist(), far, random), repeats.tolist()
    return list(range(count)), list(range(joints, total))


def _firsts(repeats: Sequence[int], free: list[int], far: int, random: np.random.RandomState) -> list[int]:
    """A free place for the first presentation of each repeat, far enough before it."""
    left = list(free)
    return [left.pop(random.randint(bisect_right(left, last - far))) for last in repeats]


def left_to_measure(
    plan: Sequence[Presentation], records: Iterable[Mapping[str, Any]], reader: str
) -> list[Presentation]:
    """Return the presentations of a plan that a reader has not measured, in order.

    Args:
        plan: plan of the session (:func:`plan_measurements`).
        records: effective records (:meth:`bundle.reader_study.ReadingLog.effective`).
        reader: name of the reader.
    """
    own = [record for record in records if record.get("reader") == reader]
    done = {(record["joint"], record.get("repeat") == 1) for record in own if isinstance(record.get("joint"), str)}
    return [each for each in plan if (each.joint, each.repeat == 1) not in done]


def validated(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a measurement, checked.

    Args:
        record: ``reader``; ``joint``, its id; ``value_mm``, the joint space width, None if it cannot be measured;
            ``grade`` of narrowing, 0 to 4 or None; ``seconds``; ``repeat``, 0 or 1; ``method``, one of
            :data:`METHODS`; ``displacement_mm`` of the bone, (x, y), None if nothing was aligned.

    Raises:
        InputError: a field is missing, unknown, out of range or of another type.
    """
    given = fields_of(record, _FIELDS)
    value, grade, moved = given["value_mm"], given["grade"], given["displacement_mm"]
    return {
        "reader": person(given["reader"]),
        "joint": text(given["joint"], "joint"),
        "value_mm": None if value is None else number(value, "value_mm", LOWEST_MM, HIGHEST_MM, "mm"),
        "grade": None if grade is None else whole(grade, "grade", 0, HIGHEST_GRADE),
        "seconds": number(given["seconds"], "seconds", 0.0, LONGEST_SECONDS, "s"),
        "repeat": whole(given["repeat"], "repeat", 0, 1),
        "method": choice(given["method"], "method", METHODS),
        "displacement_mm": None if moved is None else _displacement(moved),
    }


def _displacement(moved: Any) -> list[float]:
    if not isinstance(moved, list | tuple) or len(moved) != 2:
        msg = "displacement_mm: not a pair of numbers. Send [x, y] in mm."
        raise InputError(msg)
    return [number(part, "displacement_mm", -FARTHEST_MM, FARTHEST_MM, "mm") for part in moved]
