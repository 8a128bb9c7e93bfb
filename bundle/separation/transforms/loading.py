"""Dictionary transforms that load a joint and prepare it as input of a network."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from bundle.io import MaskMaker, load_joint
from bundle.joint import MCP, Keys
from bundle.measurement import narrowing_grade, outline_gap
from bundle.phantoms import render, retake, sample_parameters
from bundle.physics import continue_to_border
from monai.config import KeysCollection
from monai.transforms import CenterSpatialCrop, Compose, MapTransform, SpatialPad, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor

Sample = dict[Hashable, Any]

KEPT = ("loaded", "whole")
"""Keys of an item's loaded pixels (:class:`bundle.io.audit.JointCheck`)."""


def spacing_of(sample: Mapping[Hashable, Any], image: Tensor) -> float:
    """Return the pixel size of a sample's image (C, H, W) in mm; default: that of an MCP frame of the same size."""
    return float(sample[Keys.SPACING]) if Keys.SPACING in sample else MCP.spacing_at(image.shape[-1])


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
        parameters = sample_parameters(item[Keys.SEED], size=self.size or MCP.pixels, spacing=item[Keys.SPACING])
        phantom = render(retake(parameters, item.get("retake", 0)))
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


class JointReadingd(Transform):
    """Training target of a scoring network: keeps the radiograph and adds JSW and grade measured on the masks.

    ``image`` (3, H, W) becomes the radiograph (1, H, W). ``jsw`` (1,) is the signed joint space width in mm
    (:func:`bundle.measurement.outline_gap`, as in data generation), NaN if undefined; ``grade`` (1,) is its grade
    of narrowing. ``label`` and ``truth`` are removed.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert one sample."""
        image = data["image"]
        width = outline_gap(image[None, 1:], float(data["spacing"]))
        kept = {key: value for key, value in data.items() if key not in ("label", "truth")}
        return {**kept, "image": image[:1], "jsw": width.float(), "grade": narrowing_grade(width)}


class ReadingFramed(MapTransform):
    """Input frame of a scoring network: a fixed number of pixels of fixed size, for any pixel spacing.

    Radiographs are resampled about their centre with antialiasing, then cropped or padded with their border.

    Args:
        keys: radiographs (C, H, W).
        size: height and width of the frame in pixels.
        field_mm: height and width of the frame in mm.
        spacing_key: key of the radiograph's pixel size in mm, (1,). It is replaced by that of the frame; the original
            value is stored under ``radiograph_spacing``.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self, keys: KeysCollection, size: int = 128, field_mm: float = MCP.frame_mm, spacing_key: str = Keys.SPACING
    ) -> None:
        super().__init__(keys)
        self.size, self.pixel, self.spacing_key = size, field_mm / size, spacing_key
        self.cut = Compose([SpatialPad((size, size), mode="edge"), CenterSpatialCrop((size, size))])

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Resample one sample."""
        spacing = torch.as_tensor(data[self.spacing_key]).reshape(1)
        ratio = float(spacing) / self.pixel
        framed = {key: self._framed(data[key], ratio) for key in self.key_iterator(data)}
        return {**data, **framed, self.spacing_key: torch.tensor([self.pixel]), "radiograph_spacing": spacing}

    def _framed(self, image: Tensor, ratio: float) -> Tensor:
        size = [round(side * ratio) for side in image.shape[-2:]]
        resized = torch.nn.functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        return resized if size == [self.size, self.size] else self.cut(resized)
