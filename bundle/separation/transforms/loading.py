"""Dictionary transforms that load a joint and prepare it as input of a network."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from bundle.io import MaskMaker, load_joint
from bundle.joint import MCP, Keys
from bundle.phantoms import PhantomParameters, destroyed, reframed, render, retake, sample_parameters
from bundle.physics import continue_to_border
from monai.transforms import Transform
from monai.utils.enums import TransformBackends
from torch import Tensor

Sample = dict[Hashable, Any]

KEPT = ("loaded", "whole", "whole_scale")
"""Keys of an item's loaded pixels (:class:`bundle.io.audit.JointCheck`)."""


def spacing_of(sample: Mapping[Hashable, Any], image: Tensor) -> float:
    """Return the pixel size of a sample's image (C, H, W) in mm; default: that of an MCP frame of the same size."""
    return float(sample[Keys.SPACING]) if Keys.SPACING in sample else MCP.spacing_at(image.shape[-1])


def phantom_of(item: Mapping[Any, Any], size: int) -> PhantomParameters:
    """Return the parameters of the phantom that an item states.

    They follow from its ``seed`` and ``spacing``, and from ``retake``, ``conditions``, ``moved`` and ``destroyed`` if
    it has them.

    Args:
        item: item of a phantom.
        size: height and width of its radiograph in pixels.
    """
    parameters = sample_parameters(item[Keys.SEED], size=size, spacing=float(item[Keys.SPACING]))
    parameters = destroyed(parameters) if item.get("destroyed") else parameters
    moved = reframed(parameters, *item.get("moved", (0.0, 0.0, 0.0)))
    return retake(moved, item.get("retake", 0), **item.get("conditions", {}))


class LoadJointd(Transform):
    """Loader of a data list item: from the pixels of its audit, from its files, or as the phantom of its seed.

    Adds ``image``, ``label``, ``truth`` and ``spacing`` (:mod:`bundle.separation.transforms.dictionary`), and the
    ``file`` of the image. The label of a file is zero. Masks are continued to the border that their bone crosses.

    Args:
        size: expected height and width in pixels; None accepts any.
        segment: network that predicts missing masks.

    Raises:
        InputError: if a file cannot be used.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, size: int | None = MCP.pixels, segment: MaskMaker | None = None) -> None:
        self.size = size
        self.segment = segment

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Load one item."""
        sample = dict(data)
        loaded = self._render(sample) if Keys.SEED in sample else self._read(sample)
        spacing = torch.tensor([float(sample[Keys.SPACING])])
        sample = {key: value for key, value in sample.items() if key not in KEPT}
        return {**sample, "file": str(sample.get(Keys.IMAGE, "")), **loaded, Keys.SPACING: spacing}

    def _render(self, item: Sample) -> Sample:
        phantom = render(phantom_of(item, self.size or MCP.pixels))
        image = torch.cat([phantom.image, phantom.masks])
        return {Keys.IMAGE: image, Keys.LABEL: phantom.layers, Keys.TRUTH: torch.ones(1)}

    def _read(self, item: Sample) -> Sample:
        joint = load_joint({str(key): value for key, value in item.items()}, self.size, self.segment)
        image = torch.cat([joint[:1], continue_to_border(joint[1:], float(item[Keys.SPACING]))])
        return {Keys.IMAGE: image, Keys.LABEL: torch.zeros_like(image), Keys.TRUTH: torch.zeros(1)}


class MasksAsLabeld(Transform):
    """Training pair of a segmentation network: ``image`` is the radiograph (1, H, W), ``label`` the masks (2, H, W).

    Only ``image``, ``label``, ``name`` and ``spacing`` are kept.
    """

    backend = [TransformBackends.TORCH]

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Convert one sample."""
        image = data["image"]
        return {"image": image[:1], "label": image[1:], "name": data["name"], "spacing": data["spacing"]}
