"""Radiographs of joints and hands, separated when they are opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from bundle.errors import InputError
from bundle.face import Joint, joints_in, separate
from bundle.inference import described_space
from bundle.io import FOLDER, LATERALITY, Item, bundle_root, discreet_reason, read_datalist
from bundle.joint import FINGERS
from bundle.measurement import JointSpace, narrowing_grade
from bundle.quality import PlausibilityReference, measure
from bundle.reading_room.library import Library, Report
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.rows import CLOSED, READY, JointRow, row_id


class Radiographs(Library):
    """Radiographs of a folder; opening a hand adds its joints.

    Args:
        folder: folder with radiographs of joints or hands.
        spacing_mm: pixel size in mm of radiographs that state none; 0: not given.
    """

    kind = "radiographs"

    def __init__(self, folder: Path, spacing_mm: float = 0.0) -> None:
        self.title = folder.name
        items = read_datalist(folder, FOLDER, spacing=spacing_mm)
        self._items = {row_id(str(item["name"])): item for item in items}
        self._joints: dict[str, tuple[Joint, Item]] = {}
        self._rows = {id: _closed(id, item) for id, item in self._items.items()}

    def listed(self) -> Mapping[str, JointRow]:
        """See :meth:`Library.listed`."""
        return dict(self._rows)

    def load(self, row: JointRow, report: Report) -> OpenedJoint | list[str]:
        """See :meth:`Library.load`."""
        if row.id not in self._joints:
            report("finding joints, predicting bone masks", 0.1)
            item = self._items[row.id]
            joints = _joints_in(item)
            if len(joints) > 1 or joints[0].name != str(item["name"]):
                return self._add(row, joints, item)
            self._joints[row.id] = joints[0], item
        joint, item = self._joints[row.id]
        report("separating", 0.5)
        opened = OpenedJoint.of(separate(joint))
        self._rows[row.id] = described_row(known_row(row, joint), joint, opened.space)
        return opened

    def _add(self, hand: JointRow, joints: Sequence[Joint], item: Item) -> list[str]:
        """Put the joints of a hand in its place."""
        added = {row_id(joint.name): joint for joint in joints}
        self._joints |= {id: (joint, item) for id, joint in added.items()}
        rows: dict[str, JointRow] = {}
        for id, row in self._rows.items():
            if id == hand.id:
                rows |= {one: _of_hand(one, joint, hand, item) for one, joint in added.items()}
            else:
                rows[id] = row
        self._rows = rows
        return list(added)


def _joints_in(item: Item) -> list[Joint]:
    """The joints of a radiograph; a message of a fault does not reveal the patient."""
    try:
        return joints_in(item)
    except InputError as error:
        raise InputError(discreet_reason(str(error), item)) from error


def _closed(id: str, item: Item) -> JointRow:
    patient, visit = str(item.get("patient") or "") or None, str(item.get("visit") or "")
    return JointRow(id=id, name=str(item["name"]), patient=patient, visit=int(visit) if visit else None, state=CLOSED)


def _of_hand(id: str, joint: Joint, hand: JointRow, item: Item) -> JointRow:
    return replace(known_row(_closed(id, item), joint), name=joint.name, hand=hand.name)


def known_row(row: JointRow, joint: Joint) -> JointRow:
    """Return the row of a joint with its side, finger and type."""
    finger = joint.finger if joint.finger in FINGERS else None
    return replace(row, side=LATERALITY.get(joint.side), finger=finger, joint=joint.joint_type.name)


def described_row(row: JointRow, joint: Joint, space: JointSpace) -> JointRow:
    """Return the row of an opened joint with its joint space and its plausibility."""
    reference = PlausibilityReference.read(bundle_root() / "models" / "plausibility.json")
    verdict = reference.judge(measure(torch.cat([joint.radiograph, joint.masks]), joint.spacing_mm))
    grade, measured = int(narrowing_grade(space.mean)[0]), described_space(space)
    refusals = [f"joint space: {reason}" for reason in space.refused if reason]
    return replace(
        row,
        joint_space_mm=measured["joint_space_mm"],
        joint_space_sd_mm=measured["joint_space_sd_mm"],
        grade=grade if grade >= 0 else None,
        refused=bool(space.refused[0]),
        plausible=not verdict.reasons,
        reasons=(*refusals, *verdict.reasons),
        state=READY,
    )
