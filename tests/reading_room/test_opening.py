from __future__ import annotations

import time
from typing import Any

from bundle.errors import InputError
from bundle.reading_room.library import Library, Report
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.opening import Openings
from bundle.reading_room.rows import CLOSED, FAILED, JointRow


class Folder(Library):
    """A radiograph of a hand, which two joints replace, and a damaged one."""

    kind, title = "radiographs", "folder"

    def __init__(self) -> None:
        self.names = ["hand", "damaged"]

    def listed(self) -> dict[str, JointRow]:
        return {id: JointRow(id=id, name=id, state=CLOSED) for id in self.names}

    def load(self, row: JointRow, report: Report) -> OpenedJoint | list[str]:
        if row.id == "damaged":
            raise InputError("damaged.png: the image cannot be read. Copy it again.")
        self.names = ["index", "ring", "damaged"]
        return ["index", "ring"]


def opened(openings: Openings, identifier: str) -> dict[str, Any]:
    for _ in range(200):
        state = openings.begin(identifier)
        if state["state"] != "opening":
            return state
        time.sleep(0.01)
    raise AssertionError("the joint stays closed")


def test_a_hand_that_its_joints_have_replaced_states_them() -> None:
    assert opened(Openings(Folder()), "hand") == {"state": "hand", "joints": ["index", "ring"]}


def test_a_joint_that_cannot_be_opened_is_a_row_with_its_reason() -> None:
    library = Folder()
    openings = Openings(library)
    damaged = library.row("damaged")
    assert openings.stated(damaged) == damaged
    reason = opened(openings, "damaged")["failure"]
    assert reason.startswith("damaged.png")
    assert (openings.stated(damaged).state, openings.stated(damaged).failure) == (FAILED, reason)
