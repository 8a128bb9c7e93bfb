"""Results for visual inspection: a joint, its layers and their composition, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bundle.inference.writers import SeparatedJoint, Writer
from bundle.io import TITLES, grey_panel, montage, plotted_panel
from bundle.measurement import JointSpace
from bundle.separation import separation_row
from numpy.typing import NDArray
from torch import Tensor

SURFACE_COLOURS = ((255, 220, 0), (0, 190, 255))
"""Contour of the head (yellow), articular floor (blue): of the lower and the upper bone, as their outlines."""


class MontageWriter(Writer):
    """Writer of ``<name>_montage.png``, labelled with the assessment of the joint."""

    def write(self, folder: Path, result: SeparatedJoint) -> Sequence[Path]:
        """See :meth:`bundle.inference.Writer.write`."""
        path = folder / f"{result.name}_montage.png"
        row = separation_row(result.joint["image"], result.layers, result.spacing_mm)
        titles, label = [*TITLES], result.label or result.name
        if result.joint_space is not None:
            row.insert(1, surfaces_panel(result.image[0], result.joint_space, result.spacing_mm))
            titles.insert(1, "joint surfaces")
            label = f"{label}, {joint_space_label(result.joint_space)}"
        montage([row], titles, path, [label])
        return [path]


def surfaces_panel(radiograph: Tensor, space: JointSpace, spacing_mm: float) -> NDArray[np.uint8]:
    """Plot the joint surfaces, where they are measured, over a radiograph (H, W): head yellow, floor blue."""
    panel, window = grey_panel(radiograph), space.surfaces.window[0]
    for points, colour in zip(space.surfaces.points(), SURFACE_COLOURS, strict=True):
        panel = plotted_panel(panel, points[0, window].numpy() / spacing_mm, colour)
    return panel


def joint_space_label(space: JointSpace) -> str:
    """Describe the joint space of a joint in a few words."""
    if space.refused[0]:
        return f"joint space refused: {space.refused[0]}"
    return f"joint space {float(space.mean[0]):.2f} mm (SD {float(space.sd[0]):.2f})"
