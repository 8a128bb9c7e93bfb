"""Table of the measured joints of a run: ``joints.jsonl``, one line per joint, and ``joints.csv``."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from bundle.base import one_thread
from bundle.errors import InputError
from bundle.io import JointFrame, append_line, in_hand, named_lines, write_or_remove
from bundle.joint import CLOSED_PLATE, ESTIMATED, MCP, OPEN_PLATE, SIDES, JointType, Keys
from bundle.measurement import JointSpace, narrowing_grade
from bundle.scoring import JointSpaceRegressor
from torch import Tensor

JOINT_LINES, TABLE = "joints.jsonl", "joints.csv"

OPEN_GROWTH_PLATE = "open growth plate"
"""Reason for refusing a joint space."""

NO_SPACING = "no pixel spacing"
"""Reason for refusing lengths in a radiograph whose pixel size is unknown."""

GROWING_HAND = "the pixel spacing cannot be estimated from a hand whose growth plates are not closed"
"""Reason for refusing lengths by the estimated pixel size."""

ESTIMATE_SD = 0.1
"""Relative standard deviation of an estimated pixel size: that of the sizes of adults' hands."""

AGREEING_MM = 0.3
"""Largest usual difference in mm of the network's prediction from the measurement; 3 % of the test joints exceed it."""

COLUMNS = (
    *("name", "patient", "visit", "hand", "side", "finger", "joint", "x", "y", "score"),
    *("joint_space_mm", "joint_space_sd_mm", "joint_space_min_mm", "network_mm", "network_sd_mm", "grade"),
    *("refused", "plausible", "reasons", "masks", "spacing_mm", "spacing_source"),
)
"""Columns of the table; unknown values are empty, or null in JSON."""


def table_row(
    joint: Mapping[str, Any],
    space: JointSpace,
    quality: Mapping[str, Any],
    normal_mm: float = MCP.normal_joint_space_mm,
    joint_type: JointType = MCP,
    network: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Return the row of a joint.

    Args:
        joint: loaded item of the joint.
        space: its joint space, a batch of one. If it is refused, ``joint_space_mm`` and the grade are None, and the
            reason is among the ``reasons``; so is a prediction of the network that differs from it.
        quality: its assessment (:class:`bundle.inference.JointQuality`).
        normal_mm: normal joint space width, to which the grade refers, in mm.
        joint_type: type of the joint.
        network: joint space and standard deviation in mm that the regressor predicts; None if unknown.
    """
    grade = int(narrowing_grade(space.mean, normal_mm)[0])
    doubts = [*space.refused, _disagreement(space, network)]
    reasons = [f"joint space: {doubt}" for doubt in doubts if doubt] + list(quality.get("reasons", []))
    known = {
        "name": str(joint["name"]),
        "patient": joint.get("patient") or None,
        "visit": int(joint["visit"]) if joint.get("visit") else None,
        **_place(joint),
        "score": joint.get(Keys.SCORE),
        "side": joint["side"][0].upper() if joint.get("side") in SIDES else None,
        "finger": joint["finger"] if joint.get("finger") in joint_type.fingers else None,
        "joint": joint_type.name,
        **described_space(space),
        **({} if network is None else {"network_mm": round(network[0], 3), "network_sd_mm": round(network[1], 3)}),
        "grade": grade if grade >= 0 else None,
        "refused": bool(space.refused[0]),
        "plausible": None if "flagged" not in quality else not quality["flagged"],
        "reasons": "; ".join(reasons) or None,
        "masks": joint.get("masks", "given"),
        "spacing_mm": round(_pixel(joint), 5),
        Keys.SPACING_SOURCE: joint.get(Keys.SPACING_SOURCE),
    }
    return {column: known.get(column) for column in COLUMNS}


def _disagreement(space: JointSpace, network: tuple[float, float] | None) -> str:
    """Describe a difference of more than :data:`AGREEING_MM` between measurement and network; "" for none."""
    apart = math.nan if network is None else network[0] - float(space.mean[0])
    if not abs(apart) > AGREEING_MM:
        return ""
    return f"the network predicts {abs(apart):.2f} mm {'more' if apart > 0.0 else 'less'}, one of the two is wrong"


def described_space(space: JointSpace) -> dict[str, float | None]:
    """Return ``joint_space_mm``, ``joint_space_sd_mm`` and ``joint_space_min_mm`` of one joint; None if refused."""
    values = {"mm": space.mean, "sd_mm": space.sd, "min_mm": space.minimum}
    return {f"joint_space_{name}": _rounded(value) for name, value in values.items()}


def _rounded(value: Tensor) -> float | None:
    """The first of some lengths in mm, to a micrometre; None for NaN."""
    number = float(value[0])
    return round(number, 3) if math.isfinite(number) else None


def _place(joint: Mapping[str, Any]) -> dict[str, Any]:
    """Name of the hand and position of the joint in pixels of its radiograph, for joints that are cut out of a hand."""
    if not joint.get("frame") or not in_hand(joint):
        return {}
    place = JointFrame.from_json(joint["frame"]).place
    return {"hand": hand_of(joint), "x": round(place.center[0], 2), "y": round(place.center[1], 2)}


def hand_of(joint: Mapping[str, Any]) -> str:
    """Name of the hand that a joint is cut out of."""
    return str(joint["name"]).removesuffix(f"_{JointFrame.from_json(joint['frame']).place.name}")


def _pixel(joint: Mapping[str, Any]) -> float:
    """Pixel width in mm of the radiograph that the joint is cut out of, or of the joint."""
    return JointFrame.from_json(joint["frame"]).spacing[1] if joint.get("frame") else float(joint["spacing"])


class JointTable:
    """The rows of a folder, appended one by one to both files, which agree even after a run was killed.

    Args:
        folder: output folder.
        normal_mm: normal joint space width, to which the grade refers, in mm; by default that of LSN.
        joint_type: type of the joints.
        regressor: network that predicts the joint space as well; None for none.
        open_growth_plates: whether the joint space of joints with an open growth plate is given.
        estimate_spacing: whether lengths are given where the pixel size is estimated from the size of the hand.
    """

    def __init__(
        self,
        folder: str | Path,
        normal_mm: float = MCP.normal_joint_space_mm,
        joint_type: JointType = MCP,
        regressor: JointSpaceRegressor | None = None,
        open_growth_plates: bool = False,
        estimate_spacing: bool = False,
    ) -> None:
        self.folder, self.normal_mm, self.joint_type = Path(folder), _length(normal_mm), joint_type
        self.regressor, self.open_growth_plates = regressor, open_growth_plates
        self.estimate_spacing = estimate_spacing

    def within(self, folder: Path) -> JointTable:
        """Return the same table in another folder."""
        table = copy(self)
        table.folder = folder
        return table

    def keep(self, names: Iterable[str]) -> None:
        """Remove the rows of all other joints, before a run is resumed."""
        kept = set(names)
        lines = "".join(f"{json.dumps(row)}\n" for row in self.rows() if row["name"] in kept)
        write_or_remove(self.folder / JOINT_LINES, lines)
        self.finish()

    def checked(self, joint: Mapping[str, Any], space: JointSpace) -> JointSpace:
        """Refuse the joint space of a joint with an open growth plate or without pixel spacing, unless requested.

        With an estimated pixel spacing, the standard deviation includes that of the estimate.
        """
        if reason := self._refusal(joint):
            unknown = torch.full_like(space.mean, math.nan)
            return replace(space, mean=unknown, minimum=unknown, sd=unknown, refused=(reason,))
        if not _has_estimate(joint):
            return space
        return replace(space, sd=torch.hypot(space.sd, ESTIMATE_SD * space.mean))

    def _refusal(self, joint: Mapping[str, Any]) -> str:
        """Why no length of a joint is given; "" if it is."""
        plate = joint.get(Keys.GROWTH_PLATE)
        if plate == OPEN_PLATE and not self.open_growth_plates:
            return OPEN_GROWTH_PLATE
        if self._lacks_spacing(joint):
            return NO_SPACING
        return GROWING_HAND if _has_estimate(joint) and plate != CLOSED_PLATE else ""

    def _lacks_spacing(self, joint: Mapping[str, Any]) -> bool:
        """Whether the pixel size of a joint is unknown: estimated, but no estimate is requested."""
        return _has_estimate(joint) and not self.estimate_spacing

    def append(self, joint: Mapping[str, Any], space: JointSpace, quality: Mapping[str, Any]) -> dict[str, Any]:
        """Append the row of a joint (:func:`table_row`), and return it."""
        predicted = None if self._refusal(joint) else _predicted(self.regressor, joint)
        row = table_row(joint, space, quality, self.normal_mm, self.joint_type, predicted)
        if self._lacks_spacing(joint):
            row |= {"spacing_mm": None, Keys.SPACING_SOURCE: None}
        append_line(self.folder / JOINT_LINES, json.dumps(row))
        begun = (self.folder / TABLE).is_file()
        append_line(self.folder / TABLE, _as_csv([row], header=not begun).removesuffix("\n"))
        return row

    def rows(self) -> list[dict[str, Any]]:
        """Return the last row of each joint, in the order of their first ones; rows without all columns are omitted."""
        whole = (row for row in named_lines(self.folder / JOINT_LINES) if row.keys() >= set(COLUMNS))
        return list({row["name"]: row for row in whole}.values())

    def finish(self) -> None:
        """Write the table as CSV: booleans as true and false, unknown values empty. A table without rows is removed."""
        rows = self.rows()
        write_or_remove(self.folder / TABLE, _as_csv(rows) if rows else "")


def _has_estimate(joint: Mapping[str, Any]) -> bool:
    """Whether the pixel size of a joint is estimated from the size of the hand."""
    return bool(joint.get(Keys.SPACING_SOURCE) == ESTIMATED)


def _predicted(regressor: JointSpaceRegressor | None, joint: Mapping[str, Any]) -> tuple[float, float] | None:
    """Joint space and standard deviation in mm that the regressor predicts; None without one."""
    if regressor is None:
        return None
    with one_thread():
        mean, deviation = regressor(joint["image"].detach().cpu(), float(joint["spacing"]))
    scale = ESTIMATE_SD if _has_estimate(joint) else 0.0
    return mean, math.hypot(deviation, scale * mean)


def _as_csv(rows: Iterable[Mapping[str, Any]], header: bool = True) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    if header:
        table.writeheader()
    table.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _length(value: Any) -> float:
    """Check the normal joint space width.

    Raises:
        InputError: it is not a length above 0.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 < number < math.inf:
        msg = f"--normal_joint_space_mm is {value!r}. Pass a length in mm above 0, such as {MCP.normal_joint_space_mm}."
        raise InputError(msg)
    return number


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
