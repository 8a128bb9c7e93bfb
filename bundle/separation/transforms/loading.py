"""Dictionary transforms that load a joint and choose what a network is given of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from bundle.io import MaskMaker, load_joint
from bundle.joint import MCP, Keys
from bundle.measurement import joint_space_width, narrowing_grade
from bundle.phantoms import render, retake, sample_parameters
from bundle.physics import continue_to_border
from monai.config import KeysCollection
from monai.transforms import CenterSpatialCrop, Compose, MapTransform, SpatialPad, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor

Sample = dict[Hashable, Any]

KEPT = ("loaded", "whole")
"""Keys under which an item says where its pixels are kept (:class:`bundle.io.audit.JointCheck`)."""


def spacing_of(sample: Mapping[Hashable, Any], image: Tensor) -> float:
    """Width of a pixel of a sample's image (C, H, W) in mm; where it is not told, that of the frame of an MCP joint."""
    return float(sample[Keys.SPACING]) if Keys.SPACING in sample else MCP.spacing_at(image.shape[-1])


class LoadJointd(Transform):
    """Load an item of a data list: as its audit has loaded it, from its files, or the phantom of its seed.

    Adds ``image``, ``label``, ``truth`` and ``spacing`` as described at the top, and the ``file`` of the image. The
    label of a file is all zero. Masks are continued to the border that their bone crosses.

    Args:
        size: expected height and width in pixels; None accepts any.
        segment: draws masks that are not named.

    Raises:
        InputError: a file cannot be used.
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
    """What a segmentation learns: ``image`` becomes the radiograph (1, H, W), ``label`` the masks (2, H, W).

    Only ``image``, ``label``, ``name`` and ``spacing`` are kept.
    """

    backend = [TransformBackends.TORCH]

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Divide one sample."""
        image = data["image"]
        return {"image": image[:1], "label": image[1:], "name": data["name"], "spacing": data["spacing"]}


class JointReadingd(Transform):
    """What a network learns to read of a joint: keeps the radiograph alone, and adds what its masks say.

    ``image`` (3, H, W) becomes the radiograph (1, H, W); ``jsw`` (1,) is the joint space width in mm, signed
    (:func:`bundle.measurement.joint_space_width`, as the factory measures it), NaN where there is none, and ``grade``
    (1,) its grade of narrowing. True layers are left out: they are another task's label.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """See the class."""
        image = data["image"]
        width = joint_space_width(image[None, 1:], float(data["spacing"]))
        kept = {key: value for key, value in data.items() if key not in ("label", "truth")}
        return {**kept, "image": image[:1], "jsw": width.float(), "grade": narrowing_grade(width)}


class ReadingFramed(MapTransform):
    """The frame in which a network reads a radiograph: always as many pixels of the same size, whatever its spacing.

    Resampled about its middle, antialiased; what is wider is cut off, what is smaller is continued by its border.

    Args:
        keys: radiographs (C, H, W).
        size: height and width of the frame in pixels.
        field_mm: height and width of the frame.
        spacing_key: where the radiograph's mm per pixel stand, (1,). It becomes that of the frame, and the radiograph's
            goes to ``radiograph_spacing``.
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
