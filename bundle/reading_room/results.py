"""Joints of a folder of inference results, which may still be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bundle.face import Joint, Layers
from bundle.inference import JOINT_LINES, REJECTED
from bundle.io import named_lines, read_separated, safe_name
from bundle.physics import reconstruct
from bundle.reading_room.library import Library, Report
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.rows import FAILED, READY, JointRow, row_id, row_of, typed

NO_LAYERS = (
    "The run stored no layers. Add {'_target_': 'bundle.inference.NiftiWriter'} to its --writers and run it again."
)

NO_NAME = "The name is not a file name, so the line is damaged. Run the job again."

LONGEST_NAME = 200
"""Largest number of characters in the name of a joint."""


class Results(Library):
    """Results of the jobs ``infer`` and ``hands``.

    Args:
        folder: output folder of the job.
    """

    kind = "results"

    def __init__(self, folder: Path) -> None:
        self.folder, self.title = folder, folder.name
        self._seen: tuple[object, ...] = ()
        self._listed: dict[str, JointRow] = {}

    def listed(self) -> Mapping[str, JointRow]:
        """See :meth:`Library.listed`; a joint whose layers are written after its line becomes ready."""
        seen = tuple(_state(self.folder / name) for name in (JOINT_LINES, REJECTED))
        if seen != self._seen:
            self._listed, self._seen = {row.id: row for row in self._read()}, seen
        awaited = [row for row in self._listed.values() if row.failure == NO_LAYERS and self._is_stored(row.name)]
        if awaited:
            self._listed = self._listed | {row.id: replace(row, state=READY, failure="") for row in awaited}
        return self._listed

    def _read(self) -> list[JointRow]:
        latest = {str(line["name"]): line for line in named_lines(self.folder / JOINT_LINES)}
        rejected = {str(line["name"]): line.get("reason") for line in named_lines(self.folder / REJECTED)}
        rows = [self._row(name, line) for name, line in latest.items()]
        return rows + [_failed(name, reason) for name, reason in rejected.items() if name not in latest]

    def _row(self, name: str, line: Mapping[str, Any]) -> JointRow:
        if not name or safe_name(name) != name or len(name) > LONGEST_NAME:
            return _failed(name[:LONGEST_NAME], NO_NAME)
        return row_of(line, **({} if self._is_stored(name) else {"state": FAILED, "failure": NO_LAYERS}))

    def _is_stored(self, name: str) -> bool:
        return (self.folder / f"{name}_layers.nii.gz").is_file()

    def load(self, row: JointRow, report: Report) -> OpenedJoint:
        """See :meth:`Library.load`."""
        report("reading", 0.2)
        stored = read_separated(self.folder, row.name)
        radiograph = reconstruct(stored.layers)
        joint = Joint(radiograph, stored.masks, stored.spacing_mm, row.name, row.finger or "unknown")
        report("measuring", 0.7)
        return OpenedJoint.of(Layers(joint, stored.layers, "stored"))


def _failed(name: str, reason: Any) -> JointRow:
    """The row of a joint that cannot be opened."""
    return JointRow(id=row_id(name), name=typed(name, str), state=FAILED, failure=typed(reason, str) or "")


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
