"""Bone masks where nobody has drawn any: what a segmentation network says, as one whole outline a bone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.base import side_by_side
from bundle.joint import MCP
from bundle.networks import ReducedResolution, file_label, load_weights, stated_sha256
from bundle.physics import continue_to_border, overlap
from monai.config import KeysCollection
from monai.losses import DiceLoss
from monai.transforms import FillHoles, KeepLargestConnectedComponent, MapTransform, Transform
from monai.utils import convert_to_tensor
from monai.utils.enums import TransformBackends
from torch import Tensor, nn


def with_predicted_masks(
    image: Tensor, segment: Callable[[Tensor], Tensor], spacing_mm: float = MCP.spacing_mm
) -> Tensor:
    """A joint with drawn masks, continued to the border, in place of its own; a bone that is not found keeps its own.

    Args:
        image: radiograph and masks, (3, H, W).
        segment: draws masks (2, H, W) of a radiograph (1, H, W).
        spacing_mm: width of a pixel.
    """
    masks = segment(image[:1])
    found = masks.flatten(1).any(dim=1)[:, None, None]
    return torch.cat([image[:1], continue_to_border(torch.where(found, masks, image[1:]), spacing_mm)])


class BoneMaskLoss(nn.Module):
    """Dice and cross-entropy of the two maps, and Dice of the overlap, which is a small part of either.

    The cross-entropy is that of each map by itself; the one of MONAI's ``DiceCELoss`` takes two channels as classes
    that exclude each other. The Dice of the overlap is that of the whole batch, for in many joints there is none.

    Args:
        overlap: weight of its Dice.
    """

    def __init__(self, overlap: float = 0.5) -> None:
        super().__init__()
        self.overlap = overlap
        self._maps = DiceLoss(sigmoid=True)
        self._pixels = nn.BCEWithLogitsLoss()
        self._both = DiceLoss(batch=True)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The loss of logits (B, 2, H, W) against masks (B, 2, H, W) in [0, 1], a scalar."""
        both: Tensor = self._both(overlap(logits.sigmoid()), overlap(masks))
        maps: Tensor = self._maps(logits, masks) + self._pixels(logits, masks)
        return maps + self.overlap * both


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
        whole = self._filled(self._largest(mask.to(torch.uint8)))
        plain: Tensor = convert_to_tensor(whole, track_meta=False) > 0
        return plain


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


class BoneSegmenter:
    """Draws the masks of the two bones on a radiograph of a joint, on the CPU.

    The network is asked of the radiograph and of its mirror image, and its mean logits count. Its weights are loaded
    when they are first needed: who brings masks needs none.

    Args:
        network: from radiographs (B, 1, H, W) to logits (B, 2, H, W); it is given multiples of 32.
        load_path: its weights.
        metadata: file of the bundle's metadata, which states their checksum; empty for weights of one's own.
    """

    def __init__(self, network: nn.Module, load_path: str | Path, metadata: str = "") -> None:
        self.network = network.eval()
        self.load_path = Path(load_path)
        self.metadata = metadata
        self._padded = ReducedResolution(self.network, 1)
        self._masks = BoneMasks()
        self._loaded = False

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Masks (2, H, W) of 0 and 1 of a radiograph (1, H, W) in [0, 1]; all 0 where a bone is not found.

        Raises:
            InputError: there are no weights, or not those of this network.
        """
        return torch.from_numpy(self._draw(image).numpy().astype(bool).astype(np.float32))

    def _draw(self, image: Tensor) -> Tensor:
        self._load()
        there, mirrored = side_by_side(self._padded, [image[None], image.flip(-1)[None]])
        return self._masks((there + mirrored.flip(-1))[0] / 2.0)

    def __str__(self) -> str:
        """The file of the weights, with what tells it from others."""
        return file_label(self.load_path)

    def _load(self) -> None:
        if self._loaded:
            return
        sha256 = stated_sha256(self.metadata, self.load_path.name) if self.metadata else None
        remedy = "bring masks of your own, or train this network by configs/jobs/segment_bones.yaml"
        load_weights(self.network, self.load_path, "bone segmentation", remedy, "cpu", sha256)
        self._loaded = True
