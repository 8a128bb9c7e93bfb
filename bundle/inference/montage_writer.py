"""Results for visual inspection: a joint, its layers and their composition, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.inference.writers import SeparatedJoint, Writer
from bundle.io import TITLES, montage
from bundle.separation import separation_row


class MontageWriter(Writer):
    """Writer of ``<name>_montage.png``, labelled with the assessment of the joint."""

    def write(self, folder: Path, result: SeparatedJoint) -> Sequence[Path]:
        """See :meth:`bundle.inference.Writer.write`."""
        path = folder / f"{result.name}_montage.png"
        row = separation_row(result.joint["image"], result.layers, result.spacing_mm)
        montage([row], TITLES, path, [result.label or result.name])
        return [path]
