"""Joints and batches that stay on the device, so that training never waits for the host.

A resident batch holds what a :class:`monai.data.DataLoader` would collate, as tensors on the device, plus facts on the
host: ``spacing``, and the lists ``overlapping``, ``known`` (the truth) and ``outline_gap`` (in mm, on the CPU). The
random transforms of the data set produce it: their method ``batched`` samples joint by joint like ``__call__``, then
transforms all joints at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from bundle.errors import InputError, flag
from bundle.joint import Keys
from bundle.measurement import outline_gap
from bundle.physics import by_pixel_size, separate
from bundle.separation.trainer import STEP_KEYS
from monai.data import DataLoader, Dataset
from monai.transforms import SelectItemsd
from torch import Tensor
from tqdm import tqdm

SEPARATED_AT_ONCE = 32
"""Batch size of the weight-free separation."""


def to_device(values: Sequence[Any], like: Tensor) -> Tensor:
    """Copy numbers to the device and dtype of a tensor without blocking the host."""
    return torch.tensor(values).to(like, non_blocking=True)


class ResidentJoints(Sequence[dict[str, Any]]):
    """Joints that are loaded once and stay on the device, with their weight-free separation.

    The sequence contains the facts of each joint on the host: ``row``, ``name``, ``overlapping``, ``truth`` and
    ``outline_gap``. The first access loads the joints.

    Args:
        samples: loaded joints (:class:`bundle.separation.transforms.LoadJointd`); joints without true layers are
            separated.
        device: device of the joints.
    """

    def __init__(self, samples: Iterable[Mapping[str, Any]], device: torch.device | str = "cpu") -> None:
        self.samples = samples
        self.device = torch.device(device)

    def __len__(self) -> int:
        return len(self.facts)

    def __getitem__(self, row: Any) -> Any:
        return self.facts[row]

    @cached_property
    def loaded(self) -> dict[str, Any]:
        """The joints: ``image``, ``label`` (N, 3, H, W) on the device, ``spacing`` (N, 1) on the host, ``facts``."""
        images, labels, spacings, facts = [], [], [], []
        for sample in tqdm(self.samples, desc="loading joints", unit="joint", mininterval=0.5):
            images.append(torch.as_tensor(sample[Keys.IMAGE]))
            labels.append(torch.as_tensor(sample[Keys.LABEL]))
            spacings.append(torch.as_tensor(sample[Keys.SPACING]).reshape(1))
            facts.append(
                {Keys.TRUTH: float(sample[Keys.TRUTH]), **{key: sample[key] for key in ("name", "overlapping")}}
            )
        if not facts:
            msg = "No joints to train on. Choose another datalist."
            raise InputError(msg)
        image, label = (torch.stack(each).to(self.device) for each in (images, labels))
        spacing = torch.stack(spacings)
        label = _separated(image, label, spacing, facts)
        return {Keys.IMAGE: image, Keys.LABEL: label, Keys.SPACING: spacing, "facts": facts}

    @cached_property
    def facts(self) -> list[dict[str, Any]]:
        """The facts of each joint on the host."""
        image, spacing = self.loaded[Keys.IMAGE], self.loaded[Keys.SPACING]
        gaps = torch.nan_to_num(outline_gap(image[:, 1:], spacing)).cpu()
        return [
            {"row": row, "outline_gap": gap, **fact}
            for row, (gap, fact) in enumerate(zip(gaps, self.loaded["facts"], strict=True))
        ]

    def batch(self, joints: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Gather a resident batch of the given joints, before any random transform."""
        chosen = torch.tensor([joint["row"] for joint in joints])
        rows = chosen.to(self.device, non_blocking=True)
        tensors = {key: self.loaded[key].index_select(0, rows) for key in (Keys.IMAGE, Keys.LABEL)}
        known = [joint["truth"] for joint in joints]
        return {
            **tensors,
            Keys.SPACING: self.loaded[Keys.SPACING][chosen],
            Keys.SOURCE: tensors[Keys.IMAGE],
            Keys.TRUTH: to_device(known, tensors[Keys.IMAGE])[:, None],
            "known": known,
            "overlapping": [bool(joint["overlapping"]) for joint in joints],
            "outline_gap": [joint["outline_gap"] for joint in joints],
        }


def _separated(image: Tensor, label: Tensor, spacing: Tensor, facts: Sequence[Mapping[str, Any]]) -> Tensor:
    """True layers; weight-free layers where the true ones are unknown."""
    unknown = [row for row, fact in enumerate(facts) if not fact["truth"]]
    for start in range(0, len(unknown), SEPARATED_AT_ONCE):
        rows = unknown[start : start + SEPARATED_AT_ONCE]
        parts = by_pixel_size(lambda pixel, part: separate(part[:, :1], part[:, 1:], pixel), spacing[rows], image[rows])
        label[rows] = torch.cat(parts)
    return label


class DeviceLoader:
    """Base class of loaders that make batches on the device, in the order of a DataLoader of the data set.

    Args:
        dataset: data set whose random transforms make the batches; its length is that of an epoch.
        batch_size: batch size; the last batch of an epoch may be smaller.
        shuffle: whether to shuffle each epoch, with torch's CPU generator.
    """

    def __init__(self, dataset: Dataset, batch_size: int, shuffle: bool | str = True) -> None:
        self.dataset = dataset
        rows: Any = range(len(dataset))
        self.order = DataLoader(rows, batch_size=batch_size, shuffle=flag(shuffle), num_workers=0, collate_fn=list)

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return map(self.made, iter(self.order))

    def made(self, chosen: Sequence[int]) -> dict[str, Tensor]:
        """Make the batch of the given rows of the data set."""
        raise NotImplementedError


class ResidentLoader(DeviceLoader):
    """Loader of resident joints, with the batches of a DataLoader of the data set for the same seed.

    Args:
        dataset: data set of joints from :class:`ResidentJoints`, whose transforms have a method ``batched``.
        joints: the resident joints.
        batch_size: joints per batch; the last batch of an epoch may be smaller.
        shuffle: whether to shuffle each epoch, with torch's CPU generator.

    Raises:
        InputError: if a transform has no batched version.
    """

    def __init__(self, dataset: Dataset, joints: ResidentJoints, batch_size: int, shuffle: bool | str = True) -> None:
        super().__init__(dataset, batch_size, shuffle)
        self.joints = joints
        self.steps = [_batched(transform) for transform in dataset.transform.transforms]

    def made(self, chosen: Sequence[int]) -> dict[str, Tensor]:
        """Make the batch of the given joints, after all random transforms."""
        batch = self.joints.batch([self.dataset.data[index] for index in chosen])
        for step in self.steps:
            batch = step(batch)
        return {key: batch[key] for key in STEP_KEYS}


def _batched(transform: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The batched version of a transform."""
    if isinstance(transform, SelectItemsd):
        return dict
    if not hasattr(transform, "batched"):
        msg = f"{type(transform).__name__} works on single joints only. Train without configs/variants/resident.yaml."
        raise InputError(msg)
    if hasattr(transform, "check_batched"):
        transform.check_batched()
    method: Callable[[dict[str, Any]], dict[str, Any]] = transform.batched
    return method
