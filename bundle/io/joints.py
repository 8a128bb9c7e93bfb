"""Joints of a configuration: public layout, own data or phantoms; their audit and their split by joint.

A data set is a folder with lists (JSON) and, anywhere below it, the files that they name::

    [{"image": "case/00054_L_13/1.jpg", "lower": "case/00054_L_13/1_mask_lower.bmp",
      "upper": "case/00054_L_13/1_mask_upper.bmp"},
     {"image": "case/2.png"},
     {"image": "hands/3.dcm", "points": "hands/3.csv"}, ...]

Paths are relative to the folder. Masks that are not named can be predicted (:mod:`bundle.segmentation.segmenter`).
``points`` mark the joints of a hand (:mod:`bundle.io.points`), each of which becomes an item. The list :data:`FOLDER`
means all radiographs below the folder, with the masks and points named after them beside them, except results of runs.

The image's folder is its joint; ``<id>_<L|R>_<finger code>`` states side and finger. Two keys are optional: ``joint``
names the joint where the folders do not, ``spacing`` is the pixel size in mm, of the hand where there are points.
Without it the file's own applies; a frame in a file that states none is 21 mm wide. The entries of a pack
(:mod:`bundle.io.packed`), whose path may replace that of the folder, have three more keys: ``item`` is the item's name,
``finger`` and ``side`` apply if they are known ones. Other keys are ignored.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from bundle.errors import InputError, flag
from bundle.io.audit import Joints, KeepWhole, audit
from bundle.io.files import data_set_root
from bundle.io.held_back import HeldBack
from bundle.io.lists import FOLDER, entries_of, list_path, lists_in, meant_list, partner_of, read_datalist
from bundle.io.loading import FindPlaces, Item, MaskMaker
from bundle.io.placing import Recentre
from bundle.io.spacing import checked_spacing
from bundle.io.splits import split_by_joint
from bundle.joint import MCP
from bundle.phantoms import sample_parameters
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

SEEDS_PER_RUN = 1_000_000
"""Number of phantom seeds per seed of a run, so that different seeds never share a phantom."""

MADE_TOGETHER = 4
"""Number of synthetic images per batch (:data:`bundle.datasets.TOGETHER`)."""


class MadeOnce(Sequence[Item]):
    """Samples of a data set, made once in batches, optionally by several processes.

    They are made by :meth:`make` or at the first access.

    Args:
        samples: data set, read in batches of :data:`MADE_TOGETHER`; the number of processes does not change them.
        workers: number of processes; 0 makes the samples in this process.
    """

    def __init__(self, samples: Dataset[Any], workers: int = 0) -> None:
        self.samples, self.workers = samples, workers

    @cached_property
    def made(self) -> list[Item]:
        """All samples."""
        count = -(-len(self) // MADE_TOGETHER)
        aside = torch.Generator()  # keeps torch's default generator unchanged
        loader: DataLoader[Any] = DataLoader(
            self.samples, batch_size=MADE_TOGETHER, num_workers=self.workers, collate_fn=list, generator=aside
        )
        shown = tqdm(loader, total=count, desc="making images", unit="batch", mininterval=0.5)
        return [sample for batch in shown for sample in batch]

    def make(self) -> None:
        """Make all samples now, before other processes need them."""
        _ = self.made

    def __len__(self) -> int:
        return len(self.samples)  # type: ignore[arg-type]

    def __getitem__(self, row: Any) -> Any:
        return self.made[row]


def training_and_validation(
    dataset_dir: str | Path, datalist: str, *, validation_fraction: float = 0.2, seed: int = 0, spacing: float = 0.0
) -> tuple[list[Item], list[Item]]:
    """Split the items of a training list by joint into training and validation, without its test list ``X_test``.

    Arguments as in :func:`read_datalist` and :func:`split_by_joint`.

    Raises:
        InputError: as for these, or a joint is also in the test list.
    """
    return split_by_joint(_untested(dataset_dir, datalist, spacing), validation_fraction, seed)


def _untested(dataset_dir: str | Path, datalist: str, spacing: float) -> list[Item]:
    """Items of a list ``X_train``, none of whose joints is in its test list ``X_test``.

    For :data:`FOLDER`, the items that are in no test list of the data set.
    """
    items = read_datalist(dataset_dir, datalist, spacing=spacing)
    if datalist == FOLDER:
        return _held_back(dataset_dir).without(items)
    partner = partner_of(datalist)
    if partner is None or list_path(data_set_root(dataset_dir), partner) is None:
        return items
    shared = _folders(items) & _folders(read_datalist(dataset_dir, partner, spacing=spacing))
    if shared:
        joints = ", ".join(sorted(joint for joint, _ in shared))
        msg = f"{datalist} and {partner} share the joints {joints}. Remove them from one list."
        raise InputError(msg)
    return items


def training_joints(
    dataset_dir: str,
    datalist: str,
    count: int,
    *,
    seed: int = 0,
    phantom_seed: int = 0,
    size: int | None = MCP.pixels,
    spacing: float = 0.0,
    segment: MaskMaker | None = None,
) -> list[Item]:
    """Sample joints of ``X_train`` on which a measure may train when it tests on a list ``X_test``.

    Args:
        dataset_dir: root of the data set; empty for phantoms.
        datalist: name of the test list.
        count: maximum number of joints, sampled from the list; unusable ones are omitted.
        seed: random seed for the sampling.
        phantom_seed: seed of the phantoms.
        size: required height and width in pixels; None accepts any.
        spacing: mm per pixel of files that state none, unless their entry does; 0: not given.
        segment: predicts masks that are not given (:func:`audit`).

    Returns:
        Audited items; empty if the list has no training list.

    Raises:
        InputError: as :func:`training_and_validation`.
    """
    if not dataset_dir:
        return phantom_items(count, phantom_seed, size)
    partner = re.sub(r"_test((?:\.json)?)$", r"_train\1", datalist)
    if partner == datalist or list_path(data_set_root(dataset_dir), partner) is None:
        return []
    items = _untested(dataset_dir, partner, spacing)
    sampled = sorted(random.Random(seed).sample(range(len(items)), min(count, len(items))))
    return audit([items[index] for index in sampled], size=size, segment=segment).accepted


SEED_STEPS = {"testing": 1, "detectors": 2, "retakes": 3}
"""Uses of phantoms besides training, with the offset of their seed from the run's."""


def disjoint_seed(seed: int, of: str) -> int:
    """Derive the seed of phantoms that differ from the run's own phantoms and from those of any other use.

    >>> disjoint_seed(1000, "testing")
    1001

    Args:
        seed: seed of the run.
        of: use of the phantoms, one of :data:`SEED_STEPS`.

    Raises:
        InputError: an unknown use.
    """
    if of not in SEED_STEPS:
        msg = f"of: {of!r} is unknown. Pass one of {', '.join(SEED_STEPS)}."
        raise InputError(msg)
    return seed + SEED_STEPS[of]


def phantom_items(count: int, seed: int, size: int | None = MCP.pixels, takes: int = 1) -> list[Item]:
    """Make the items of ``count`` phantoms with the seeds from ``seed * SEEDS_PER_RUN`` on; each is its own joint.

    Besides ``name, joint, finger, side, spacing`` an item has the phantom's ``seed`` and ``outline_gap_mm``, and is
    ``overlapping`` if the latter is negative. A phantom covers 21 mm at any ``size`` in pixels. With several ``takes``
    each joint has that number of radiographs, numbered by ``retake`` (:func:`bundle.phantoms.retake`).

    Raises:
        InputError: a count below 1 or above ``SEEDS_PER_RUN``, a negative seed, or less than one take.
    """
    if not 1 <= count <= SEEDS_PER_RUN or seed < 0:
        msg = f"{count} phantoms with the seed {seed}: pass 1 to {SEEDS_PER_RUN} phantoms and a seed of at least 0."
        raise InputError(msg)
    if takes < 1:
        msg = f"takes: {takes} is below 1. Pass at least one take of each phantom."
        raise InputError(msg)
    items = [_phantom_item(seed * SEEDS_PER_RUN + index, size or MCP.pixels) for index in range(count)]
    return items if takes == 1 else [_take(item, number) for item in items for number in range(takes)]


def joint_items(
    dataset_dir: str,
    datalist: str,
    role: str = "all",
    *,
    phantoms: int = 64,
    takes: int = 1,
    added_phantoms: int = 0,
    validation_fraction: float = 0.2,
    seed: int = 0,
    strict: bool | str | None = False,
    size: int | None = MCP.pixels,
    spacing: float = 0.0,
    keep_gross: bool = False,
    keep_whole: KeepWhole = False,
    segment: MaskMaker | None = None,
    recentre: Recentre | None = None,
    find: FindPlaces | None = None,
) -> Joints:
    """Read and audit the joints of a configuration: of a data set, or phantoms if ``dataset_dir`` is empty.

    Args:
        dataset_dir: root of the data set; empty for phantoms.
        datalist: name of the list (:func:`bundle.io.lists.meant_list`); ignored for phantoms.
        role: "training" or "validation" (:func:`training_and_validation`); "untested", for training on the whole list
            without the joints of test lists, unless a list is named: then each such item states its ``test_list``
            (:mod:`bundle.io.held_back`); or "all" of the list.
        phantoms: total number of phantoms, including those for validation.
        takes: number of radiographs of each phantom (:func:`phantom_items`).
        added_phantoms: number of phantoms for training in addition to the joints of a data set.
        validation_fraction: fraction of the joints for validation (:func:`split_by_joint`).
        seed: random seed of the split and of the phantoms.
        strict: whether one unusable joint rejects the list (:func:`audit`); a bool or its text. None is strict for a
            list, but not for the folder :data:`FOLDER`.
        size: required height and width in pixels; None accepts any.
        spacing: mm per pixel of files that state none, unless their entry does; 0: not given.
        keep_gross: whether joints with grossly wrong masks are kept (:func:`audit`).
        keep_whole: whether the radiographs that joints are cut out of are also kept (:func:`audit`).
        segment: predicts masks that are not given (:func:`audit`).
        recentre: places the frames of joints marked or found in hands (:func:`audit`).
        find: finds the joints of hands without marks (:func:`bundle.io.open_joints`).

    Raises:
        InputError: see the functions named above, or an unknown role.
    """
    spacing = checked_spacing(spacing)
    if role not in ("training", "validation", "untested", "all"):
        msg = f'role: "{role}" is unknown. Pass "training", "validation", "untested" or "all".'  # noqa: B907
        raise InputError(msg)
    if not dataset_dir:
        items = phantom_items(phantoms, seed, size, takes)
        whole = role in ("all", "untested")
        sides = (items, items) if whole else split_by_joint(items, validation_fraction, seed)
        return Joints(sides[role == "validation"])
    datalist = meant_list(dataset_dir, datalist)
    refuses = datalist != FOLDER if strict is None else flag(strict)
    items = _listed(dataset_dir, datalist, role, validation_fraction, seed, spacing)
    kept: dict[str, Any] = {"keep_gross": keep_gross, "keep_whole": keep_whole}
    found = audit(items, strict=refuses, size=size, segment=segment, recentre=recentre, find=find, **kept)
    added = phantom_items(added_phantoms, seed, size) if role == "training" and added_phantoms else []
    return Joints(found.accepted + added, found.rejected, refuses, found.left_out)


def _listed(
    dataset_dir: str, datalist: str, role: str, validation_fraction: float, seed: int, spacing: float
) -> list[Item]:
    """Items of a list for a role of :func:`joint_items`, not audited."""
    if role == "all":
        return read_datalist(dataset_dir, datalist, spacing=spacing)
    if role == "untested":
        return _held_back(dataset_dir).named(_untested(dataset_dir, datalist, spacing))
    sides = training_and_validation(
        dataset_dir, datalist, validation_fraction=validation_fraction, seed=seed, spacing=spacing
    )
    return sides[role == "validation"]


def _held_back(dataset_dir: str | Path) -> HeldBack:
    """Joints held out by the test lists at the root of a data set."""
    root, listed = data_set_root(dataset_dir), {}
    for name in lists_in(root):
        with suppress(InputError):  # JSON of another kind
            listed[name] = [os.path.realpath(root / entry["image"]) for entry in entries_of(root / name)]
    return HeldBack(listed)


def _folders(items: Sequence[Item]) -> set[tuple[str, str]]:
    """Each joint with the folder of its radiographs."""
    return {(str(item["joint"]), os.path.dirname(item["image"])) for item in items}


def _phantom_item(seed: int, size: int) -> Item:
    parameters = sample_parameters(seed, size=size, spacing=MCP.spacing_at(size))
    name = f"phantom_{seed}"
    return {
        "name": name,
        "joint": name,
        "finger": parameters.finger,
        "side": parameters.side,
        "spacing": parameters.spacing,
        "seed": seed,
        "outline_gap_mm": parameters.outline_gap_mm,
        "overlapping": parameters.outline_gap_mm < 0.0,
    }


def _take(item: Item, number: int) -> Item:
    """The item of one radiograph of a phantom."""
    return {**item, "name": f"{item['name']}_take{number}", "retake": number}
