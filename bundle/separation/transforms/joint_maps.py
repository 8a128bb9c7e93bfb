"""Base classes of the dictionary transforms that change the layers and masks of a joint together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from bundle.separation.transforms.loading import Sample
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform, ThreadUnsafe
from monai.utils import ensure_tuple_rep
from monai.utils.enums import TransformBackends
from torch import Tensor


class JointMapd(ThreadUnsafe, MapTransform):
    """Base class of transforms that recompose joints: images under ``keys``, their layers under ``label_key``.

    With ``allow_missing_keys``, a sample without any of the keys is returned unchanged.

    Args:
        keys: images (3, H, W).
        label_key: layers (3, H, W), one key for each of ``keys``.
        allow_missing_keys: whether to ignore missing keys.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self, keys: KeysCollection = "image", label_key: KeysCollection = "label", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = ensure_tuple_rep(label_key, len(self.keys))

    def _remake(self, sample: Sample, remake: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Sample:
        for key, label_key in self.key_iterator(sample, self.label_key):
            sample[key], sample[label_key] = remake(sample[key], sample[label_key])
        return sample

    def _spacing(self, sample: Sample) -> float:
        """The pixel spacing of the sample in mm."""
        if "spacing" not in sample:
            msg = f"spacing, the pixel size in mm, is missing in the sample, which has {sorted(map(str, sample))}"
            raise KeyError(msg)
        return float(sample["spacing"])


class RandJointMapd(RandomizableTransform, JointMapd):
    """Base class of random transforms; an array transform samples the parameters and shares the seed.

    Args:
        keys: see :class:`JointMapd`.
        label_key: see :class:`JointMapd`.
        sampler: the array transform.
        allow_missing_keys: see :class:`JointMapd`.
    """

    def __init__(
        self, keys: KeysCollection, label_key: KeysCollection, sampler: RandomizableTransform, allow_missing_keys: bool
    ) -> None:
        JointMapd.__init__(self, keys, label_key, allow_missing_keys)
        RandomizableTransform.__init__(self, sampler.prob)
        self.sampler = sampler

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandJointMapd:
        """Seed the transform and its array transform."""
        super().set_random_state(seed, state)
        self.sampler.set_random_state(seed, state)
        return self
