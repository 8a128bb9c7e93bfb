"""The evaluation: sets of joints, what separates them, and the measures E1 to E6 of the separation, one after another.

Every separator sees a joint as a file holds it (masks of 0 and 1, continued to the border), so that the exported sets
(:func:`export_joints`), separated by any program, measure the same as the separator that made them would here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bundle.errors import InputError, flag
from bundle.io import (
    Item,
    MaskMaker,
    claim_output,
    fingerprint,
    layer_files,
    read_layers,
    split_by_joint,
    write_bytes,
    write_layers,
    write_masks,
)
from bundle.physics import continue_to_border
from bundle.segmentation import with_drawn_masks
from bundle.separation import OverlapRange
from bundle.separation.transforms import LoadJointd, PseudoOverlapd, SeparateLayersd
from bundle.statistics import Measured, SeparatedJoints

EXPORTED = "evaluation.json"
"""Name of the list of exported joints."""

BATCH = 8
"""Joints that are separated at once."""

_log = logging.getLogger("bundle.evaluation.evaluation")


# ---- sets of joints ------------------------------------------------------------------------------------------------


class JointSet:
    """Joints by their list; nothing is read before it is needed, and the list only once.

    Args:
        list_items: gives the items (:data:`bundle.io.Item`); audits their files.
        size: height and width in pixels.
        segment: draws masks that are not named.
    """

    delivered = False
    """Whether the layers are postprocessed, as inference writes them."""

    def __init__(
        self, list_items: Callable[[], Sequence[Item]], size: int | None = 256, segment: MaskMaker | None = None
    ) -> None:
        self.list_items = list_items
        self.loading: Callable[[Any], dict[Any, Any]] = LoadJointd(size, segment)

    @property
    def read_from(self) -> JointSet:
        """The set of these radiographs."""
        return self

    @cached_property
    def items(self) -> Sequence[Item]:
        """The joints of the set."""
        return self.list_items()

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
            layers.append(separator(names, images, self.delivered))
            known = [joint["label"] if float(joint["truth"]) else None for joint in batch]
            loaded += list(zip((_continued(joint["image"]) for joint in batch), known, strict=True))
        truths = [truth for _, truth in loaded if truth is not None]
        truth = torch.stack(truths) if len(truths) == len(loaded) else None
        return SeparatedJoints(chosen, torch.stack([image for image, _ in loaded]), torch.cat(layers), truth)


class DeliveredJoints(JointSet):
    """The joints of a set with their layers as inference writes them: with grain in the tissue below the bones (E4).

    Layers that are compared with true ones, or whose bones are moved, are measured without.

    Args:
        joints: the set.
    """

    delivered = True

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


class PushedJoints(JointSet):
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
        self.pushes = {depth: PseudoOverlapd(seed=seed, overlap=overlap) for depth, overlap in depths.items()}

    @cached_property
    def items(self) -> Sequence[Item]:
        """The joints of the set, once for each depth."""
        apart = [item for item in self.joints.items if not item["overlapping"]]
        named = [{"source": item["name"], "depth": depth} for depth in self.pushes for item in apart]
        return [
            {**item, **name, "name": f"{item['name']}_{name['depth']}"}
            for item, name in zip(apart * len(self.pushes), named, strict=True)
        ]

    def load(self, item: Item) -> dict[Any, Any]:
        """Load a joint and push it."""
        joint = self.separate_without_weights(self.joints.load({**item, "name": item["source"]}))
        return self.pushes[item["depth"]](joint)


def as_a_file_holds(image: Tensor) -> Tensor:
    """Radiograph and masks (3, H, W) as they come back when they are written to a file and read again."""
    return _continued(torch.cat([image[:1].clamp(0.0, 1.0), (image[1:] > 0.5).to(image.dtype)]))


def _continued(image: Tensor) -> Tensor:
    """Radiograph and masks, the masks continued to the border as on loading a file, and as soft as they were."""
    return torch.cat([image[:1], continue_to_border(image[1:])])


def export_joints(
    output_dir: str,
    sets: Mapping[str, JointSet],
    tasks: Mapping[str, Task],
    measures: Sequence[str] | str,
    settings: Mapping[str, Any],
) -> Path:
    """Write the joints that measures need, for other programs to separate: 32-bit NIfTI, masks as PNG, and a list.

    The entries of the list ``evaluation.json`` also give the ``name`` under which :class:`LayersFolder` looks for the
    layers, which is the name that inference gives them.

    Args:
        output_dir: refused when it holds something else.
        sets: by name; a folder each.
        tasks: all measures by name.
        measures: names of those to export for, a list or a single one.
        settings: of the run; they tell runs apart.

    Returns:
        The list.

    Raises:
        InputError: a list cannot be used, a measure is not known, two joints have one name, or the folder is refused.
    """
    files = {id(sets[name].read_from) for name in needed_sets(tasks, measures)}
    needed = {name: joints for name, joints in sets.items() if id(joints) in files}
    _check_unique([item["name"] for joints in needed.values() for item in joints.items])
    folder = claim_output(output_dir, fingerprint({"results": "exported joints", "sets": list(needed), **settings}))
    entries = [
        _export(folder, name, item, joints.load(item)["image"])
        for name, joints in needed.items()
        for item in tqdm(joints.items, desc=f"exporting {name}", unit="joint", mininterval=0.5)
    ]
    write_bytes(folder / EXPORTED, json.dumps(entries, indent=1).encode())
    return folder / EXPORTED


def _check_unique(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"expected joints with different names, got {', '.join(twice[:5])} more than once: rename their folders"
        raise InputError(msg)


def _export(folder: Path, group: str, item: Item, image: Tensor) -> dict[str, Any]:
    """Write a joint so that the name it is read with is its own: ``<joint>_<file's stem>``."""
    name, joint = str(item["name"]), str(item["joint"])
    stem = name.removeprefix(f"{joint}_")
    if stem == name:
        joint, _, stem = name.rpartition("_")
    place = folder / group / joint
    place.mkdir(parents=True, exist_ok=True)
    held = as_a_file_holds(image)
    write_layers(place / f"{stem}.nii.gz", held[:1], float(item["spacing"]))
    write_masks(place, stem, held[1:])
    files = {"image": f"{stem}.nii.gz", "lower": f"{stem}_mask_lower.png", "upper": f"{stem}_mask_upper.png"}
    paths = {key: f"{group}/{joint}/{file}" for key, file in files.items()}
    return {"name": name, **paths, "joint": joint, "spacing": float(item["spacing"])}


# ---- separators ----------------------------------------------------------------------------------------------------


class Separator(Protocol):
    """What gives layers to joints."""

    @property
    def source(self) -> str:
        """What it is, with what tells it from others."""

    @property
    def training(self) -> dict[str, Any] | None:
        """How it was trained, where that is known."""

    def prepare(self, names: Iterable[str]) -> None:
        """Get ready for joints of these names, or refuse before anything is measured."""

    def __call__(self, names: Sequence[str], images: Tensor, delivered: bool = False) -> Tensor:
        """Layers (B, 3, H, W) of radiographs with masks (B, 3, H, W), on the CPU; if delivered, as inference writes."""


class NetworkSeparator:
    """Separates by a network, with weights or without.

    Args:
        network: from images (B, 3, H, W) to layers.
        weights: of the network, :class:`bundle.workflow.GeneratorWeights`.
        inferer: MONAI's, how the network is used.
        postprocessing: MONAI's, of ``image`` and ``pred`` of a joint: what inference writes.
        device: where.
        segment: draws the masks that the network sees in place of those given.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: Any,
        inferer: Callable[..., Tensor],
        postprocessing: Callable[[Any], Any],
        device: Any = "cpu",
        segment: MaskMaker | None = None,
    ) -> None:
        self.segment = segment
        self.network, self.weights, self.inferer, self.device = network, weights, inferer, device
        self.postprocessing = postprocessing

    @property
    def source(self) -> str:
        """The file of the weights with its checksum, or the separator without weights; and what draws masks."""
        return f"{self.weights.source}{f', masks drawn by {self.segment}' if self.segment else ''}"

    @property
    def training(self) -> dict[str, Any] | None:
        """The record beside the weights."""
        record: dict[str, Any] | None = self.weights.training
        return record

    def prepare(self, names: Iterable[str]) -> None:
        """Load the weights."""
        self.weights(None)
        self.network.eval()

    @torch.no_grad()
    def __call__(self, names: Sequence[str], images: Tensor, delivered: bool = False) -> Tensor:
        """Separate a batch."""
        if self.segment is not None:
            images = torch.stack([with_drawn_masks(image, self.segment) for image in images])
        layers = self.inferer(images.to(self.device), self.network).detach().float().cpu()
        if not delivered:
            return layers
        joints = [{"image": image, "pred": pred} for image, pred in zip(images, layers, strict=True)]
        return torch.stack([self.postprocessing(joint)["pred"] for joint in joints])


class LayersFolder:
    """The layers that another program wrote: ``<name>_layers.nii.gz``, or three 8-bit PNGs, as inference writes them.

    Args:
        folder: of the files (:func:`bundle.io.read_layers`).

    Raises:
        InputError: there is no such folder; on use, if a file is missing, cannot be read or has the wrong shape.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            msg = f"expected a folder of layers, found none: {self.folder}: correct layers_dir"
            raise InputError(msg)
        self.digest = ""

    @property
    def source(self) -> str:
        """The folder's name with the checksum of the files that are used."""
        return f"layers in {self.folder.absolute().name} (sha256 {self.digest[:12]})"

    @property
    def training(self) -> None:
        """Not known."""
        return None

    def prepare(self, names: Iterable[str]) -> None:
        """Find the files of all joints."""
        checksum = hashlib.sha256()
        for name in sorted(names):
            for path in layer_files(self.folder, name):
                checksum.update(path.name.encode() + path.read_bytes())
        self.digest = checksum.hexdigest()

    def __call__(self, names: Sequence[str], images: Tensor, delivered: bool = False) -> Tensor:
        """Read the layers of a batch."""
        height, width = images.shape[-2:]
        return torch.stack([read_layers(self.folder, name, (height, width)) for name in names])


def choose_separator(
    layers_dir: str,
    network: nn.Module,
    weights: Any,
    inferer: Any,
    postprocessing: Any,
    device: Any,
    segmenter: MaskMaker | None = None,
    drawn_masks: bool | str = False,
) -> Separator:
    """The layers in ``layers_dir``, or where that is empty the network, which sees drawn masks if that is asked for."""
    if layers_dir:
        return LayersFolder(layers_dir)
    segment = segmenter if flag(drawn_masks) else None
    return NetworkSeparator(network, weights, inferer, postprocessing, device, segment)


# ---- the measures --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A measure with the sets of joints that it is called with, one or (training, test).

    Attributes:
        measure: from :class:`bundle.statistics.SeparatedJoints` to :class:`bundle.statistics.Measured`.
        sets: names of the sets, in the measure's order.
    """

    measure: Callable[..., Measured]
    sets: Sequence[str]

    @property
    def settings(self) -> dict[str, Any]:
        """The measure by its class and hyper-parameters."""
        kind, given = type(self.measure), self.measure
        options: dict[str, Any] = asdict(given) if is_dataclass(given) and not isinstance(given, type) else {}
        return {"measure": f"{kind.__module__}.{kind.__qualname__}", **options, "sets": list(self.sets)}


class Report(Protocol):
    """Where results go, :class:`bundle.inference.EvaluationReport`."""

    def open(self, separator: str, training: Mapping[str, Any] | None) -> None:
        """Claim the output folder."""

    def holds(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Whether a measure with these settings has been reported before."""

    def add(
        self,
        name: str,
        measured: Measured,
        settings: Mapping[str, Any],
        joints: Mapping[str, SeparatedJoints],
        seconds: float,
    ) -> None:
        """Report a measure."""

    def show(self, folder: str, joints: SeparatedJoints) -> None:
        """Show joints with their layers."""


class Evaluation:
    """Runs measures of one separator; each is reported as soon as it is done, and one that is there is not repeated.

    Args:
        separator: what is measured.
        sets: joints by the name of their set; "test" is one of them.
        tasks: all measures by name.
        measures: names of those to run, a list or a single one.
        report: where results go.
        shown: number of test joints, drawn at random, that are shown besides the worst.
        seed: of these, and of the split into joints to train on and to test on of a list without partner.

    Raises:
        InputError: a measure has another name.
    """

    def __init__(
        self,
        separator: Separator,
        sets: Mapping[str, JointSet],
        tasks: Mapping[str, Task],
        measures: Sequence[str] | str,
        report: Report,
        shown: int = 10,
        seed: int = 0,
    ) -> None:
        self.separator, self.sets, self.report = separator, sets, report
        self.tasks = {name: tasks[name] for name in chosen_measures(measures, tasks)}
        self.shown, self.seed = shown, seed
        self.separated: dict[str, SeparatedJoints] = {}

    def run(self) -> None:
        """Read the lists, load the separator, claim the output folder, then measure."""
        needed = needed_sets(self.tasks, list(self.tasks))
        names = [item["name"] for key in needed for item in self.sets[key].items]
        self.separator.prepare(names)
        self.report.open(self.separator.source, self.separator.training)
        left = {key: task for key, task in self.tasks.items() if not self.report.holds(key, task.settings)}
        for name in [name for name in self.tasks if name not in left]:
            _log.info(f"{name} has been measured before")
        while left:
            name = next(iter(left))
            self._measure(name, left.pop(name))
            self._forget({key for task in left.values() for key in task.sets})
        self._show_some()

    def _measure(self, name: str, task: Task) -> None:
        _log.info(f"measuring {name}")
        joints = self._joints(task)
        if len(joints) < len(task.sets):
            _log.warning(f"{name} is not measured: no joint of {', '.join(task.sets)} can be used")
            return
        start = time.perf_counter()
        measured = task.measure(*joints.values())
        self.report.add(name, measured, task.settings, joints, time.perf_counter() - start)

    def _joints(self, task: Task) -> dict[str, SeparatedJoints]:
        """The separated joints of a task; without a set to train on, the test joints are split by joint."""
        if not all(self.sets[name].items for name in task.sets) and len(task.sets) == 2:
            sides = split_by_joint(self.sets[task.sets[1]].items, 0.5, self.seed)
            both = self._separated(task.sets[1])
            return {name: _subset(both, side) for name, side in zip(task.sets, sides, strict=True)}
        return {name: self._separated(name) for name in task.sets if self.sets[name].items}

    def _separated(self, name: str) -> SeparatedJoints:
        if name not in self.separated:
            self.separated[name] = self.sets[name].separate(self.separator)
        return self.separated[name]

    def _forget(self, needed: set[str]) -> None:
        """Give back the memory of joints that no measure needs any more."""
        for name in set(self.separated) - needed:
            del self.separated[name]

    def _show_some(self) -> None:
        items = self.sets["test"].items
        drawn = random.Random(self.seed).sample(range(len(items)), min(self.shown, len(items)))
        if drawn:
            some = [items[index] for index in sorted(drawn)]
            self.report.show("random", self.sets["test"].separate(self.separator, some))


def chosen_measures(measures: Sequence[str] | str, known: Iterable[str]) -> list[str]:
    """Names of measures, from a list or a single one.

    Raises:
        InputError: one of them is not known, or there is none.
    """
    chosen = [measures] if isinstance(measures, str) else list(measures)
    if not chosen or not set(chosen) <= set(known):
        msg = f"expected measures to be some of {', '.join(known)}, got {measures!r}"
        raise InputError(msg)
    return list(dict.fromkeys(chosen))


def needed_sets(tasks: Mapping[str, Task], measures: Sequence[str] | str) -> list[str]:
    """Names of the sets that measures need; the test joints, of which some are shown, are always among them."""
    return list(
        dict.fromkeys(["test", *(key for name in chosen_measures(measures, tasks) for key in tasks[name].sets)])
    )


def _subset(joints: SeparatedJoints, items: Sequence[Item]) -> SeparatedJoints:
    names = {item["name"] for item in items}
    rows = [row for row, item in enumerate(joints.items) if item["name"] in names]
    truth = None if joints.truth is None else joints.truth[rows]
    return SeparatedJoints([joints.items[row] for row in rows], joints.images[rows], joints.layers[rows], truth)
