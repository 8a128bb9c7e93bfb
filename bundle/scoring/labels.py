"""Labels of scoring networks: the joint spaces that a table states, such as the ``joints.csv`` of inference."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from bundle.errors import InputError
from bundle.io import Item, loaded, numbers_of, read_table
from bundle.joint import MCP, Keys
from bundle.measurement import narrowing_grade
from bundle.phantoms import true_joint_space
from bundle.separation.transforms import phantom_of
from monai.transforms import Transform
from monai.utils.enums import TransformBackends

NAME, JOINT_SPACE = "name", "joint_space_mm"
"""Columns of a table of labels."""

_log = logging.getLogger("bundle.scoring")


def read_joint_spaces(path: str | Path) -> dict[str, float]:
    """Read joint spaces in mm by the name of the radiograph; NaN where the table states none.

    Args:
        path: CSV file with the columns :data:`NAME` and :data:`JOINT_SPACE`; others are ignored.

    Raises:
        InputError: the file cannot be read, a column is missing, a row has too many cells, a value is not a number
            or not a joint space, or a name occurs twice.
    """
    rows = read_table(path, (NAME, JOINT_SPACE))
    names, widths = [row[NAME] for row in rows], [width for (width,) in numbers_of(rows, [JOINT_SPACE], path)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        msg = f"{path}: {len(twice)} names occur more than once, such as {twice[0]}. Keep one row for each."
        raise InputError(msg)
    wrong = [width for width in widths if abs(width) > MCP.frame_mm]
    if wrong:
        msg = f"{path}: a joint space of {wrong[0]:g} mm. Write {JOINT_SPACE} in mm."
        raise InputError(msg)
    return dict(zip(names, widths, strict=True))


class Measuring(Protocol):
    """A run that writes a table of joint spaces (:class:`bundle.workflow.BundleRun`)."""

    @property
    def result_path(self) -> Path:
        """The table."""

    def run(self) -> None:
        """Write the table, unless it exists."""


class JointSpaceLabels(Transform):
    """Addition of the label of a joint: ``joint_space`` (1,) in mm and its ``grade`` (1,) of narrowing.

    The label of a phantom is its true joint space, that of a radiograph the one in the table: NaN and -1 if the table
    does not name the radiograph or states no joint space.

    Args:
        path: table of the joint spaces (:func:`read_joint_spaces`), read on first use; "" for the one of ``measuring``.
        measuring: run that measures the joint spaces if no table is given.
        normal_mm: normal joint space width, to which the grade refers, in mm.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self, path: str | Path = "", measuring: Measuring | None = None, normal_mm: float = MCP.normal_joint_space_mm
    ) -> None:
        self.path, self.measuring, self.normal_mm = path, measuring, normal_mm

    @cached_property
    def table(self) -> dict[str, float]:
        """Joint spaces by name."""
        if self.path or self.measuring is None:
            return read_joint_spaces(self.path)
        self.measuring.run()
        return read_joint_spaces(self.measuring.result_path)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Label one loaded joint (:class:`bundle.separation.transforms.LoadJointd`)."""
        width = torch.tensor([self._joint_space(data)])
        return {**data, "joint_space": width, "grade": narrowing_grade(width, self.normal_mm)}

    def _joint_space(self, data: Mapping[Hashable, Any]) -> float:
        if Keys.SEED in data:
            return true_joint_space(phantom_of(data, data[Keys.IMAGE].shape[-1]))
        return self.table.get(str(data[Keys.NAME]), math.nan)


def with_labels(samples: Iterable[Item]) -> list[Item]:
    """Select the samples with a known ``joint_space``, each loaded once (:func:`bundle.io.loaded`).

    Raises:
        InputError: no sample has one.
    """
    every = loaded(samples)
    found = [sample for sample in every if bool(sample["joint_space"].isfinite())]
    if not found:
        msg = (
            f"labels: none of {len(every)} joints has a joint space. Name the table of these radiographs (--labels), "
            "or let the program measure them (--labels '')."
        )
        raise InputError(msg)
    if len(found) < len(every):
        _log.info(f"{len(every) - len(found)} of {len(every)} joints have no joint space and are left out.")
    return found
