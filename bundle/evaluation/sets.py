"""Joints to measure: as listed, and closed so that their true layers are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from bundle.evaluation.separators import Separator
from bundle.io import Item, MaskMaker, named_by_joint
from bundle.joint import MCP, Keys
from bundle.physics import continue_to_border
from bundle.separation import OverlapRange
from bundle.separation.transforms import LoadJointd, PseudoOverlapd, SeparateLayersd
from bundle.statistics import SeparatedJoints
from torch import Tensor
from tqdm import tqdm

BATCH = 8
"""Number of joints separated at once."""


class JointSet:
    """Joints of a list; files are read on demand, and the list only once.

    Args:
        list_items: function that audits the files and returns the items (:data:`bundle.io.Item`).
        size: height and width in pixels.
        segment: segmentation network that predicts missing masks.
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
        """The set that these radiographs are read from."""
        return self

    @cached_property
    def items(self) -> Sequence[Item]:
        """The joints of the set; if one folder holds all files, each counts as its own joint."""
        return named_by_joint(self.list_items())

    def load(self, item: Item) -> dict[Any, Any]:
        """Load a joint: ``image`` and its layers ``label``, (3, H, W), and ``truth`` (1,), 1 if they are true."""
        return self.loading(item)

    def separate(self, separator: Separator, items: Sequence[Item] | None = None) -> SeparatedJoints:
        """Load joints of the set, by default all, and separate them."""
        chosen = self.items if items is None else items
        loaded, layers = [], []
        for start in tqdm(range(0, len(chosen), BATCH), desc="separating", unit="batch", mininterval=0.5):
            batch = [self.load(item) for item in chosen[start : start + BATCH]]
            images = torch.stack([as_a_file_holds(joint["image"]) for joint in batch])
            names = [str(item["name"]) for item in chosen[start : start + BATCH]]
            spacings = [float(joint[Keys.SPACING]) for joint in batch]
            layers.append(separator(names, images, self.postprocessed, spacings))
            known = [joint["label"] if float(joint["truth"]) else None for joint in batch]
            loaded += list(zip((_continued(joint["image"]) for joint in batch), known, strict=True))
        truths = [truth for _, truth in loaded if truth is not None]
        truth = torch.stack(truths) if len(truths) == len(loaded) else None
        return SeparatedJoints(chosen, torch.stack([image for image, _ in loaded]), torch.cat(layers), truth)


class PostprocessedJoints(JointSet):
    """The joints of a set with their layers as inference writes them: with noise texture below the bones (E4).

    Measures that compare layers with true ones, or move bones, use the layers without it.

    Args:
        joints: the set.
    """

    postprocessed = True

    def __init__(self, joints: JointSet) -> None:
        self.joints = joints

    @property
    def read_from(self) -> JointSet:
        """The set that these radiographs are read from."""
        return self.joints

    @property
    def items(self) -> Sequence[Item]:
        """The joints of the set."""
        return self.joints.items

    def load(self, item: Item) -> dict[Any, Any]:
        """Load a joint."""
        return self.joints.load(item)


class ClosedJoints(JointSet):
    """The joints of a set that do not overlap, closed so that their true layers are known (E2).

    A joint is closed by :class:`bundle.separation.transforms.PseudoOverlapd`, as in the validation of a training; its
    true layers are those of the weight-free separator before the closure, or a phantom's own.

    Args:
        joints: the set.
        depths: ranges of the closing motion by name; every joint is closed once in each. Items contain their ``depth``.
        seed: random seed of the closures, combined with the name of the joint.
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
        """Load a joint and close it."""
        joint = self.separate_without_weights(self.joints.load({**item, "name": item["source"]}))
        return self.closures[item["depth"]](joint)


def as_a_file_holds(image: Tensor) -> Tensor:
    """Return radiograph and masks (3, H, W) as written to a file and read again."""
    return _continued(torch.cat([image[:1].clamp(0.0, 1.0), (image[1:] > 0.5).to(image.dtype)]))


def _continued(image: Tensor) -> Tensor:
    """Return radiograph and masks, the masks continued to the border as on loading a file, and as soft as before."""
    return torch.cat([image[:1], continue_to_border(image[1:], MCP.spacing_at(image.shape[-1]))])
