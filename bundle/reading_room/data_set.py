"""Images of a data set of synthetic radiographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from bundle.datasets import CARD, SourceStore
from bundle.errors import InputError
from bundle.face import Joint, Layers
from bundle.io import LATERALITY, named_lines
from bundle.physics import RigidMotion
from bundle.reading_room.library import FixedLibrary, Report
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.rows import JointRow, row_id, typed


class SyntheticImages(FixedLibrary):
    """Images of a data set, composed again from their source joints and motions; noise that was added is left out.

    Args:
        folder: output folder of the job ``synthesize``.
    """

    kind = "data set"

    def __init__(self, folder: Path) -> None:
        self.folder, self.title = folder, folder.name
        self.store = SourceStore(folder / "sources")
        self._truth: dict[str, dict[str, Any]] = {}

    def read(self) -> list[JointRow]:
        """See :meth:`FixedLibrary.read`."""
        for path in sorted(self.folder.glob("truth-*.jsonl")):
            for line in named_lines(path, "key"):
                self._truth[row_id(str(line["key"]))] = line
        return [_row(id, truth) for id, truth in self._truth.items()]

    def load(self, row: JointRow, report: Report) -> OpenedJoint:
        """See :meth:`Library.load`."""
        truth = self._truth[row.id]
        report("composing", 0.2)
        try:
            motion, seeds = RigidMotion.from_json(json.dumps(truth["motion"])), [int(truth["noise_seed"])]
            spacing, source = float(truth["spacing_mm"]), str(truth["source"])
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{self.folder.name}: the ground truth of {row.name} is damaged. Make its shard again."
            raise InputError(msg) from error
        if self.store.find(source) is None:
            msg = f"{self.folder.name}: the source joint of {row.name} is missing. Make the data set again."
            raise InputError(msg)
        made = self.store.load([source]).synthesize(motion, spacing, seeds)
        joint = Joint(made.image[0], (made.masks[0] > 0.5).to(torch.float32), spacing, row.name, str(truth["finger"]))
        report("measuring", 0.7)
        return OpenedJoint.of(Layers(joint, made.layers[0], str(truth.get("separator", ""))))


def is_data_set(folder: Path) -> bool:
    """Whether a folder holds a data set."""
    return (folder / CARD).is_file()


def _row(id: str, truth: dict[str, Any]) -> JointRow:
    return JointRow(
        id=id,
        name=typed(truth["key"], str),
        side=LATERALITY.get(str(truth.get("side"))),
        finger=typed(truth.get("finger"), str),
        joint=typed(truth.get("joint"), str),
        joint_space_mm=typed(truth.get("joint_space_after_mm"), int, float),
        grade=typed(truth.get("narrowing_grade"), int),
        refused=False,
    )
