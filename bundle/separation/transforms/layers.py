"""Dictionary transforms between a radiograph and its layers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from bundle.joint import Keys
from bundle.separation.transforms.array import Reconstruct, SeparateLayers, ShareNoiseTexture
from bundle.separation.transforms.loading import Sample, spacing_of
from monai.config import KeysCollection
from monai.transforms import MapTransform


class SeparateLayersd(MapTransform):
    """Separate without weights, for the samples whose layers are not known.

    Args:
        keys: images (3, H, W).
        label_key: where the layers go.
        truth_key: samples with a 1 there keep their label.
        allow_missing_keys: do not raise when a key is missing.
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
    """Give the soft tissue of separated layers grain below the bones.

    Args:
        keys: layers (3, H, W).
        image_key: their radiograph and masks, (3, H, W).
        seed: as in :class:`bundle.separation.transforms.array.ShareNoiseTexture`.
        noise_texture: as there.
        allow_missing_keys: do not raise when a key is missing.
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
        """Give one sample grain."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self.share(sample[self.image_key], sample[key], spacing_of(sample, sample[key]))
        return sample


class Reconstructd(MapTransform):
    """Compose layers into radiographs, Eq. 4.

    Args:
        keys: layers (C, H, W).
        output_postfix: the radiograph of ``key`` goes to ``<key>_<output_postfix>``.
        allow_missing_keys: do not raise when a key is missing.
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
