"""Dictionary transforms over the joints of a data list.

Keys of a joint: ``image`` (3, H, W) radiograph and masks; ``label`` (3, H, W) its layers; ``truth`` (1,) 1 where the
label is true and 0 where it is only the weight-free separation; ``source`` (3, H, W) the joint that a pseudo-image was
made of; ``spacing`` (1,) in mm per pixel. What a synthetic joint was made with stands under ``motion`` (JSON) and
``grain_seed``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import (
    CenterSpatialCrop,
    Compose,
    MapTransform,
    RandomizableTransform,
    SpatialPad,
    ThreadUnsafe,
    Transform,
)
from monai.utils import ensure_tuple_rep
from monai.utils.enums import TransformBackends
from torch import Tensor

from bundle.io import MaskMaker, read_joint
from bundle.measurement import joint_space_width, narrowing_grade
from bundle.phantoms import draw_parameters, render, retake
from bundle.physics import SPACING, MotionRange, RigidMotion, SyntheticJoints, continue_to_border, reconstruct
from bundle.separation.pseudo_overlap import OverlapMaker, OverlapRange, compose_layers
from bundle.separation.resident import to_device
from bundle.separation.transforms.array import (
    RandPseudoOverlap,
    RandShiftBones,
    RandSynthesizeJointSpace,
    Reconstruct,
    SeparateLayers,
    ShareGrain,
    ShiftBones,
    SynthesizeJointSpace,
)

Sample = dict[Hashable, Any]


class LoadJointd(Transform):
    """Load an item of a data list: read its files, or render the phantom of its seed.

    Adds ``image``, ``label``, ``truth`` and ``spacing`` as described at the top, and the ``file`` of the image. The
    label of a file is all zero. Masks are continued to the border that their bone crosses.

    Args:
        size: expected height and width in pixels; None accepts any.
        segment: draws masks that are not named.

    Raises:
        InputError: a file cannot be used.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, size: int | None = 256, segment: MaskMaker | None = None) -> None:
        self.size = size
        self.segment = segment

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Load one item."""
        sample = dict(data)
        loaded = self._render(sample) if "seed" in sample else self._read(sample)
        spacing = torch.tensor([float(sample["spacing"])])
        return {**sample, "file": str(sample.get("image", "")), **loaded, "spacing": spacing}

    def _render(self, item: Sample) -> Sample:
        parameters = draw_parameters(item["seed"], size=self.size or 256, spacing=item["spacing"])
        phantom = render(retake(parameters, item.get("retake", 0)))
        image = torch.cat([phantom.image, phantom.masks])
        return {"image": image, "label": phantom.layers, "truth": torch.ones(1)}

    def _read(self, item: Sample) -> Sample:
        joint = read_joint({str(key): value for key, value in item.items()}, self.size, self.segment)
        image = torch.cat([joint[:1], continue_to_border(joint[1:])])
        return {"image": image, "label": torch.zeros_like(image), "truth": torch.zeros(1)}


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
        field: height and width of the frame in mm.
        spacing_key: where the radiograph's mm per pixel stand, (1,). It becomes that of the frame, and the radiograph's
            goes to ``radiograph_spacing``.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self, keys: KeysCollection, size: int = 128, field: float = 256 * SPACING, spacing_key: str = "spacing"
    ) -> None:
        super().__init__(keys)
        self.size, self.pixel, self.spacing_key = size, field / size, spacing_key
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
        keys: KeysCollection = "image",
        label_key: str = "label",
        truth_key: str = "truth",
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
                sample[self.label_key] = self.separate(sample[key])
        return sample


class ShareGraind(MapTransform):
    """Give the soft tissue of separated layers grain below the bones.

    Args:
        keys: layers (3, H, W).
        image_key: their radiograph and masks, (3, H, W).
        seed: as in :class:`bundle.separation.transforms.array.ShareGrain`.
        grain: as there.
        allow_missing_keys: do not raise when a key is missing.
    """

    backend = ShareGrain.backend

    def __init__(
        self,
        keys: KeysCollection = "pred",
        image_key: str = "image",
        seed: int = 0,
        grain: bool | str = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.share = ShareGrain(seed, grain)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Give one sample grain."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self.share(sample[self.image_key], sample[key])
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


class _Jointd(ThreadUnsafe, MapTransform):
    """Base of the transforms that remake joints: images under ``keys``, their layers under ``label_key``.

    A sample that has none of the keys is returned as it is, if that is allowed.

    Args:
        keys: images (3, H, W).
        label_key: layers (3, H, W), one key for each of ``keys``.
        allow_missing_keys: do not raise when a key is missing.
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
        """The pixel spacing that travels with the sample, in mm."""
        if "spacing" not in sample:
            msg = f"expected the pixel spacing in mm under 'spacing', got a sample with {sorted(map(str, sample))}"
            raise KeyError(msg)
        return float(sample["spacing"])


class _RandJointd(RandomizableTransform, _Jointd):
    """Base of the random ones: an array transform draws, and is seeded with the dictionary transform.

    Args:
        keys: see :class:`_Jointd`.
        label_key: see :class:`_Jointd`.
        drawing: the array transform.
        allow_missing_keys: see :class:`_Jointd`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: KeysCollection,
        drawing: RandomizableTransform,
        allow_missing_keys: bool,
    ) -> None:
        _Jointd.__init__(self, keys, label_key, allow_missing_keys)
        RandomizableTransform.__init__(self, drawing.prob)
        self.drawing = drawing

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> _RandJointd:
        """Seed the transform."""
        super().set_random_state(seed, state)
        self.drawing.set_random_state(seed, state)
        return self


class ShiftBonesd(_Jointd):
    """Move the bones by one given motion and compose the radiograph anew (Eq. 5-6 and 4).

    Arguments as in :class:`_Jointd` and :class:`bundle.separation.transforms.array.ShiftBones`.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        label_key: KeysCollection = "label",
        translation: Sequence[Sequence[float]] = ((0.0, 0.0), (0.0, 0.0)),
        rotation: Sequence[float] = (0.0, 0.0),
        center: Sequence[Sequence[float]] = ((0.0, 0.0), (0.0, 0.0)),
        mode: str = "bicubic",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, label_key, allow_missing_keys)
        self.shift = ShiftBones(translation, rotation, center, mode=mode)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Move the bones of one sample."""
        sample = dict(data)
        if self.first_key(sample) == ():
            return sample
        self.shift.spacing = self._spacing(sample)
        sample = self._remake(sample, lambda image, layers: _composed(*self.shift(layers, image[1:])))
        return {**sample, "motion": self.shift.motion.to_json()}


class RandShiftBonesd(_RandJointd):
    """Move the bones by a random motion and compose the radiograph anew; all keys move alike.

    Arguments as in :class:`_Jointd` and :class:`bundle.separation.transforms.array.RandShiftBones`.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        label_key: KeysCollection = "label",
        prob: float = 1.0,
        x: float = MotionRange.x,
        y: float = MotionRange.y,
        rotation: float = MotionRange.rotation,
        mode: str = "bicubic",
        allow_missing_keys: bool = False,
    ) -> None:
        self.shift = RandShiftBones(prob, x, y, rotation, mode=mode)
        super().__init__(keys, label_key, self.shift, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Move the bones of one sample."""
        sample = dict(data)
        if self.first_key(sample) == ():
            return sample
        self.shift.spacing = self._spacing(sample)
        self.shift.randomize()
        sample = self._remake(sample, lambda image, layers: _composed(*self.shift(layers, image[1:], randomize=False)))
        return {**sample, "motion": self.shift.motion.to_json()}


def _composed(layers: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat([reconstruct(layers), masks]), layers


class SynthesizeJointSpaced(_Jointd):
    """The same joint with its JSW changed by a given width (Eq. 13).

    Arguments as in :class:`_Jointd` and :class:`bundle.separation.transforms.array.SynthesizeJointSpace`.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        label_key: KeysCollection = "label",
        change: float = 0.0,
        upper_share: float = 0.5,
        seed: int = 0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, label_key, allow_missing_keys)
        self.synthesize = SynthesizeJointSpace(change, upper_share, seed)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Change the JSW of one sample."""
        sample = dict(data)
        if self.first_key(sample) == ():
            return sample
        self.synthesize.spacing = self._spacing(sample)
        sample = self._remake(sample, self.synthesize)
        return {**sample, "motion": self.synthesize.motion.to_json(), "grain_seed": self.synthesize.seed}


class RandSynthesizeJointSpaced(_RandJointd):
    """The same joint with its JSW changed at random; all keys change alike.

    Arguments as in :class:`_Jointd` and :class:`bundle.separation.transforms.array.RandSynthesizeJointSpace`.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        label_key: KeysCollection = "label",
        change: tuple[float, float] = (-1.0, 1.0),
        prob: float = 1.0,
        upper_share: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        self.synthesize = RandSynthesizeJointSpace(change, prob, upper_share)
        super().__init__(keys, label_key, self.synthesize, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Change the JSW of one sample."""
        sample = dict(data)
        if self.first_key(sample) == ():
            return sample
        self.synthesize.spacing = self._spacing(sample)
        self.synthesize.randomize()
        sample = self._remake(sample, lambda image, layers: self.synthesize(image, layers, randomize=False))
        return {**sample, "motion": self.synthesize.motion.to_json(), "grain_seed": self.synthesize.seed}


class RandPseudoOverlapd(_RandJointd):
    """Push the bones of joints that do not overlap into each other; the label becomes true.

    Samples whose ``overlapping`` is true are left alone, and so are those not drawn; without true layers their label is
    zero. Every sample gets a ``source``: the joint before the push.

    Args:
        keys: images (3, H, W).
        label_key: layers (3, H, W).
        prob: of pushing a joint that does not overlap.
        overlap: ranges of the closing motion.
        maker: :func:`bundle.separation.compose_layers` or :func:`bundle.separation.compose_published` (Eq. 10).
        allow_missing_keys: do not raise when a key is missing.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        label_key: KeysCollection = "label",
        prob: float = 1.0,
        overlap: OverlapRange | None = None,
        maker: OverlapMaker = compose_layers,
        allow_missing_keys: bool = False,
    ) -> None:
        self.push = RandPseudoOverlap(prob, overlap, maker)
        super().__init__(keys, label_key, self.push, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Push one sample."""
        sample = dict(data)
        first = self.first_key(sample)
        if first == ():
            return sample
        sample["source"] = sample[first]
        sample.setdefault("truth", torch.zeros(1))
        self.push.spacing = self._spacing(sample)
        self.push.randomize(sample[first])
        pushed = self.push.pushes and not sample.get("overlapping", False)
        if pushed:
            sample = self._remake(sample, lambda image, layers: self.push(image, layers, randomize=False))
            sample["truth"] = torch.ones(1)
        elif float(sample.get("truth", 0.0)) == 0.0:
            sample = self._remake(sample, lambda image, layers: (image, torch.zeros_like(layers)))
        motion = self.push.motion if pushed else RigidMotion.still(1)
        return {**sample, "motion": motion.to_json(), "grain_seed": self.push.seed}

    def batched(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Push the joints of a resident batch, with the draws that they would get one by one."""
        drawn = [self._drawn(*joint) for joint in zip(batch["overlapping"], batch["width"], strict=True)]
        rows = [row for row, push in enumerate(drawn) if push is not None]
        known = [float(push is not None) or true for push, true in zip(drawn, batch["known"], strict=True)]
        image, truth = batch["image"], to_device(known, batch["image"])[:, None]
        label = batch["label"] * truth[..., None, None]
        if rows:
            index = torch.tensor(rows).to(image.device, non_blocking=True)
            made = self._made(batch, index, [push for push in drawn if push is not None])
            image = image.index_copy(0, index, torch.cat([made.image, made.masks], dim=1))
            label = label.index_copy(0, index, made.layers)
        return {**batch, "image": image, "label": label, "source": batch["image"], "truth": truth, "known": known}

    def _drawn(self, overlapping: bool, width: Tensor) -> tuple[RigidMotion, int] | None:
        """The motion of a joint and the seed of its grain; None where it is left alone."""
        self.push.randomize(width.reshape(1))
        return (self.push.motion, self.push.seed) if self.push.pushes and not overlapping else None

    def _made(
        self, batch: Mapping[str, Any], index: Tensor, drawn: Sequence[tuple[RigidMotion, int]]
    ) -> SyntheticJoints:
        motions, seeds = zip(*drawn, strict=True)
        image, label, spacing = (batch[key].index_select(0, index) for key in ("image", "label", "spacing"))
        return self.push.maker(label, image[:, 1:], RigidMotion.joined(motions), spacing, seeds)


class PseudoOverlapd(_Jointd):
    """As :class:`RandPseudoOverlapd` with ``prob`` 1, but a joint of one name is always pushed the same way.

    Args:
        keys: images (3, H, W).
        label_key: layers (3, H, W).
        seed: of all draws, together with the sample's ``name``.
        overlap: ranges of the closing motion.
        maker: as in :class:`RandPseudoOverlapd`.
        allow_missing_keys: do not raise when a key is missing.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        label_key: KeysCollection = "label",
        seed: int = 0,
        overlap: OverlapRange | None = None,
        maker: OverlapMaker = compose_layers,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, label_key, allow_missing_keys)
        self.seed = seed
        self._push = RandPseudoOverlapd(keys, label_key, 1.0, overlap, maker, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Push one sample."""
        if self.first_key(dict(data)) == ():
            return dict(data)
        named = zlib.crc32(f"{self.seed} {data['name']}".encode())
        return self._push.set_random_state(named)(data)
