"""Results as NIfTI: the layers with the masks that guided them, and the crop of a joint in a hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.inference.writers import SeparatedJoint, Writer
from bundle.io import write_layers


class NiftiWriter(Writer):
    """Writer of ``<name>_layers.nii.gz``, float32 with 3 channels, and ``<name>_masks.nii.gz`` with 2.

    A crop that has no file of its own becomes ``<name>.nii.gz``.
    """

    def write(self, folder: Path, result: SeparatedJoint) -> Sequence[Path]:
        """See :meth:`bundle.inference.Writer.write`."""
        written = {
            folder / f"{result.name}_layers.nii.gz": result.layers,
            folder / f"{result.name}_masks.nii.gz": result.image[1:],
        }
        if result.joint.get("frame"):
            written[folder / f"{result.name}.nii.gz"] = result.image[:1]
        for path, channels in written.items():
            write_layers(path, channels, result.spacing_mm)
        return list(written)
