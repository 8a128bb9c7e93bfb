"""A reading room of phantoms, asked without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the reading room is not installed: requirements-room.txt")

from bundle.face import Joint, separate
from bundle.reading_room.library import FixedLibrary, Report
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.rows import FAILED, READY, JointRow, row_id
from bundle.reading_room.running import rooms_of
from bundle.reading_room.security import Gate
from bundle.reading_room.server import application
from starlette.testclient import TestClient

HOST = "127.0.0.1:8765"


@cache
def separated(joint_space_mm: float = 1.6) -> OpenedJoint:
    """A phantom, separated without the network, which is slow to load; made once for all tests."""
    opened = OpenedJoint.of(separate(Joint.phantom(4, joint_space_mm), weights=None))
    _ = opened.bones
    return opened


class Weightless(FixedLibrary):
    """Two radiographs of a patient's joint, and a damaged one."""

    kind, title = "demo", "phantoms"

    def read(self) -> list[JointRow]:
        known = {"patient": "p", "side": "L", "finger": "ring", "joint": "MCP", "state": READY}
        rows = [JointRow(id=row_id(f"phantom_{n}"), name=f"phantom_{n}", visit=90 * n, **known) for n in range(2)]
        return [*rows, JointRow(id=row_id("bad"), name="bad", state=FAILED, failure="bad.png: damaged. Remove it.")]

    def load(self, row: JointRow, report: Report) -> OpenedJoint:
        return separated(1.4 if row.visit else 1.6)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    gate = Gate("127.0.0.1", 8765)
    with TestClient(
        application(rooms_of(Weightless(), tmp_path / "readings"), gate), base_url=f"http://{HOST}"
    ) as made:
        yield made
