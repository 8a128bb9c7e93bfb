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
from bundle.base import REDACTION
from bundle.errors import InputError, flag
from bundle.io.audit import Joints, KeepWhole, audit
from bundle.io.files import data_set_root
from bundle.io.held_back import HeldBack
from bundle.io.identity import private_folder
from bundle.io.lists import (
    FOLDER,
    entries_of,
    list_path,
    lists_in,
    meant_list,
    partner_of,
    read_datalist,
    without_identity,
)
from bundle.io.loading import FindPlaces, Item, MaskMaker
from bundle.io.phantom_lists import phantom_items
from bundle.io.placing import Recentre
from bundle.io.spacing import checked_spacing
from bundle.io.splits import split_by_joint
from bundle.joint import MCP
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

MADE_TOGETHER = 8
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
    entries: Sequence[Item] | None = None,
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
        entries: some entries of the list (:func:`list_entries`) to audit instead of all of it, even if none is usable;
            the list is not read.

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
    known: dict[str, Any] = {"size": size, "segment": segment, "recentre": recentre, "find": find}
    known |= {"keep_gross": keep_gross, "keep_whole": keep_whole}
    if entries is not None:
        REDACTION.hide_folder(dataset_dir, private_folder(dataset_dir))
        found = audit(without_identity(entries), accept_none=True, **known)
        return Joints(found.accepted, found.rejected, left_out=found.left_out)
    datalist = meant_list(dataset_dir, datalist)
    refuses = datalist != FOLDER if strict is None else flag(strict)
    found = audit(_listed(dataset_dir, datalist, role, validation_fraction, seed, spacing), strict=refuses, **known)
    added = phantom_items(added_phantoms, seed, size) if role == "training" and added_phantoms else []
    return Joints(found.accepted + added, found.rejected, refuses, found.left_out)


def list_entries(dataset_dir: str, datalist: str, spacing: float = 0.0, role: str = "all") -> list[Item]:
    """Read the entries of a list, not audited, to be audited in blocks (:func:`joint_items`).

    Args:
        dataset_dir: root of the data set.
        datalist: name of the list (:func:`bundle.io.lists.meant_list`).
        spacing: mm per pixel of files that state none, unless their entry does; 0: not given.
        role: "all" of the list or "untested" (:func:`joint_items`).

    Raises:
        InputError: there is no data set, or the list cannot be read (:func:`read_datalist`).
    """
    if not dataset_dir:
        msg = "dataset_dir is empty, but blocks are made of a folder or a list. Pass --dataset_dir."
        raise InputError(msg)
    return _listed(dataset_dir, meant_list(dataset_dir, datalist), role, 0.0, 0, checked_spacing(spacing))


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
