"""Prediction of missing bone masks by a segmentation network, post-processed to one closed outline per bone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.base import side_by_side
from bundle.joint import MCP
from bundle.networks import LoadedOnUse, ReducedResolution
from bundle.physics import continue_to_border, overlap
from monai.config import KeysCollection
from monai.losses import DiceLoss
from monai.transforms import FillHoles, KeepLargestConnectedComponent, MapTransform, Transform
from monai.utils import convert_to_tensor
from monai.utils.enums import TransformBackends
from torch import Tensor, nn
from torch.nn import functional as F


def with_predicted_masks(
    image: Tensor, segment: Callable[[Tensor], Tensor], spacing_mm: float = MCP.spacing_mm
) -> Tensor:
    """Replace the masks of a joint by predicted masks, continued to the border; a missed bone keeps its mask.

    Args:
        image: radiograph and masks, (3, H, W).
        segment: network that predicts masks (2, H, W) from a radiograph (1, H, W).
        spacing_mm: pixel size in mm.
    """
    masks = segment(image[:1])
    found = masks.flatten(1).any(dim=1)[:, None, None]
    return torch.cat([image[:1], continue_to_border(torch.where(found, masks, image[1:]), spacing_mm)])


class BoneMaskLoss(nn.Module):
    """Dice and binary cross-entropy of the two masks, plus Dice of their overlap, a small part of either mask.

    The cross-entropy treats the masks independently; MONAI's ``DiceCELoss`` would treat two channels as exclusive
    classes. The Dice of the overlap is computed over the whole batch, because many joints have no overlap.

    Args:
        overlap: weight of the Dice of the overlap.
    """

    def __init__(self, overlap: float = 0.5) -> None:
        super().__init__()
        self.overlap = overlap
        self._maps = DiceLoss(sigmoid=True)
        self._pixels = nn.BCEWithLogitsLoss()
        self._both = DiceLoss(batch=True)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compute the loss, a scalar, of logits (B, 2, H, W) against masks (B, 2, H, W) in [0, 1]."""
        both: Tensor = self._both(overlap(logits.sigmoid()), overlap(masks))
        maps: Tensor = self._maps(logits, masks) + self._pixels(logits, masks)
        return maps + self.overlap * both


class BoneMasks(Transform):
    """Conversion of logits to masks: threshold at probability 0.5, largest component of each bone, holes filled.

    A bone is one component; other findings of the network (a sesamoid, a ring, a neighbouring finger) are discarded.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self) -> None:
        self._largest = KeepLargestConnectedComponent(applied_labels=0, is_onehot=True)
        self._filled = FillHoles()

    def __call__(self, logits: Tensor) -> Tensor:
        """Convert logits (2, H, W) to binary masks (2, H, W)."""
        masks = [self._whole(mask) for mask in (logits > 0.0).split(1)]
        return torch.cat(masks).to(logits.dtype)

    def _whole(self, mask: Tensor) -> Tensor:
        """Reduce a mask (1, H, W) to one component without holes."""
        whole = self._filled(self._largest(mask.to(torch.uint8)))
        plain: Tensor = convert_to_tensor(whole, track_meta=False) > 0
        return plain


class BoneMasksd(MapTransform):
    """Dictionary version of :class:`BoneMasks`.

    Args:
        keys: logits (2, H, W).
        allow_missing_keys: whether to ignore missing keys.
    """

    backend = BoneMasks.backend

    def __init__(self, keys: KeysCollection = "pred", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self._masks = BoneMasks()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace logits by masks."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self._masks(sample[key])
        return sample


class BoneSegmenter(LoadedOnUse):
    """Predictor of the masks of the two bones from a radiograph of a joint, on the CPU.

    The logits are averaged over the radiograph and its mirror image. The weights are loaded on first use, so that they
    are not required if all masks are given.

    Args:
        network: network from radiographs (B, 1, H, W) to logits (B, 2, H, W); its input is padded to multiples of 32.
        load_path: file of the weights.
        metadata: file of the bundle's metadata with the checksum of the weights; empty for user-trained weights.
    """

    what = "bone segmentation"
    remedy = "provide masks, or train this network with configs/jobs/segment_bones.yaml"

    def __init__(self, network: nn.Module, load_path: str | Path, metadata: str = "") -> None:
        super().__init__(network, load_path, metadata)
        self._padded = ReducedResolution(self.network, 1)
        self._masks = BoneMasks()

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Predict binary masks (2, H, W) from a radiograph (1, H, W) in [0, 1]; the mask of a missed bone is 0.

        Raises:
            InputError: if the weights are missing or those of another network.
        """
        return torch.from_numpy(self._predict(image).numpy().astype(bool).astype(np.float32))

    @torch.no_grad()
    def coarse(self, image: Tensor) -> Tensor:
        """Predict masks (2, H / 2, W / 2) at half the resolution and without the mirror image, in a fifth of the time.

        Args:
            image: radiograph, (1, H, W) in [0, 1].
        """
        self.load()
        masks: Tensor = self._masks(self._padded(F.avg_pool2d(image[None], 2))[0])
        return masks

    def _predict(self, image: Tensor) -> Tensor:
        self.load()
        direct, mirrored = side_by_side(self._padded, [image[None], image.flip(-1)[None]])
        return self._masks((direct + mirrored.flip(-1))[0] / 2.0)
