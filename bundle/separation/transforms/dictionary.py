"""Dictionary transforms of the joints of a data list.

Keys of a joint: ``image`` (3, H, W), radiograph and masks; ``label`` (3, H, W), its layers; ``truth`` (1,), 1 if the
label is true and 0 if it is only the weight-free separation; ``source`` (3, H, W), the source joint of a pseudo-image;
``spacing`` (1,), the pixel size in mm. ``motion`` (JSON) and ``noise_seed`` are the parameters of a synthetic joint.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from bundle.joint import Keys
from bundle.physics import MotionRange, RigidMotion, SyntheticJoints, reconstruct
from bundle.separation.pseudo_overlap import OverlapMaker, OverlapRange, compose_layers
from bundle.separation.resident import to_device
from bundle.separation.transforms.array import (
    RandPseudoOverlap,
    RandShiftBones,
    RandSynthesizeJointSpace,
    ShiftBones,
    SynthesizeJointSpace,
)
from bundle.separation.transforms.joint_maps import JointMapd, RandJointMapd
from bundle.separation.transforms.loading import Sample
from monai.config import KeysCollection
from torch import Tensor


class ShiftBonesd(JointMapd):
    """Motion of the bones by a given amount and composition of the new radiograph (Eq. 5-6 and 4).

    Arguments as in :class:`JointMapd` and :class:`bundle.separation.transforms.array.ShiftBones`.
    """

    def __init__(
        self,
        keys: KeysCollection = Keys.IMAGE,
        label_key: KeysCollection = Keys.LABEL,
        translation_mm: Sequence[Sequence[float]] = ((0.0, 0.0), (0.0, 0.0)),
        rotation_deg: Sequence[float] = (0.0, 0.0),
        center_mm: Sequence[Sequence[float]] = ((0.0, 0.0), (0.0, 0.0)),
        mode: str = "bicubic",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, label_key, allow_missing_keys)
        self.shift = ShiftBones(translation_mm, rotation_deg, center_mm, mode=mode)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Move the bones of one sample."""
        sample = dict(data)
        if self.first_key(sample) == ():
            return sample
        self.shift.spacing_mm = self._spacing(sample)
        sample = self._remake(sample, lambda image, layers: composed(*self.shift(layers, image[1:])))
        return {**sample, Keys.MOTION: self.shift.motion.to_json()}


class RandShiftBonesd(RandJointMapd):
    """Random motion of the bones and composition of the new radiograph; all keys move alike.

    Arguments as in :class:`JointMapd` and :class:`bundle.separation.transforms.array.RandShiftBones`.
    """

    def __init__(
        self,
        keys: KeysCollection = Keys.IMAGE,
        label_key: KeysCollection = Keys.LABEL,
        prob: float = 1.0,
        x_mm: float = MotionRange.x_mm,
        y_mm: float = MotionRange.y_mm,
        rotation_deg: float = MotionRange.rotation_deg,
        mode: str = "bicubic",
        allow_missing_keys: bool = False,
    ) -> None:
        self.shift = RandShiftBones(prob, x_mm, y_mm, rotation_deg, mode=mode)
        super().__init__(keys, label_key, self.shift, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Move the bones of one sample."""
        sample = dict(data)
        if self.first_key(sample) == ():
            return sample
        self.shift.spacing_mm = self._spacing(sample)
        self.shift.randomize()
        sample = self._remake(sample, lambda image, layers: composed(*self.shift(layers, image[1:], randomize=False)))
        return {**sample, Keys.MOTION: self.shift.motion.to_json()}


def composed(layers: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Compose a radiograph from its layers (Eq. 4); return it with its masks, and the layers."""
    return torch.cat([reconstruct(layers), masks]), layers


class SynthesizeJointSpaced(JointMapd):
    """Change of the JSW of a joint by a given amount (Eq. 13).

    Arguments as in :class:`JointMapd` and :class:`bundle.separation.transforms.array.SynthesizeJointSpace`.
    """

    def __init__(
        self,
        keys: KeysCollection = Keys.IMAGE,
        label_key: KeysCollection = Keys.LABEL,
        change_mm: float = 0.0,
        upper_share: float = 0.5,
        seed: int = 0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, label_key, allow_missing_keys)
        self.synthesize = SynthesizeJointSpace(change_mm, upper_share, seed)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Change the JSW of one sample."""
        sample = dict(data)
        if self.first_key(sample) == ():
            return sample
        self.synthesize.spacing_mm = self._spacing(sample)
        sample = self._remake(sample, self.synthesize)
        return {**sample, Keys.MOTION: self.synthesize.motion.to_json(), "noise_seed": self.synthesize.seed}


class RandSynthesizeJointSpaced(RandJointMapd):
    """Random change of the JSW of a joint; all keys change alike.

    Arguments as in :class:`JointMapd` and :class:`bundle.separation.transforms.array.RandSynthesizeJointSpace`.
    """

    def __init__(
        self,
        keys: KeysCollection = Keys.IMAGE,
        label_key: KeysCollection = Keys.LABEL,
        change_mm: tuple[float, float] = (-1.0, 1.0),
        prob: float = 1.0,
        upper_share: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        self.synthesize = RandSynthesizeJointSpace(change_mm, prob, upper_share)
        super().__init__(keys, label_key, self.synthesize, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Change the JSW of one sample."""
        sample = dict(data)
        if self.first_key(sample) == ():
            return sample
        self.synthesize.spacing_mm = self._spacing(sample)
        self.synthesize.randomize()
        sample = self._remake(sample, lambda image, layers: self.synthesize(image, layers, randomize=False))
        return {**sample, Keys.MOTION: self.synthesize.motion.to_json(), "noise_seed": self.synthesize.seed}


class RandPseudoOverlapd(RandJointMapd):
    """Random closing of non-overlapping joints until their bones overlap, which makes the label true.

    Overlapping joints and joints that are not selected keep their image; if their layers are not true, the label
    becomes 0. Every sample gets a ``source``, the joint before closing.

    Args:
        keys: images (3, H, W).
        label_key: layers (3, H, W).
        prob: probability of closing a joint that does not overlap.
        overlap: ranges of the closing motion.
        maker: :func:`bundle.separation.compose_layers` or :func:`bundle.separation.compose_published` (Eq. 10).
        allow_missing_keys: whether to ignore missing keys.
    """

    def __init__(
        self,
        keys: KeysCollection = Keys.IMAGE,
        label_key: KeysCollection = Keys.LABEL,
        prob: float = 1.0,
        overlap: OverlapRange | None = None,
        maker: OverlapMaker = compose_layers,
        allow_missing_keys: bool = False,
    ) -> None:
        self.closure = RandPseudoOverlap(prob, overlap, maker)
        super().__init__(keys, label_key, self.closure, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Close one sample."""
        sample = dict(data)
        first = self.first_key(sample)
        if first == ():
            return sample
        sample[Keys.SOURCE] = sample[first]
        sample.setdefault(Keys.TRUTH, torch.zeros(1))
        self.closure.spacing_mm = self._spacing(sample)
        self.closure.randomize(sample[first])
        closed = self.closure.closes and not sample.get("overlapping", False)
        if closed:
            sample = self._remake(sample, lambda image, layers: self.closure(image, layers, randomize=False))
            sample[Keys.TRUTH] = torch.ones(1)
        elif float(sample.get(Keys.TRUTH, 0.0)) == 0.0:
            sample = self._remake(sample, lambda image, layers: (image, torch.zeros_like(layers)))
        motion = self.closure.motion if closed else RigidMotion.still(1)
        return {**sample, Keys.MOTION: motion.to_json(), "noise_seed": self.closure.seed}

    def batched(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Close the joints of a resident batch, with parameters sampled joint by joint."""
        sampled = [self._sampled(*joint) for joint in zip(batch["overlapping"], batch["outline_gap"], strict=True)]
        rows = [row for row, closure in enumerate(sampled) if closure is not None]
        known = [float(closure is not None) or true for closure, true in zip(sampled, batch["known"], strict=True)]
        image, truth = batch[Keys.IMAGE], to_device(known, batch[Keys.IMAGE])[:, None]
        label = batch[Keys.LABEL] * truth[..., None, None]
        if rows:
            index = torch.tensor(rows).to(image.device, non_blocking=True)
            made = self._made(
                batch, index, batch[Keys.SPACING][rows], [closure for closure in sampled if closure is not None]
            )
            image = image.index_copy(0, index, torch.cat([made.image, made.masks], dim=1))
            label = label.index_copy(0, index, made.layers)
        return {
            **batch,
            Keys.IMAGE: image,
            Keys.LABEL: label,
            Keys.SOURCE: batch[Keys.IMAGE],
            Keys.TRUTH: truth,
            "known": known,
        }

    def _sampled(self, overlapping: bool, width: Tensor) -> tuple[RigidMotion, int] | None:
        """Sample the motion of a joint and the seed of its noise texture; None if it stays unchanged."""
        self.closure.randomize(width.reshape(1))
        return (self.closure.motion, self.closure.seed) if self.closure.closes and not overlapping else None

    def _made(
        self, batch: Mapping[str, Any], index: Tensor, spacing: Tensor, sampled: Sequence[tuple[RigidMotion, int]]
    ) -> SyntheticJoints:
        motions, seeds = zip(*sampled, strict=True)
        image, label = (batch[key].index_select(0, index) for key in (Keys.IMAGE, Keys.LABEL))
        return self.closure.maker(label, image[:, 1:], RigidMotion.joined(motions), spacing, seeds)


class PseudoOverlapd(JointMapd):
    """Reproducible :class:`RandPseudoOverlapd` with ``prob`` 1: the motion depends only on the seed and the name.

    Args:
        keys: images (3, H, W).
        label_key: layers (3, H, W).
        seed: random seed, combined with the sample's ``name``.
        overlap: ranges of the closing motion.
        maker: see :class:`RandPseudoOverlapd`.
        allow_missing_keys: whether to ignore missing keys.
    """

    def __init__(
        self,
        keys: KeysCollection = Keys.IMAGE,
        label_key: KeysCollection = Keys.LABEL,
        seed: int = 0,
        overlap: OverlapRange | None = None,
        maker: OverlapMaker = compose_layers,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, label_key, allow_missing_keys)
        self.seed = seed
        self._closing = RandPseudoOverlapd(keys, label_key, 1.0, overlap, maker, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Close one sample."""
        if self.first_key(dict(data)) == ():
            return dict(data)
        named = zlib.crc32(f"{self.seed} {data['name']}".encode())
        return self._closing.set_random_state(named)(data)
