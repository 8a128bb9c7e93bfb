"""Augmentations that keep the truth exact: they change the layers and compose the radiograph from the result.

A joint is ``image`` (3, H, W): radiograph, lower mask, upper mask; its ``layers`` are (3, H, W). Without known layers,
the augmentation applies to the radiograph.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from bundle.errors import InputError
from bundle.io import MaskMaker
from bundle.joint import MCP
from bundle.physics import attenuation, attenuation_shares, blur, intensity, partition, reconstruct
from bundle.segmentation import with_predicted_masks
from bundle.separation.resident import to_device
from bundle.separation.transforms.loading import spacing_of
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform, SpatialCrop, ThreadUnsafe
from monai.utils.enums import TransformBackends
from torch import Tensor

MAX_SEED = 2**31 - 1

_BY_JOINT = "made joint by joint, not in batches on the device. Set it to 0, or leave out variants/resident.yaml."


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of a joint, stored under ``augmentation`` as JSON.

    Attributes:
        mirrored: whether left and right are exchanged.
        contrast: attenuation factors of soft tissue, lower bone and upper bone.
        blur_mm: sigma of the Gaussian blur in mm.
        noise: standard deviation of the noise in the radiograph, in intensity.
        seed: random seed of the noise.
    """

    mirrored: bool = False
    contrast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur_mm: float = 0.0
    noise: float = 0.0
    seed: int = 0

    def apply(self, layers: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
        """Augment layers (3, H, W), or a radiograph (1, H, W) with the mean contrast."""
        if self.mirrored:
            layers = layers.flip(-1)
        factors = layers.new_tensor(self.contrast)
        factors = factors if len(layers) == 3 else factors.mean(dim=0, keepdim=True)
        parts = attenuation(layers) * factors[:, None, None]
        if self.blur_mm:
            parts = blur(parts[None], self.blur_mm / spacing_mm)[0]
        return self._noisy(intensity(parts))

    def _noisy(self, layers: Tensor) -> Tensor:
        """Add noise to the radiograph and divide the result between the layers; their shares do not change."""
        if not self.noise:
            return layers
        image = reconstruct(layers)
        white = torch.randn(image.shape, generator=torch.Generator().manual_seed(self.seed)).to(image)
        return partition((image + self.noise * white).clamp(0.0, 1.0), attenuation_shares(layers))


@dataclass(frozen=True)
class BatchAugmentation:
    """The augmentations of a batch, on its device: :class:`Augmentation` without blur and noise.

    Attributes:
        mirrored: whether left and right are exchanged, boolean, (B, 1, 1, 1).
        contrast: attenuation factors of the three layers, (B, 3, 1, 1).
        active: whether the joint changes at all, boolean, (B, 1, 1, 1).
    """

    mirrored: Tensor
    contrast: Tensor
    active: Tensor

    @classmethod
    def of(cls, sampled: Sequence[Augmentation], like: Tensor) -> BatchAugmentation:
        """Combine the augmentations sampled for B joints, on the device of a tensor."""
        mirrored = to_device([float(each.mirrored) for each in sampled], like)
        active = to_device([float(each != Augmentation(seed=each.seed)) for each in sampled], like)
        contrast = to_device([each.contrast for each in sampled], like)
        return cls(mirrored.bool()[:, None, None, None], contrast[..., None, None], active.bool()[:, None, None, None])

    def apply(self, layers: Tensor) -> Tensor:
        """Augment layers (B, 3, H, W), or radiographs (B, 1, H, W) with the mean contrast."""
        factors = self.contrast if layers.shape[1] == 3 else self.contrast.mean(dim=1, keepdim=True)
        return torch.where(self.active, intensity(attenuation(self._mirrored(layers)) * factors), layers)

    def image(self, image: Tensor) -> Tensor:
        """Augment radiographs with masks (B, 3, H, W) that have no known layers."""
        return torch.cat([self.apply(image[:, :1]), self._mirrored(image[:, 1:])], dim=1)

    def _mirrored(self, values: Tensor) -> Tensor:
        return torch.where(self.mirrored, values.flip(-1), values)


class RandAugmentLayersd(RandomizableTransform, ThreadUnsafe, MapTransform):
    """Random augmentation of joints: mirroring, contrast of each layer, blur and noise; all off by default.

    Where ``truth`` is 1, the layers under ``label_key`` are augmented and the image is composed of them; other
    radiographs are augmented directly. All keys of a sample change alike. Noise is divided between the layers in
    proportion to their attenuation, as in phantoms (:class:`bundle.phantoms.Phantom`), so that the shares, the target
    of the network, contain no noise.

    Args:
        keys: images (3, H, W).
        label_key: layers (3, H, W) of the first key.
        mirror: probability of exchanging left and right.
        contrast: maximum relative change of the attenuation, sampled for each layer, in [0, 1).
        blur_mm: maximum sigma of the blur in mm, sampled from 0.
        noise: maximum standard deviation of the noise in intensity, sampled from 0.
        prob: probability of changing contrast, blur and noise, all at once.
        allow_missing_keys: whether to ignore missing keys.

    Raises:
        ValueError: if a range is negative, or the contrast is not below 1.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        keys: KeysCollection = ("image", "source"),
        label_key: str = "label",
        mirror: float = 0.0,
        contrast: float = 0.0,
        blur_mm: float = 0.0,
        noise: float = 0.0,
        prob: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        if min(mirror, contrast, blur_mm, noise) < 0 or contrast >= 1:
            msg = f"ranges must be at least 0, contrast below 1, got {mirror=}, {contrast=}, {blur_mm=}, {noise=}"
            raise ValueError(msg)
        self.label_key = label_key
        self.mirror, self.contrast, self.blur_mm, self.noise = mirror, contrast, blur_mm, noise
        self.sampled = Augmentation()

    def randomize(self, data: Any | None = None) -> None:
        """Sample the augmentation of the next joint."""
        super().randomize(None)
        mirrored = bool(self.R.uniform() < self.mirror)
        soft, lower, upper = (float(value) for value in 1.0 + self.R.uniform(-self.contrast, self.contrast, 3))
        blur, noise = float(self.R.uniform(0.0, self.blur_mm)), float(self.R.uniform(0.0, self.noise))
        seed = int(self.R.randint(MAX_SEED))
        full = Augmentation(mirrored, (soft, lower, upper), blur, noise, seed)
        self.sampled = full if self._do_transform else Augmentation(mirrored)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Augment one sample."""
        sample = dict(data)
        self.randomize()
        if self.sampled == Augmentation(seed=self.sampled.seed):
            return {**sample, "augmentation": json.dumps(asdict(Augmentation()))}
        first = self.first_key(sample)
        for key in self.key_iterator(sample):
            known = key == first and float(sample.get("truth", 0.0)) == 1.0
            pixel = spacing_of(sample, sample[key])
            if known:
                sample[self.label_key] = self.sampled.apply(sample[self.label_key], pixel)
            sample[key] = self._image(sample[key], pixel, reconstruct(sample[self.label_key]) if known else None)
        return {**sample, "augmentation": json.dumps(asdict(self.sampled))}

    def check_batched(self) -> None:
        """Refuse options without a batched version.

        Raises:
            InputError: if images are blurred or noise is added.
        """
        if self.blur_mm or self.noise:
            msg = f"augmentation: blur and noise are {_BY_JOINT}"
            raise InputError(msg)

    def batched(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Augment the joints of a resident batch, with parameters sampled joint by joint."""
        sampled = []
        for _ in batch["known"]:
            self.randomize()
            sampled.append(self.sampled)
        if all(each == Augmentation(seed=each.seed) for each in sampled):
            return dict(batch)
        changed = BatchAugmentation.of(sampled, batch["image"])
        label = changed.apply(batch[self.label_key])
        known = batch["truth"].bool()[..., None, None]
        images = {str(key): changed.image(batch[str(key)]) for key in self.keys}
        first = str(self.keys[0])
        composed = torch.cat([reconstruct(label), images[first][:, 1:]], dim=1)
        images[first] = torch.where(known & changed.active, composed, images[first])
        return {**batch, **images, self.label_key: torch.where(known, label, batch[self.label_key])}

    def _image(self, image: Tensor, pixel: float, composed: Tensor | None) -> Tensor:
        masks = image[1:].flip(-1) if self.sampled.mirrored else image[1:]
        return torch.cat([self.sampled.apply(image[:1], pixel) if composed is None else composed, masks])


class RandPredictedMasksd(RandomizableTransform, ThreadUnsafe, MapTransform):
    """Random replacement of the generator's input masks by masks that a network predicts.

    Annotated masks are accurate to a pixel, predicted ones are not. The losses keep the annotated masks, so that the
    generator learns to rely on the radiograph where masks are inaccurate.

    Args:
        segment: network that predicts masks (2, H, W) from a radiograph (1, H, W); a bone that it misses keeps its
            annotated mask.
        prob: probability of predicted masks; 0 adds no key.
        keys: radiograph and masks (3, H, W).
        seen_key: key of the generator's input; the image itself if the masks are not replaced.
        allow_missing_keys: whether to ignore missing keys.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        segment: MaskMaker,
        prob: float = 0.0,
        keys: KeysCollection = "image",
        seen_key: str = "seen",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.segment = segment
        self.seen_key = seen_key

    def check_batched(self) -> None:
        """Refuse predicted masks, which are made joint by joint.

        Raises:
            InputError: if masks are predicted.
        """
        if self.prob:
            msg = f"predicted_masks is {self.prob}, but masks are {_BY_JOINT}"
            raise InputError(msg)

    def batched(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a resident batch with its annotated masks."""
        return dict(batch)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the generator's input to one sample."""
        sample = dict(data)
        self.randomize(None)
        for key in self.key_iterator(sample) if self.prob else ():
            sample[self.seen_key] = self._predicted(sample, key) if self._do_transform else sample[key]
        return sample

    def _predicted(self, sample: Mapping[Hashable, Any], key: Hashable) -> Tensor:
        return with_predicted_masks(sample[key], self.segment, spacing_of(sample, sample[key]))


def joint_space_centre(masks: Tensor) -> tuple[int, int]:
    """Locate the centre (row, column) of the joint space of masks (2, H, W); the image centre without joint space.

    The centre lies midway between the facing outlines of the bones, averaged over the columns with both bones.
    """
    lower, upper = (mask > 0.5 for mask in masks)
    columns = torch.nonzero(lower.any(dim=0) & upper.any(dim=0))[:, 0]
    height, width = masks.shape[-2:]
    if not len(columns):
        return height // 2, width // 2
    top = lower.to(torch.uint8).argmax(dim=0)[columns]
    bottom = height - 1 - upper.flip(0).to(torch.uint8).argmax(dim=0)[columns]
    return int((top + bottom).double().mean() / 2.0), int(columns.double().mean())


class RandCropJointd(RandomizableTransform, ThreadUnsafe, MapTransform):
    """Random square crop around the centre of the joint space; all keys alike.

    Crops show a network full-resolution detail at lower cost; the weight-free prior uses only tissue inside the crop.

    Args:
        keys: images and layers (C, H, W).
        size: side length in pixels, at most that of the frame; 0 disables cropping.
        masks_key: image (3, H, W) whose masks locate the joint space.
        allow_missing_keys: whether to ignore missing keys.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        keys: KeysCollection = ("image", "label", "source"),
        size: int = 0,
        masks_key: str = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, 1.0)
        self.size = size
        self.masks_key = masks_key
        self.corner = (0, 0)

    def randomize(self, data: Tensor) -> None:
        """Sample the corner of the next crop of an image (3, H, W), with the joint space in the crop's middle half."""
        super().randomize(None)
        corner = []
        for centre, side in zip(joint_space_centre(data[1:]), data.shape[1:], strict=True):
            first = centre - int(self.R.uniform(0.25, 0.75) * self.size)
            corner.append(min(max(first, 0), max(side - self.size, 0)))
        self.corner = (corner[0], corner[1])

    def check_batched(self) -> None:
        """Refuse crops, which are made joint by joint.

        Raises:
            InputError: if a size is given.
        """
        if self.size:
            msg = f"crop_size is {self.size}, but crops are {_BY_JOINT}"
            raise InputError(msg)

    def batched(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a resident batch, uncropped."""
        return dict(batch)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop one sample."""
        sample = dict(data)
        if self.size:
            self.randomize(sample[self.masks_key])
            end = [first + self.size for first in self.corner]
            window = (slice(None), *SpatialCrop(roi_start=self.corner, roi_end=end).slices)
            for key in self.key_iterator(sample):
                sample[key] = sample[key][window]
        return sample
