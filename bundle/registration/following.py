"""Joint space of each joint over the visits of a patient: ``narrowing.csv``, and a plot of each patient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from bundle.errors import InputError
from bundle.inference import JointTable
from bundle.io import Item, safe_name, write_bytes, write_plot
from bundle.registration.following_plot import plot_joints
from bundle.registration.narrowing import exceeds_detectable, read_pair
from bundle.registration.pair_lists import NO_PAIR, check_alike, pair_of, radiographs_of_joints, with_outlines
from bundle.registration.report import NarrowingWriter
from tqdm import tqdm

FOLLOWED = "narrowing.csv"
"""File with a line per radiograph of a joint."""

COLUMNS = (
    *("patient", "side", "finger", "joint", "name", "days", "joint_space_mm", "joint_space_sd_mm"),
    *("change_mm", "smallest_detectable_change_mm", "exceeds", "registered_change_mm"),
    *("plausible", "refused", "reasons"),
)
"""Columns of the table; unknown values are empty."""

Row = dict[str, Any]


class FollowUp(NarrowingWriter):
    """Writer of the joint space of each joint over all visits of its patient.

    ``narrowing.csv`` has a line per radiograph, by patient and joint, in the order of the days: columns of
    ``joints.csv``; ``change_mm``, the change of the measured joint space since the first visit (negative if it
    narrowed; empty for the first visit and where either measurement is refused); the smallest detectable change of the
    finger, and ``exceeds``: whether the change exceeds it; ``registered_change_mm``, the change by registration, empty
    where a bone was not found. A change is ``plausible`` if both radiographs and the registration are; ``refused``
    refers to the measured joint space. ``narrowing_<patient>.png`` shows the joints of a patient, or the joint where
    the patient is unknown.

    Arguments as in :class:`NarrowingWriter`.
    """

    def check(self, joints: Sequence[Item]) -> None:
        """Reserve the folder.

        Raises:
            InputError: no joint has a second radiograph.
        """
        if all(len(rows) < 2 for rows in radiographs_of_joints(joints).values()):
            raise InputError(NO_PAIR)
        self.reserve()

    def follow(self, joints: Sequence[Item], load: Callable[[Item], Item], table: JointTable) -> None:
        """Register the radiographs of each joint to the first one and write the results.

        Args:
            joints: items of the joints.
            load: transform that loads a joint.
            table: measured joint spaces of the joints.
        """
        self.check(joints)
        measured = {row["name"]: row for row in table.rows()}
        series = radiographs_of_joints(joints)
        shown = tqdm(series.items(), desc="following joints", unit="joint", mininterval=0.5)
        found = {key: list(self._visits([joints[row] for row in rows], load, measured)) for key, rows in shown}
        plots: dict[str, list[Row]] = {}
        for (name, patient), rows in sorted(found.items(), key=lambda one: (one[0][1], one[0][0])):
            plots.setdefault(patient or name, []).extend(rows)
        self._write_table(row for rows in plots.values() for row in rows)
        for name, rows in plots.items():
            write_plot(self.output_dir / f"narrowing_{safe_name(name)}.png", plot_joints(rows, name))

    def _write_table(self, rows: Iterable[Row]) -> None:
        table = pd.DataFrame(rows, columns=COLUMNS, dtype=object)
        table = table.map(lambda cell: str(cell).lower() if isinstance(cell, bool) else cell)
        write_bytes(self.output_dir / FOLLOWED, table.to_csv(index=False).encode())

    def _visits(
        self, joints: Sequence[Item], load: Callable[[Item], Item], measured: Mapping[str, Row]
    ) -> Iterator[Row]:
        """The rows of one joint, in the order of the days, or of the list if a day is unknown."""
        ordered = in_order(joints)
        rows = [
            _row(joint, measured.get(joint["name"], {}), self.quality.detectable.of(joint["finger"]))
            for joint in ordered
        ]
        yield rows[0]
        first = with_outlines(load(ordered[0])) if len(ordered) > 1 else {}
        for joint, row in zip(ordered[1:], rows[1:], strict=True):
            yield _changed(row, rows[0], self._registered(first, with_outlines(load(joint))))

    def _registered(self, first: Item, later: Item) -> Row:
        """The registration of two radiographs: ``registered_change_mm``, ``plausible`` and ``reasons``."""
        try:
            check_alike(first, later)
        except InputError as error:
            return {"registered_change_mm": None, "plausible": False, "reasons": [str(error)]}
        pair = pair_of(first, later)
        reading = read_pair(self.registration, pair["image"], pair["moving"], float(pair["spacing"]))
        quality = self.quality(pair, reading)
        shown = {"first visit": "fixed", "registration": "registration"}
        reasons = [f"{name}: {why}" for name, key in shown.items() for why in quality["plausibility"][key]["reasons"]]
        change = round(-reading.jsn_mm, 3) if reading.found else None
        return {"registered_change_mm": change, "plausible": quality["plausible"], "reasons": reasons}


def in_order(joints: Sequence[Item]) -> list[Item]:
    """Return radiographs of a joint in the order of their days, or unchanged if a day is unknown."""
    known = all(joint.get("visit") for joint in joints)
    return sorted(joints, key=lambda joint: int(joint["visit"])) if known else list(joints)


def _row(joint: Item, measured: Mapping[str, Any], limit: float) -> Row:
    """The row of a radiograph without a change."""
    reasons = [measured.get("reasons"), joint.get("side_conflict") and f"side: {joint['side_conflict']}"]
    known = {
        **{column: measured.get(column) for column in COLUMNS},
        "name": joint["name"],
        "patient": joint.get("patient") or None,
        "days": measured.get("visit"),
        "smallest_detectable_change_mm": round(limit, 3),
        "reasons": "; ".join(reason for reason in reasons if reason) or None,
    }
    return {column: known[column] for column in COLUMNS}


def _changed(row: Row, first: Row, registered: Row) -> Row:
    """The row of a later visit; it is plausible if the radiograph and the registration are."""
    widths = [each["joint_space_mm"] for each in (first, row)]
    change = None if None in widths else round(widths[1] - widths[0], 3)
    exceeds = exceeds_detectable(change, row["smallest_detectable_change_mm"])
    plausible = row["plausible"] is not False and registered["plausible"]
    reasons = "; ".join([*([row["reasons"]] if row["reasons"] else []), *registered["reasons"]]) or None
    changes = {"change_mm": change, "exceeds": exceeds, **registered}
    return {**row, **changes, "plausible": plausible, "reasons": reasons}
