"""Lists of joints: the public layout, a user's own data, and phantoms; their audit and their split by joint.

A data set is a folder that holds lists (JSON) and, anywhere below it, the files that they name::

    [{"image": "case/00054_L_13/1.jpg", "lower": "case/00054_L_13/1_mask_lower.bmp",
      "upper": "case/00054_L_13/1_mask_upper.bmp"},
     {"image": "case/2.png"},
     {"image": "hands/3.dcm", "points": "hands/3.csv"}, ...]

Paths are relative to the folder. Masks that are not named can be drawn (:mod:`bundle.segmentation.segmenter`).
``points`` mark the joints of a hand (:mod:`bundle.io.points`), of which each becomes an item. The list :data:`FOLDER`
stands for all radiographs below the folder, with the files beside them that are named after them, but not for what runs
have written.

The image's folder is its joint; ``<id>_<L|R>_<finger code>`` tells side and finger. Two keys are optional: ``joint``
names the joint where the folders do not, ``spacing`` is the pixel's size in mm, of the hand where there are points.
Without it that of the file counts; a frame in a file that does not say it has the public one, 21/256. A pack
(:mod:`bundle.io.packed`), whose path may stand for that of the folder, has three more: ``item`` is the item's name,
``finger`` and ``side`` count where they are known ones. Other keys are ignored.
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
from bundle.io.audit import Joints, audit
from bundle.io.files import data_set_root
from bundle.io.held_back import HeldBack
from bundle.io.lists import FOLDER, entries_of, list_path, lists_in, meant_list, partner_of, read_datalist
from bundle.io.loading import Item, MaskMaker, checked_spacing
from bundle.io.splits import split_by_joint
from bundle.joint import MCP
from bundle.phantoms import sample_parameters
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

SEEDS_PER_RUN = 1_000_000
"""Phantoms of one run's seed, so that different seeds never share a phantom."""


MADE_TOGETHER = 4
"""Synthetic images that are asked for at once (:data:`bundle.datasets.TOGETHER`)."""


class MadeOnce(Sequence[Item]):
    """The samples of a data set that are made in batches, each made once, by several processes if asked for.

    They are made by :meth:`make`, or when the first one is asked for.

    Args:
        samples: of which :data:`MADE_TOGETHER` are asked for at once; the number of processes does not change them.
        workers: processes; 0 makes them here.
    """

    def __init__(self, samples: Dataset[Any], workers: int = 0) -> None:
        self.samples, self.workers = samples, workers

    @cached_property
    def made(self) -> list[Item]:
        """All of them."""
        count = -(-len(self) // MADE_TOGETHER)
        aside = torch.Generator()  # torch's own is left as it is
        loader: DataLoader[Any] = DataLoader(
            self.samples, batch_size=MADE_TOGETHER, num_workers=self.workers, collate_fn=list, generator=aside
        )
        shown = tqdm(loader, total=count, desc="making images", unit="batch", mininterval=0.5)
        return [sample for batch in shown for sample in batch]

    def make(self) -> None:
        """Make them here, before other processes ask for them."""
        _ = self.made

    def __len__(self) -> int:
        return len(self.samples)  # type: ignore[arg-type]

    def __getitem__(self, row: Any) -> Any:
        return self.made[row]


def training_and_validation(
    dataset_dir: str | Path, datalist: str, *, validation_fraction: float = 0.2, seed: int = 0, spacing: float = 0.0
) -> tuple[list[Item], list[Item]]:
    """Items of a training list to train on and to validate on, split by joint; its partner ``X_test`` is left alone.

    Arguments as in :func:`read_datalist` and :func:`split_by_joint`.

    Raises:
        InputError: as there, or a joint is also in the partner.
    """
    return split_by_joint(_untested(dataset_dir, datalist, spacing), validation_fraction, seed)


def _untested(dataset_dir: str | Path, datalist: str, spacing: float) -> list[Item]:
    """Items of a list, of which no joint is in the partner ``X_test`` of a list ``X_train``.

    Of :data:`FOLDER` those that are in no test list of the data set.
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
        msg = f"expected no joint in both {datalist} and {partner}, got {joints}: take them out of one list"
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
    """Some of the joints that a measure may train on when it tests on a list ``X_test``: those of its ``X_train``.

    Args:
        dataset_dir: root of the data set; empty for phantoms.
        datalist: name of the list that is tested on.
        count: how many at most, drawn from the list; those that cannot be used are left out.
        seed: of the drawing.
        phantom_seed: of phantoms.
        size: expected height and width in pixels; None accepts any.
        spacing: mm per pixel of entries that do not state it; 0 for what their files say.
        segment: draws masks that are not named (:func:`audit`).

    Returns:
        Audited items; none where the list has no partner.

    Raises:
        InputError: as :func:`training_and_validation`.
    """
    if not dataset_dir:
        return phantom_items(count, phantom_seed, size)
    partner = re.sub(r"_test((?:\.json)?)$", r"_train\1", datalist)
    if partner == datalist or list_path(data_set_root(dataset_dir), partner) is None:
        return []
    items = _untested(dataset_dir, partner, spacing)
    drawn = sorted(random.Random(seed).sample(range(len(items)), min(count, len(items))))
    return audit([items[index] for index in drawn], size=size, segment=segment).accepted


SEED_STEPS = {"testing": 1, "detectors": 2, "retakes": 3}
"""What phantoms are used for besides training, and how far their seed is from that of the run."""


def disjoint_seed(seed: int, of: str) -> int:
    """Seed of phantoms that share none with those of the run's own seed, nor with those for another use.

    >>> disjoint_seed(1000, "testing")
    1001

    Args:
        seed: of the run.
        of: what they are used for, one of :data:`SEED_STEPS`.

    Raises:
        InputError: an unknown use.
    """
    if of not in SEED_STEPS:
        msg = f"of: expected one of {', '.join(SEED_STEPS)}, got {of!r}"
        raise InputError(msg)
    return seed + SEED_STEPS[of]


def phantom_items(count: int, seed: int, size: int | None = MCP.pixels, takes: int = 1) -> list[Item]:
    """Items of ``count`` phantoms with the seeds from ``seed * SEEDS_PER_RUN`` on; each is a joint of its own.

    Besides ``name, joint, finger, side, spacing`` an item holds the phantom's ``seed`` and ``jsw_mm``, and is
    ``overlapping`` where the latter is negative. Whatever its ``size`` in pixels, a phantom shows 21 mm. With several
    ``takes`` there are so many radiographs of each joint, that say which ``retake`` they are
    (:func:`bundle.phantoms.retake`).

    Raises:
        InputError: a count below 1 or above ``SEEDS_PER_RUN``, a negative seed, or less than one take.
    """
    if not 1 <= count <= SEEDS_PER_RUN or seed < 0:
        msg = f"expected 1 to {SEEDS_PER_RUN} phantoms and a seed of at least 0, got {count} and {seed}"
        raise InputError(msg)
    if takes < 1:
        msg = f"expected at least one take of each phantom, got {takes}"
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
    keep_whole: bool = False,
    segment: MaskMaker | None = None,
) -> Joints:
    """The audited joints of a configuration: of a data set, or phantoms where ``dataset_dir`` is empty.

    Args:
        dataset_dir: root of the data set; empty for phantoms.
        datalist: name of the list (:func:`bundle.io.lists.meant_list`); without meaning for phantoms.
        role: "training" or "validation" (:func:`training_and_validation`); "untested", to learn from all of the list,
            without the joints of test lists unless the list is named, and then each such item says its ``test_list``
            (:mod:`bundle.io.held_back`); or "all" of the list.
        phantoms: how many phantoms there are in all; those for validation are a part of them.
        takes: radiographs of each phantom (:func:`phantom_items`).
        added_phantoms: how many phantoms are trained on beside the joints of a data set.
        validation_fraction: share of the joints for validation (:func:`split_by_joint`).
        seed: of the split and of the phantoms.
        strict: whether one unusable item refuses the list (:func:`audit`); true or false as text is understood. None
            refuses a list, but not the folder :data:`FOLDER`.
        size: expected height and width in pixels; None accepts any.
        spacing: mm per pixel of entries that do not state it; 0 for what their files say.
        keep_gross: whether joints with grossly wrong masks are kept (:func:`audit`).
        keep_whole: whether the radiographs that joints are cut out of are kept, too (:func:`audit`).
        segment: draws masks that are not named (:func:`audit`).

    Raises:
        InputError: see the functions named above, or an unknown role.
    """
    spacing = checked_spacing(spacing)
    if role not in ("training", "validation", "untested", "all"):
        msg = f'expected the role "training", "validation", "untested" or "all", got "{role}"'  # noqa: B907
        raise InputError(msg)
    if not dataset_dir:
        items = phantom_items(phantoms, seed, size, takes)
        whole = role in ("all", "untested")
        sides = (items, items) if whole else split_by_joint(items, validation_fraction, seed)
        return Joints(sides[role == "validation"])
    datalist = meant_list(dataset_dir, datalist)
    refuses = datalist != FOLDER if strict is None else flag(strict)
    items = _listed(dataset_dir, datalist, role, validation_fraction, seed, spacing)
    kept = {"keep_gross": keep_gross, "keep_whole": keep_whole}
    found = audit(items, strict=refuses, size=size, segment=segment, **kept)
    added = phantom_items(added_phantoms, seed, size) if role == "training" and added_phantoms else []
    return Joints(found.accepted + added, found.rejected, refuses)


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
    """What the test lists at the root of a data set keep back."""
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
        "jsw_mm": parameters.jsw_mm,
        "overlapping": parameters.jsw_mm < 0.0,
    }


def _take(item: Item, number: int) -> Item:
    """A phantom's item as that of one of its radiographs."""
    return {**item, "name": f"{item['name']}_take{number}", "retake": number}
