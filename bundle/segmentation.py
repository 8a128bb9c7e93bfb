"""Bone masks where nobody has drawn any: what a segmentation network says, as one whole outline a bone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import FillHoles, KeepLargestConnectedComponent, MapTransform, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor


class BoneMasks(Transform):
    """Masks of logits: above a probability of one half, the largest piece of each bone, its holes filled.

    A bone is one piece; what else the network finds (a sesamoid, a ring, the neighbouring finger) is none of it.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self) -> None:
        self._largest = KeepLargestConnectedComponent(applied_labels=0, is_onehot=True)
        self._filled = FillHoles()

    def __call__(self, logits: Tensor) -> Tensor:
        """Masks (2, H, W) of 0 and 1 from logits (2, H, W)."""
        masks = [self._whole(mask) for mask in (logits > 0.0).split(1)]
        return torch.cat(masks).to(logits.dtype)

    def _whole(self, mask: Tensor) -> Tensor:
        """One mask (1, H, W) as one piece without holes."""
        piece = torch.as_tensor(self._largest(mask.to(torch.uint8)))
        whole: Tensor = torch.as_tensor(self._filled(piece)) > 0
        return whole


class BoneMasksd(MapTransform):
    """:class:`BoneMasks` of a dictionary.

    Args:
        keys: logits (2, H, W).
        allow_missing_keys: do not raise when a key is missing.
    """

    backend = BoneMasks.backend

    def __init__(self, keys: KeysCollection = "pred", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self._masks = BoneMasks()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Masks in place of logits."""
        made = dict(data)
        for key in self.key_iterator(made):
            made[key] = self._masks(made[key])
        return made
