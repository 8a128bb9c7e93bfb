"""Phantoms, to try the reading room without radiographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundle.face import Joint, separate
from bundle.joint import MCP
from bundle.phantoms import PhantomParameters, render, retake, sample_parameters, true_joint_space, with_joint_space
from bundle.reading_room.library import Library, Report
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.radiographs import described_row, known_row
from bundle.reading_room.rows import CLOSED, JointRow, row_id

VISITS, APART_DAYS, NARROWING_MM = 3, 180, 0.15
"""Radiographs of a phantom, days between them, and the narrowing from one to the next."""

NARROWEST_MM = 1.0
"""Minimum joint space of a phantom at the first visit, in mm."""


class Demo(Library):
    """Phantoms whose joint space narrows from visit to visit.

    Args:
        phantoms: number of phantoms; each has :data:`VISITS` radiographs.
        seed: seed of the first one.
    """

    kind = "demo"
    title = "phantoms"

    def __init__(self, phantoms: int = 8, seed: int = 0) -> None:
        self.made = {
            row_id(name(seed + of, visit)): (seed + of, visit) for of in range(phantoms) for visit in range(VISITS)
        }
        self._rows = {id: _closed(id, *made) for id, made in self.made.items()}

    def listed(self) -> Mapping[str, JointRow]:
        """See :meth:`Library.listed`."""
        return dict(self._rows)

    def load(self, row: JointRow, report: Report) -> OpenedJoint:
        """See :meth:`Library.load`."""
        report("rendering the phantom", 0.1)
        joint = phantom(*self.made[row.id])
        report("separating", 0.4)
        opened = OpenedJoint.of(separate(joint))
        self._rows[row.id] = described_row(known_row(row, joint), joint, opened.space)
        return opened


def name(seed: int, visit: int) -> str:
    """Return the name of a radiograph of a phantom."""
    return f"phantom_{seed}_visit_{visit + 1}"


def phantom(seed: int, visit: int) -> Joint:
    """Render a phantom at a visit, in another posture each time."""
    parameters = parameters_of(seed, visit)
    made = render(parameters)
    known = name(seed, visit), parameters.finger, parameters.side
    return Joint(made.image, (made.masks > 0.5).float(), parameters.spacing, *known)


def parameters_of(seed: int, visit: int) -> PhantomParameters:
    """Return the parameters of a phantom at a visit: its joint space narrows, and its posture differs."""
    parameters = sample_parameters(seed)
    first = max(true_joint_space(parameters), NARROWEST_MM)
    return retake(with_joint_space(parameters, first - NARROWING_MM * visit), visit)


def _closed(id: str, seed: int, visit: int) -> JointRow:
    parameters = sample_parameters(seed)
    known: dict[str, Any] = {"patient": f"phantom {seed}", "visit": visit * APART_DAYS, "joint": MCP.name}
    side, finger = parameters.side[0].upper(), parameters.finger
    return JointRow(id=id, name=name(seed, visit), **known, side=side, finger=finger, state=CLOSED)
