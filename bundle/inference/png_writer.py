"""Results as 8-bit images: the layers, and the predicted masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.inference.writers import SeparatedJoint, Writer
from bundle.io import PREDICTED, write_layer_images, write_masks
from bundle.joint import BONES, LAYER_NAMES


class PngWriter(Writer):
    """Writer of ``<name>_soft.png``, ``_lower``, ``_upper`` and predicted ``<name>_mask_lower.png``, ``_upper``."""

    def write(self, folder: Path, result: SeparatedJoint) -> Sequence[Path]:
        """See :meth:`bundle.inference.Writer.write`."""
        write_layer_images(folder, result.name, result.layers)
        endings = [*LAYER_NAMES]
        if result.joint.get("masks") == PREDICTED:
            write_masks(folder, result.name, result.image[1:])
            endings += [f"mask_{bone}" for bone in BONES]
        return [folder / f"{result.name}_{ending}.png" for ending in endings]
