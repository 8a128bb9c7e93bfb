"""What a format of results is: one class that writes the files of a joint, named in the list ``writers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class SeparatedJoint:
    """A joint with its layers, as it is written.

    Attributes:
        joint: as it was loaded: ``name``, ``image`` (3, H, W), the radiograph and its masks, ``spacing`` in mm and so
            on (docs/reference/keys.md).
        layers: soft tissue, lower bone and upper bone, (3, H, W) in [0, 1].
        separator: what separated it.
        label: name of the joint with what is said of it.
    """

    joint: Mapping[str, Any]
    layers: Tensor
    separator: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """Name of the joint, with which the names of its files begin."""
        return str(self.joint["name"])

    @property
    def spacing_mm(self) -> float:
        """Height and width of a pixel."""
        return float(self.joint["spacing"])

    @property
    def image(self) -> Tensor:
        """Radiograph and masks, (3, H, W), on the CPU."""
        image: Tensor = self.joint["image"].cpu()
        return image


class Writer(Protocol):
    """Writes the results of a joint in one format."""

    def check(self, joint: Mapping[str, Any]) -> None:
        """Refuse a joint whose results cannot be written so, before anything is computed; by default none.

        Args:
            joint: item of the joint, whose files are not loaded.

        Raises:
            InputError: they cannot be written.
        """
        return

    def write(self, folder: Path, result: SeparatedJoint) -> Sequence[Path]:
        """Write the files of a joint, whose names begin with its own, into a folder; which they are."""
        ...
