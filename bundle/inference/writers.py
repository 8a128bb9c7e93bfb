"""Interface of a result format: a class that writes the files of a joint, listed in ``writers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bundle.measurement import JointSpace
from torch import Tensor


@dataclass(frozen=True)
class SeparatedJoint:
    """A joint with its layers, ready to be written.

    Attributes:
        joint: loaded item: ``name``, ``image`` (3, H, W), the radiograph and its masks, ``spacing`` in mm, and others
            (docs/reference/keys.md).
        layers: soft tissue, lower bone and upper bone, (3, H, W) in [0, 1].
        separator: name of the separator, with its runtime and precision.
        label: name of the joint with its assessment.
        joint_space: measured joint space, a batch of one; None if it was not measured.
        row: row of the joint in ``joints.csv``; empty if it was not measured.
    """

    joint: Mapping[str, Any]
    layers: Tensor
    separator: str = ""
    label: str = ""
    joint_space: JointSpace | None = None
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the joint, the stem of its file names."""
        return str(self.joint["name"])

    @property
    def spacing_mm(self) -> float:
        """Height and width of a pixel in mm."""
        return float(self.joint["spacing"])

    @property
    def image(self) -> Tensor:
        """Radiograph and masks, (3, H, W), on the CPU."""
        image: Tensor = self.joint["image"].cpu()
        return image


class Writer(Protocol):
    """Writer of the results of a joint in one format."""

    def check(self, joint: Mapping[str, Any]) -> None:
        """Refuse a joint whose results this format cannot hold, before any computation; by default none.

        Args:
            joint: item of the joint; its files are not loaded.

        Raises:
            InputError: the results cannot be written.
        """
        return

    def write(self, folder: Path, result: SeparatedJoint) -> Sequence[Path]:
        """Write the files of a joint, named after it, into a folder; return their paths."""
        ...
