"""Augmentations that keep the truth exact: a new radiograph is composed of the new layers, never the other way round.

A joint is ``image`` (3, H, W): radiograph, lower mask, upper mask; its ``layers`` are (3, H, W). Where the layers are
not known, the radiograph takes their place.
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

_BY_JOINT = "made joint by joint, not in batches on the device (set it to 0, or leave out variants/resident.yaml)"


@dataclass(frozen=True)
class Augmentation:
    """What was done to a joint; it stands under ``augmentation`` as JSON.

    Attributes:
        mirrored: whether left and right were exchanged.
        contrast: factor of the attenuation of soft tissue, lower and upper bone.
        blur_mm: sigma of a Gaussian.
        noise: standard deviation of the noise of the radiograph, in intensity.
        seed: of the noise.
    """

    mirrored: bool = False
    contrast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur_mm: float = 0.0
    noise: float = 0.0
    seed: int = 0

    def apply(self, layers: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
        """The new layers (3, H, W) of layers, or the new radiograph (1, H, W) of one, by the mean contrast."""
        if self.mirrored:
            layers = layers.flip(-1)
        factors = layers.new_tensor(self.contrast)
        factors = factors if len(layers) == 3 else factors.mean(dim=0, keepdim=True)
        parts = attenuation(layers) * factors[:, None, None]
        if self.blur_mm:
            parts = blur(parts[None], self.blur_mm / spacing_mm)[0]
        return self._noisy(intensity(parts))

    def _noisy(self, layers: Tensor) -> Tensor:
        """Noise changes what is measured, not the shares: each layer takes the part of it that it has of the whole."""
        if not self.noise:
            return layers
        image = reconstruct(layers)
        drawn = torch.randn(image.shape, generator=torch.Generator().manual_seed(self.seed)).to(image)
        return partition((image + self.noise * drawn).clamp(0.0, 1.0), attenuation_shares(layers))


@dataclass(frozen=True)
class BatchAugmentation:
    """What is done to each joint of a batch, on its device: :class:`Augmentation` without blur and noise.

    Attributes:
        mirrored: whether left and right are exchanged, (B, 1, 1, 1) of booleans.
        contrast: factors of the attenuation of the three layers, (B, 3, 1, 1).
        active: whether anything is done, (B, 1, 1, 1) of booleans.
    """

    mirrored: Tensor
    contrast: Tensor
    active: Tensor

    @classmethod
    def of(cls, drawn: Sequence[Augmentation], like: Tensor) -> BatchAugmentation:
        """Of what was drawn for B joints, on the device of a tensor."""
        mirrored = to_device([float(each.mirrored) for each in drawn], like)
        active = to_device([float(each != Augmentation(seed=each.seed)) for each in drawn], like)
        contrast = to_device([each.contrast for each in drawn], like)
        return cls(mirrored.bool()[:, None, None, None], contrast[..., None, None], active.bool()[:, None, None, None])

    def apply(self, layers: Tensor) -> Tensor:
        """The new layers (B, 3, H, W), or the new radiographs (B, 1, H, W) by the mean contrast."""
        factors = self.contrast if layers.shape[1] == 3 else self.contrast.mean(dim=1, keepdim=True)
        return torch.where(self.active, intensity(attenuation(self._turned(layers)) * factors), layers)

    def image(self, image: Tensor) -> Tensor:
        """Radiographs with their masks (B, 3, H, W) that are not composed of layers."""
        return torch.cat([self.apply(image[:, :1]), self._turned(image[:, 1:])], dim=1)

    def _turned(self, values: Tensor) -> Tensor:
        return torch.where(self.mirrored, values.flip(-1), values)


class RandAugmentLayersd(RandomizableTransform, ThreadUnsafe, MapTransform):
    """Augment joints at random: mirrored, with another contrast of each layer, blurred, noisier. By default nothing.

    The layers under ``label_key`` are augmented where ``truth`` is 1, and their image is composed of them; any other
    radiograph is augmented as it is. All keys of a sample change alike. Noise falls on the layers in proportion to
    their attenuation, as in phantoms (:class:`bundle.phantoms.Phantom`): the shares, which a network learns, stay
    free of it.

    Args:
        keys: images (3, H, W).
        label_key: layers (3, H, W) of the first key.
        mirror: probability of exchanging left and right.
        contrast: largest change of the attenuation of each layer by itself, as a fraction in [0, 1).
        blur_mm: largest sigma of the blur; drawn from 0 up.
        noise: largest standard deviation of the noise in intensity; drawn from 0 up.
        prob: of contrast, blur and noise together.
        allow_missing_keys: do not raise when a key is missing.

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
            msg = f"expected ranges of at least 0, contrast below 1, got {mirror=}, {contrast=}, {blur_mm=}, {noise=}"
            raise ValueError(msg)
        self.label_key = label_key
        self.mirror, self.contrast, self.blur_mm, self.noise = mirror, contrast, blur_mm, noise
        self.drawn = Augmentation()

    def randomize(self, data: Any | None = None) -> None:
        """Draw what is done to the next sample."""
        super().randomize(None)
        mirrored = bool(self.R.uniform() < self.mirror)
        soft, lower, upper = (float(value) for value in 1.0 + self.R.uniform(-self.contrast, self.contrast, 3))
        blur, noise = float(self.R.uniform(0.0, self.blur_mm)), float(self.R.uniform(0.0, self.noise))
        seed = int(self.R.randint(MAX_SEED))
        full = Augmentation(mirrored, (soft, lower, upper), blur, noise, seed)
        self.drawn = full if self._do_transform else Augmentation(mirrored)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Augment one sample."""
        sample = dict(data)
        self.randomize()
        if self.drawn == Augmentation(seed=self.drawn.seed):
            return {**sample, "augmentation": json.dumps(asdict(Augmentation()))}
        first = self.first_key(sample)
        for key in self.key_iterator(sample):
            known = key == first and float(sample.get("truth", 0.0)) == 1.0
            pixel = spacing_of(sample, sample[key])
            if known:
                sample[self.label_key] = self.drawn.apply(sample[self.label_key], pixel)
            sample[key] = self._image(sample[key], pixel, reconstruct(sample[self.label_key]) if known else None)
        return {**sample, "augmentation": json.dumps(asdict(self.drawn))}

    def check_batched(self) -> None:
        """Refuse what is done image by image only.

        Raises:
            InputError: images are blurred, or noise is added.
        """
        if self.blur_mm or self.noise:
            msg = f"augmentation: blur and noise are {_BY_JOINT}"
            raise InputError(msg)

    def batched(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Augment the joints of a resident batch, with the draws that they would get one by one."""
        drawn = []
        for _ in batch["known"]:
            self.randomize()
            drawn.append(self.drawn)
        if all(each == Augmentation(seed=each.seed) for each in drawn):
            return dict(batch)
        changed = BatchAugmentation.of(drawn, batch["image"])
        label = changed.apply(batch[self.label_key])
        known = batch["truth"].bool()[..., None, None]
        images = {str(key): changed.image(batch[str(key)]) for key in self.keys}
        first = str(self.keys[0])
        composed = torch.cat([reconstruct(label), images[first][:, 1:]], dim=1)
        images[first] = torch.where(known & changed.active, composed, images[first])
        return {**batch, **images, self.label_key: torch.where(known, label, batch[self.label_key])}

    def _image(self, image: Tensor, pixel: float, composed: Tensor | None) -> Tensor:
        masks = image[1:].flip(-1) if self.drawn.mirrored else image[1:]
        return torch.cat([self.drawn.apply(image[:1], pixel) if composed is None else composed, masks])


class RandPredictedMasksd(RandomizableTransform, ThreadUnsafe, MapTransform):
    """What the generator sees in place of an image: the radiograph with masks that a network draws, at random.

    Given masks know where the outlines are to a pixel, drawn ones do not. Losses keep the given ones, so that the
    generator learns to look at the radiograph where masks are not to be relied on.

    Args:
        segment: draws masks (2, H, W) of a radiograph (1, H, W); a bone that it does not find keeps its given mask.
        prob: how often; with 0 nothing is added.
        keys: radiograph and masks (3, H, W).
        seen_key: where what is seen goes; the image itself where nothing is drawn.
        allow_missing_keys: do not raise when a key is missing.
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
        """Refuse drawn masks, which are made image by image.

        Raises:
            InputError: masks are drawn.
        """
        if self.prob:
            msg = f"predicted_masks: masks are {_BY_JOINT}, got {self.prob}"
            raise InputError(msg)

    def batched(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A resident batch, whose masks are those given."""
        return dict(batch)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """See one sample."""
        sample = dict(data)
        self.randomize(None)
        for key in self.key_iterator(sample) if self.prob else ():
            sample[self.seen_key] = self._drawn(sample, key) if self._do_transform else sample[key]
        return sample

    def _drawn(self, sample: Mapping[Hashable, Any], key: Hashable) -> Tensor:
        return with_predicted_masks(sample[key], self.segment, spacing_of(sample, sample[key]))


def joint_space_centre(masks: Tensor) -> tuple[int, int]:
    """Row and column of the middle of the joint space of masks (2, H, W); of the frame where there is none.

    The middle between the bones' facing outlines, over the columns that both have.
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
    """Crop a square that holds the middle of the joint space, at random around it; all keys alike.

    A network trained on crops sees detail at full resolution for less; its weight-free prior knows only the tissue
    inside the crop.

    Args:
        keys: images and layers (C, H, W).
        size: side in pixels; 0 crops nothing, a larger one than the frame the frame.
        masks_key: image (3, H, W) whose masks show the joint space.
        allow_missing_keys: do not raise when a key is missing.
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
        """Draw the corner of the next crop, for an image (3, H, W): its middle half holds the joint space."""
        super().randomize(None)
        corner = []
        for centre, side in zip(joint_space_centre(data[1:]), data.shape[1:], strict=True):
            first = centre - int(self.R.uniform(0.25, 0.75) * self.size)
            corner.append(min(max(first, 0), max(side - self.size, 0)))
        self.corner = (corner[0], corner[1])

    def check_batched(self) -> None:
        """Refuse crops, which are made image by image.

        Raises:
            InputError: a size is given.
        """
        if self.size:
            msg = f"crop_size: crops are {_BY_JOINT}, got {self.size}"
            raise InputError(msg)

    def batched(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A resident batch, which is not cropped."""
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
