"""Joints of a folder of inference results, which may still be written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.face import Joint, Layers
from bundle.inference import JOINT_LINES, REJECTED
from bundle.io import named_lines, read_separated
from bundle.physics import reconstruct
from bundle.reading_room.library import Library, Report
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.rows import FAILED, JointRow, row_id, row_of

NO_LAYERS = (
    "The run stored no layers. Add {'_target_': 'bundle.inference.NiftiWriter'} to its --writers and run it again."
)


class Results(Library):
    """Results of the jobs ``infer`` and ``hands``.

    Args:
        folder: output folder of the job.
    """

    kind = "results"

    def __init__(self, folder: Path) -> None:
        self.folder, self.title = folder, folder.name
        self._seen: tuple[object, ...] = ()
        self._rows: list[JointRow] = []

    def rows(self) -> Sequence[JointRow]:
        """See :meth:`Library.rows`."""
        seen = tuple(_state(self.folder / name) for name in (JOINT_LINES, REJECTED))
        if seen != self._seen:
            self._rows, self._seen = self._read(), seen
        return self._rows

    def _read(self) -> list[JointRow]:
        latest = {str(line["name"]): line for line in named_lines(self.folder / JOINT_LINES)}
        rejected = {str(line["name"]): str(line.get("reason", "")) for line in named_lines(self.folder / REJECTED)}
        rows = [row_of(line, **self._stored(name)) for name, line in latest.items()]
        return rows + [
            JointRow(id=row_id(name), name=name, state=FAILED, failure=reason)
            for name, reason in rejected.items()
            if name not in latest
        ]

    def _stored(self, name: str) -> dict[str, str]:
        if (self.folder / f"{name}_layers.nii.gz").is_file():
            return {}
        return {"state": FAILED, "failure": NO_LAYERS}

    def load(self, row: JointRow, report: Report) -> OpenedJoint:
        """See :meth:`Library.load`."""
        report("reading", 0.2)
        stored = read_separated(self.folder, row.name)
        radiograph = reconstruct(stored.layers)
        joint = Joint(radiograph, stored.masks, stored.spacing_mm, row.name, row.finger or "unknown")
        report("measuring", 0.7)
        return OpenedJoint.of(Layers(joint, stored.layers, "stored"))


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
