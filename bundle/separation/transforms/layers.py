"""Dictionary transforms between a radiograph and its layers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from bundle.joint import Keys
from bundle.separation.transforms.array import ClearOutlines, Reconstruct, SeparateLayers, ShareNoiseTexture
from bundle.separation.transforms.loading import Sample, spacing_of
from monai.config import KeysCollection
from monai.transforms import MapTransform


class SeparateLayersd(MapTransform):
    """Weight-free separation of samples without true layers.

    Args:
        keys: images (3, H, W).
        label_key: key of the layers.
        truth_key: key of the truth; samples with 1 keep their label.
        allow_missing_keys: whether to ignore missing keys.
    """

    backend = SeparateLayers.backend

    def __init__(
        self,
        keys: KeysCollection = Keys.IMAGE,
        label_key: str = Keys.LABEL,
        truth_key: str = Keys.TRUTH,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.truth_key = truth_key
        self.separate = SeparateLayers()

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Separate one sample."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            if float(sample.get(self.truth_key, 0.0)) == 0.0:
                sample[self.label_key] = self.separate(sample[key], spacing_of(sample, sample[key]))
        return sample


class ShareNoiseTextured(MapTransform):
    """Noise texture for the soft tissue below the bones of separated layers.

    Args:
        keys: layers (3, H, W).
        image_key: key of the radiograph and masks, (3, H, W).
        seed: see :class:`bundle.separation.transforms.array.ShareNoiseTexture`.
        noise_texture: see :class:`bundle.separation.transforms.array.ShareNoiseTexture`.
        allow_missing_keys: whether to ignore missing keys.
    """

    backend = ShareNoiseTexture.backend

    def __init__(
        self,
        keys: KeysCollection = Keys.PRED,
        image_key: str = Keys.IMAGE,
        seed: int = 0,
        noise_texture: bool | str = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.share = ShareNoiseTexture(seed, noise_texture)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Add noise texture to one sample."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self.share(sample[self.image_key], sample[key], spacing_of(sample, sample[key]))
        return sample


class ClearOutlinesd(MapTransform):
    """Removal of the bones' contour from the soft tissue of separated layers (:func:`bundle.physics.clear_outlines`).

    Args:
        keys: layers (3, H, W).
        image_key: key of the radiograph and masks, (3, H, W).
        allow_missing_keys: whether to ignore missing keys.
    """

    backend = ClearOutlines.backend

    def __init__(
        self, keys: KeysCollection = Keys.PRED, image_key: str = Keys.IMAGE, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.clear = ClearOutlines()

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Clear the layers of one sample."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self.clear(sample[self.image_key], sample[key], spacing_of(sample, sample[key]))
        return sample


class Reconstructd(MapTransform):
    """Composition of layers to radiographs, Eq. 4.

    Args:
        keys: layers (C, H, W).
        output_postfix: postfix of the output key ``<key>_<output_postfix>``.
        allow_missing_keys: whether to ignore missing keys.
    """

    backend = Reconstruct.backend

    def __init__(
        self, keys: KeysCollection, output_postfix: str = "radiograph", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_postfix = output_postfix
        self.reconstruct = Reconstruct()

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Compose one sample."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[f"{key}_{self.output_postfix}"] = self.reconstruct(sample[key])
        return sample
