"""The joints that are measured: as a list has them, and pushed into each other so that their true layers are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from bundle.evaluation.separators import Separator
from bundle.io import Item, MaskMaker, named_by_joint
from bundle.joint import MCP
from bundle.physics import continue_to_border
from bundle.separation import OverlapRange
from bundle.separation.transforms import LoadJointd, PseudoOverlapd, SeparateLayersd
from bundle.statistics import SeparatedJoints
from torch import Tensor
from tqdm import tqdm

BATCH = 8
"""Joints that are separated at once."""


class JointSet:
    """Joints by their list; nothing is read before it is needed, and the list only once.

    Args:
        list_items: gives the items (:data:`bundle.io.Item`); audits their files.
        size: height and width in pixels.
        segment: draws masks that are not named.
    """

    postprocessed = False
    """Whether the layers are postprocessed, as inference writes them."""

    def __init__(
        self, list_items: Callable[[], Sequence[Item]], size: int | None = MCP.pixels, segment: MaskMaker | None = None
    ) -> None:
        self.list_items = list_items
        self.loading: Callable[[Any], dict[Any, Any]] = LoadJointd(size, segment)

    @property
    def read_from(self) -> JointSet:
        """The set of these radiographs."""
        return self

    @cached_property
    def items(self) -> Sequence[Item]:
        """The joints of the set; where one folder holds all files, each counts as a joint of its own."""
        return named_by_joint(self.list_items())

    def load(self, item: Item) -> dict[Any, Any]:
        """Load a joint: ``image`` (3, H, W), ``label`` its layers (3, H, W), and ``truth`` (1,), 1 if they are true."""
        return self.loading(item)

    def separate(self, separator: Separator, items: Sequence[Item] | None = None) -> SeparatedJoints:
        """Load joints of the set, all by default, and separate them."""
        chosen = self.items if items is None else items
        loaded, layers = [], []
        for start in tqdm(range(0, len(chosen), BATCH), desc="separating", unit="batch", mininterval=0.5):
            batch = [self.load(item) for item in chosen[start : start + BATCH]]
            images = torch.stack([as_a_file_holds(joint["image"]) for joint in batch])
            names = [str(item["name"]) for item in chosen[start : start + BATCH]]
            layers.append(separator(names, images, self.postprocessed))
            known = [joint["label"] if float(joint["truth"]) else None for joint in batch]
            loaded += list(zip((_continued(joint["image"]) for joint in batch), known, strict=True))
        truths = [truth for _, truth in loaded if truth is not None]
        truth = torch.stack(truths) if len(truths) == len(loaded) else None
        return SeparatedJoints(chosen, torch.stack([image for image, _ in loaded]), torch.cat(layers), truth)


class PostprocessedJoints(JointSet):
    """The joints of a set with their layers as inference writes them: with grain in the tissue below the bones (E4).

    Layers that are compared with true ones, or whose bones are moved, are measured without.

    Args:
        joints: the set.
    """

    postprocessed = True

    def __init__(self, joints: JointSet) -> None:
        self.joints = joints

    @property
    def read_from(self) -> JointSet:
        """The set of these radiographs."""
        return self.joints

    @property
    def items(self) -> Sequence[Item]:
        """The joints of the set."""
        return self.joints.items

    def load(self, item: Item) -> dict[Any, Any]:
        """Load a joint."""
        return self.joints.load(item)


class ClosedJoints(JointSet):
    """The joints of a set that do not overlap, pushed into each other: their true layers are known (E2).

    A joint is pushed as :class:`bundle.separation.transforms.PseudoOverlapd` does it in the validation of a training;
    its true layers are those of the weight-free separator before the push, or a phantom's own.

    Args:
        joints: the set.
        depths: ranges of the closing motion by name; every joint is pushed once in each. An item says its ``depth``.
        seed: of the pushes, together with the joint's name.
    """

    def __init__(self, joints: JointSet, depths: Mapping[str, OverlapRange], seed: int = 0) -> None:
        self.joints = joints
        self.separate_without_weights = SeparateLayersd()
        self.closures = {depth: PseudoOverlapd(seed=seed, overlap=overlap) for depth, overlap in depths.items()}

    @cached_property
    def items(self) -> Sequence[Item]:
        """The joints of the set, once for each depth."""
        apart = [item for item in self.joints.items if not item["overlapping"]]
        named = [{"source": item["name"], "depth": depth} for depth in self.closures for item in apart]
        return [
            {**item, **name, "name": f"{item['name']}_{name['depth']}"}
            for item, name in zip(apart * len(self.closures), named, strict=True)
        ]

    def load(self, item: Item) -> dict[Any, Any]:
        """Load a joint and push it."""
        joint = self.separate_without_weights(self.joints.load({**item, "name": item["source"]}))
        return self.closures[item["depth"]](joint)


def as_a_file_holds(image: Tensor) -> Tensor:
    """Radiograph and masks (3, H, W) as they come back when they are written to a file and read again."""
    return _continued(torch.cat([image[:1].clamp(0.0, 1.0), (image[1:] > 0.5).to(image.dtype)]))


def _continued(image: Tensor) -> Tensor:
    """Radiograph and masks, the masks continued to the border as on loading a file, and as soft as they were."""
    return torch.cat([image[:1], continue_to_border(image[1:], MCP.spacing_at(image.shape[-1]))])
