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

import logging
import math
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from bundle.base import REDACTION, bare_values, parse_json, tells, without_told
from bundle.errors import InputError, flag
from bundle.io.files import data_set_root, files_at, packed_lists, stored
from bundle.io.folders import entries_below, stem
from bundle.io.held_back import HeldBack
from bundle.io.identity import discreet, private_folder, private_name, safe_name, told_by
from bundle.io.loading import (
    BONES,
    LARGEST_SPACING,
    SIDES,
    UNKNOWN,
    Item,
    MaskMaker,
    checked_spacing,
    joints_of,
    read_joint,
)
from bundle.io.writing import LONGEST_NAME, RESULT_ENDINGS
from bundle.phantoms import draw_parameters
from bundle.physics import SPACING

FINGER_CODES = {"2": "small", "5": "ring", "8": "middle", "11": "index", "13": "thumb"}
OVERLAP_PIXELS = 20
"""Common mask pixels from which on a joint counts as overlapping, as in the public lists."""
SEEDS_PER_RUN = 1_000_000
"""Phantoms of one run's seed, so that different seeds never share a phantom."""

GROSS_OVERLAP = 0.5
"""Masks that share more than this part of the smaller one are grossly wrong: no joint overlaps so far."""

MADE_TOGETHER = 4
"""Synthetic images that are asked for at once (:data:`bundle.datasets.TOGETHER`)."""

_FILES = ("image", *BONES, "points")
DRAWN = "drawn"
"""What an item says of its masks where a network drew at least one."""

FOLDER = "*"
"""The name of a list that is not written: all radiographs below the folder."""

_KNOWN = {"finger": [*FINGER_CODES.values(), UNKNOWN], "side": [*SIDES.values(), UNKNOWN]}
_JOINT_NAME = re.compile(r".+_(?P<side>[LR])_(?P<finger>\d+)")
_log = logging.getLogger("bundle.io")

Check = Callable[[Item], Item]
"""Checks a joint and returns its item, or raises :class:`InputError` (:func:`audited`)."""


@dataclass
class Audit:
    """What an audit found.

    Attributes:
        accepted: the usable joints, each with ``overlapping`` (bool) and ``masks`` ("given" or "drawn") added.
        rejected: name and reason of the others; of a hand that cannot be used its own name.
    """

    accepted: list[Item] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)


class Joints(list[Item]):
    """Audited items, and those that were rejected.

    Attributes:
        rejected: ``name`` and ``reason`` of each.
        strict: whether one that cannot be used ends the run.
    """

    def __init__(
        self, accepted: Iterable[Item], rejected: Sequence[tuple[str, str]] = (), strict: bool = False
    ) -> None:
        super().__init__(accepted)
        self.strict = strict
        self.rejected = [{"name": name, "reason": REDACTION.in_record(reason)} for name, reason in rejected]


def read_datalist(dataset_dir: str | Path, datalist: str, *, spacing: float = 0.0) -> list[Item]:
    """Read a list of joints. The files it names are not opened.

    Args:
        dataset_dir: root of the data set, or the file of its pack.
        datalist: name of the list in ``dataset_dir``, with or without ``.json``.
        spacing: mm per pixel of entries that do not state it; 0 for what their files say.

    Returns:
        Items with a unique ``name`` (``<joint>_<file stem>``), ``joint``, ``finger``, ``side``, ``spacing`` (0 where
        nothing states it) and the absolute paths ``image``, ``lower``, ``upper`` and ``points``, empty where there is
        none. Finger and side are "unknown" where neither the joint nor the list states them.

    Raises:
        InputError: the folder or the list is missing, the pack cannot be used, the list is not a JSON list of such
            entries, or a path leaves the folder.
    """
    spacing = checked_spacing(spacing)
    root = data_set_root(dataset_dir)
    REDACTION.hide_folder(dataset_dir, private_folder(dataset_dir))
    source = root if datalist == FOLDER else find_list(root, datalist)
    entries = _entries_in(root) if datalist == FOLDER else _entries(source)
    paths = [
        {key: _path_below(root, entry[key], source, row) for key in _FILES if entry.get(key)}
        for row, entry in enumerate(entries)
    ]
    folders = _joint_names([path["image"].parent for path in paths], root)
    joints = [str(entry.get("joint", folder)) for entry, folder in zip(entries, folders, strict=True)]
    names = [
        safe_name(entry.get("item") or f"{joint}_{stem(path['image'])}")
        for entry, joint, path in zip(entries, joints, paths, strict=True)
    ]
    return _without_identity(
        [
            {
                "name": name,
                **_identity(joint, entry),
                "spacing": float(entry.get("spacing", spacing)),
                **{key: str(path.get(key, "")) for key in _FILES},
            }
            for entry, joint, path, name in zip(entries, joints, paths, names, strict=True)
        ]
    )


def _without_identity(items: Sequence[Item]) -> list[Item]:
    """Items whose names tell nothing that a header of any of them says; messages will not say it either."""
    told = told_by(item["image"] for item in items)
    REDACTION.hide_values(told)
    known = bare_values(told)
    names, joints = ([private_name(item[key], item["image"], known) for item in items] for key in ("name", "joint"))
    rows = zip(items, _unique(names), joints, strict=True)
    found = [{**item, "name": name, "joint": joint} for item, name, joint in rows]
    paths = {item[key]: item["name"] for item in found for key in _FILES}
    parts = {part for path in paths for part in path.split("/")}
    telling = {part for part in parts if tells(part, known)}
    for path, name in paths.items():
        if telling.intersection(path.split("/")):
            REDACTION.hide_file(path, name)
    return found


def audit(
    items: Sequence[Item],
    *,
    strict: bool = False,
    size: int | None = 256,
    keep_gross: bool = False,
    segment: MaskMaker | None = None,
) -> Audit:
    """Read every item once, keep the joints that can be used and log the others with the reason.

    Args:
        items: with paths, as from :func:`read_datalist`.
        strict: refuse the whole list when one item cannot be used.
        size: expected height and width in pixels; None accepts any.
        keep_gross: keep joints whose masks are grossly wrong, with a warning; they can be separated, not learned from.
        segment: draws masks that are not named; without it they are missed.

    Raises:
        InputError: no item can be used, or ``strict`` and not all can.
    """
    check = partial(_checked, size=size, keep_gross=keep_gross, segment=segment)
    return audited(items, check, strict=strict, size=size)


def audited(items: Sequence[Item], check: Check, *, strict: bool = False, size: int | None = 256) -> Audit:
    """Audit items by any check, which returns the item of a joint that can be used and raises for another one.

    Args:
        items: as in :func:`audit`.
        check: of a joint (:func:`bundle.io.joints_of`).
        strict: as in :func:`audit`.
        size: as in :func:`audit`.

    Raises:
        InputError: as :func:`audit`.
    """
    result = Audit()
    for item in tqdm(items, desc="checking joints", unit="file", mininterval=0.5):
        with _rejecting(item, result):
            for joint in joints_of(item, size):
                with _rejecting(joint, result):
                    _check_name(joint["name"])
                    result.accepted.append(check(joint))
    names = _unique(item["name"] for item in result.accepted)
    result.accepted = [{**item, "name": name} for item, name in zip(result.accepted, names, strict=True)]
    _report(result, strict)
    return result


def _check_name(name: str) -> None:
    """Refuse a name that is too long for the names of results."""
    length = len(name.encode())
    if length > LONGEST_NAME:
        msg = f"{name}: {length} bytes are too long for the names of results: rename it to {LONGEST_NAME} or fewer"
        raise InputError(msg)


@contextmanager
def _rejecting(item: Item, result: Audit) -> Iterator[None]:
    """Note an item that cannot be used; what it is called is not said where that tells whose radiograph it is."""
    try:
        yield
    except InputError as error:
        result.rejected.append((private_name(item["name"], item["image"]), _discreet(str(error), item)))


def _discreet(message: str, item: Item) -> str:
    """A message without paths of an item's files that tell whose radiograph it is."""
    name = private_name(item["name"], item["image"])
    return discreet(message, [item[key] for key in _FILES], item["image"], name)


def _checked(item: Item, size: int | None, keep_gross: bool, segment: MaskMaker | None) -> Item:
    """An item that can be used, with ``overlapping`` and ``masks``."""
    joint = read_joint(item, size, segment)
    check_overlap(joint, item, keep_gross)
    given = [bone for bone in BONES if item[bone]]
    return {**item, "overlapping": is_overlapping(joint), "masks": "given" if len(given) == len(BONES) else DRAWN}


def check_overlap(joint: Tensor, item: Item, keep_gross: bool) -> None:
    """Refuse masks that share more than :data:`GROSS_OVERLAP` of the smaller one.

    Args:
        joint: (3, H, W), as :func:`bundle.io.read_joint` gives it.
        item: of the joint.
        keep_gross: only warn.

    Raises:
        InputError: they do, and are not kept.
    """
    common = int((joint[1] * joint[2]).sum())
    share = common / int(joint[1:].sum(dim=(1, 2)).min())
    if share <= GROSS_OVERLAP:
        return
    msg = (
        f"grossly wrong masks: expected at most {GROSS_OVERLAP:.0%} of the smaller bone in common, "
        f"got {share:.0%} ({common} pixels): {item['lower'] or 'drawn'} and {item['upper'] or 'drawn'} of "
        f"{item['image']}: draw them again"
    )
    if not keep_gross:
        raise InputError(msg)
    _log.warning("kept %s: %s", item["name"], _discreet(msg, item))


def is_overlapping(joint: Tensor) -> bool:
    """Whether the masks of a joint (3, H, W) have at least 20 pixels in common, as the public lists count it."""
    return int((joint[1] * joint[2]).sum()) >= OVERLAP_PIXELS


def loaded(samples: Iterable[Item]) -> list[Item]:
    """The samples of a data set, each loaded once, here, so that the workers of a loader share them."""
    return list(tqdm(samples, desc="loading joints", unit="joint", mininterval=0.5))


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


def part_of_joints(items: Sequence[Item], fraction: float, seed: int) -> list[Item]:
    """The items of a part of the joints, at least one; of the same seed a smaller part lies in a larger one.

    Args:
        items: each with ``joint``.
        fraction: share of the joints, in (0, 1].
        seed: of the drawing.

    Raises:
        InputError: a fraction out of its range.
    """
    if not 0.0 < fraction <= 1.0:
        msg = f"expected a part of the joints above 0 and at most 1, got {fraction}"
        raise InputError(msg)
    joints = joint_names(items)
    names = sorted(set(joints))
    random.Random(seed).shuffle(names)
    kept = set(names[: max(round(fraction * len(names)), 1)])
    return [item for item, joint in zip(items, joints, strict=True) if joint in kept]


def with_widths(samples: Iterable[Item]) -> list[Item]:
    """The samples whose joint space width, ``jsw``, is known, each loaded once (:func:`loaded`).

    Raises:
        InputError: there is none.
    """
    found = [sample for sample in loaded(samples) if bool(sample["jsw"].isfinite())]
    if not found:
        msg = "expected joints whose bones stand one above the other, got none: name another datalist"
        raise InputError(msg)
    return found


def repeated(samples: Sequence[Item], least: int) -> list[Item]:
    """The samples, all of them as often as it takes to have at least ``least``: an epoch of few is not over at once."""
    return list(samples) * max(math.ceil(least / len(samples)), 1)


def non_overlapping(samples: Iterable[Item], epochs: int = 1) -> list[Item]:
    """The samples whose bones do not overlap, which pseudo-images are made of.

    Args:
        samples: with ``overlapping``; a data set that caches at run time is filled on the way.
        epochs: of the stage that they are for; a stage without any, which is skipped, gets all samples.

    Raises:
        InputError: there is none.
    """
    found = [sample for sample in loaded(samples) if epochs == 0 or not sample["overlapping"]]
    if not found:
        msg = (
            "expected joints whose bones do not overlap to make pseudo-images of, got none: skip stage 1 "
            "(--stage1_epochs 0) or add some"
        )
        raise InputError(msg)
    return found


def split_by_joint(items: Sequence[Item], validation_fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Split into training and validation so that no joint is on both sides; the order of the items is kept.

    Where all files lie in one folder, which says nothing of joints, they are split file by file (:func:`joint_names`).

    Args:
        items: each with ``joint``.
        validation_fraction: share of the joints (not of the images), in (0, 1); at least one joint is on each side.
        seed: the same seed and joints give the same split.

    Raises:
        InputError: fewer than two joints, or a fraction outside (0, 1).
    """
    if not 0.0 < validation_fraction < 1.0:
        msg = f"expected a validation fraction between 0 and 1, got {validation_fraction}"
        raise InputError(msg)
    joints = joint_names(items)
    names = sorted(set(joints))
    if len(names) < 2:
        msg = (
            f"expected at least two joints to split into training and validation, got {len(names)} ({names}): "
            'keep each joint in its own folder or name it by "joint" in the list'
        )
        raise InputError(msg)
    count = min(max(round(validation_fraction * len(names)), 1), len(names) - 1)
    held_out = set(random.Random(seed).sample(names, count))
    sides: tuple[list[Item], list[Item]] = ([], [])
    for item, joint in zip(items, joints, strict=True):
        sides[joint in held_out].append(item)
    return sides


def joint_names(items: Sequence[Item]) -> list[str]:
    """The joint of each item, to divide items by; that of a file of its own where one folder holds all of them.

    A flat folder of several files would otherwise be one joint. It is one where its name is that of a joint
    (``<id>_<L|R>_<finger code>``) or the list states ``joint``.
    """
    joints = [str(item["joint"]) for item in items]
    folders = [Path(str(item.get("image", ""))).parent.name for item in items]
    if len(set(joints)) > 1 or len(items) < 2 or folders != joints or _JOINT_NAME.fullmatch(joints[0]):
        return joints
    files = [str(item["image"]) for item in items]
    _log.warning(
        f"{len(set(files))} radiographs lie in the one folder {joints[0]}: each file counts as a joint of its own. If "
        'files show the same joint, keep each joint in its own folder or name it by "joint" in a list.'
    )
    return files


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
    partner = _partner(datalist)
    if partner is None or _find_list(data_set_root(dataset_dir), partner) is None:
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
    size: int | None = 256,
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
    if partner == datalist or _find_list(data_set_root(dataset_dir), partner) is None:
        return []
    items = _untested(dataset_dir, partner, spacing)
    drawn = sorted(random.Random(seed).sample(range(len(items)), min(count, len(items))))
    return audit([items[index] for index in drawn], size=size, segment=segment).accepted


def phantom_items(count: int, seed: int, size: int | None = 256, takes: int = 1) -> list[Item]:
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
    items = [_phantom_item(seed * SEEDS_PER_RUN + index, size or 256) for index in range(count)]
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
    strict: bool | str = False,
    size: int | None = 256,
    spacing: float = 0.0,
    keep_gross: bool = False,
    segment: MaskMaker | None = None,
) -> Joints:
    """The audited joints of a configuration: of a data set, or phantoms where ``dataset_dir`` is empty.

    Args:
        dataset_dir: root of the data set; empty for phantoms.
        datalist: name of the list; without meaning for phantoms.
        role: "training" or "validation" (:func:`training_and_validation`); "untested", to learn from all of the list,
            without the joints of test lists unless the list is named, and then each such item says its ``test_list``
            (:mod:`bundle.io.held_back`); or "all" of the list.
        phantoms: how many phantoms there are in all; those for validation are a part of them.
        takes: radiographs of each phantom (:func:`phantom_items`).
        added_phantoms: how many phantoms are trained on beside the joints of a data set.
        validation_fraction: share of the joints for validation (:func:`split_by_joint`).
        seed: of the split and of the phantoms.
        strict: whether one unusable item refuses the list (:func:`audit`); true or false as text is understood.
        size: expected height and width in pixels; None accepts any.
        spacing: mm per pixel of entries that do not state it; 0 for what their files say.
        keep_gross: whether joints with grossly wrong masks are kept (:func:`audit`).
        segment: draws masks that are not named (:func:`audit`).

    Raises:
        InputError: see the functions named above, or an unknown role.
    """
    spacing = checked_spacing(spacing)
    if role not in ("training", "validation", "untested", "all"):
        msg = f'expected the role "training", "validation", "untested" or "all", got "{role}"'
        raise InputError(msg)
    if not dataset_dir:
        items = phantom_items(phantoms, seed, size, takes)
        whole = role in ("all", "untested")
        sides = (items, items) if whole else split_by_joint(items, validation_fraction, seed)
        return Joints(sides[role == "validation"])
    if role == "all":
        items = read_datalist(dataset_dir, datalist, spacing=spacing)
    elif role == "untested":
        items = _held_back(dataset_dir).named(_untested(dataset_dir, datalist, spacing))
    else:
        sides = training_and_validation(
            dataset_dir, datalist, validation_fraction=validation_fraction, seed=seed, spacing=spacing
        )
        items = sides[role == "validation"]
    found = audit(items, strict=flag(strict), size=size, keep_gross=keep_gross, segment=segment)
    added = phantom_items(added_phantoms, seed, size) if role == "training" and added_phantoms else []
    return Joints(found.accepted + added, found.rejected, flag(strict))


def _find_list(root: Path, datalist: str) -> Path | None:
    return next((path for path in (root / datalist, root / f"{datalist}.json") if stored(path).is_file()), None)


def find_list(root: Path, datalist: str) -> Path:
    """The file of a list, which may be named without ``.json``.

    Args:
        root: of the data set (:func:`bundle.io.files.data_set_root`).
        datalist: name of the list.

    Raises:
        InputError: there is none.
    """
    source = _find_list(root, datalist)
    if source is None:
        there = ", ".join(_lists_in(root)) or "none"
        msg = f"expected the list {datalist} in {root}, found none: set datalist to one that is there: {there}"
        raise InputError(msg)
    return source


def _lists_in(root: Path) -> list[str]:
    """Names of the files at the root that look like a JSON list."""
    return sorted(path.name for path in files_at(root) if path.suffix in ("", ".json") and _opens_a_list(path))


def _held_back(dataset_dir: str | Path) -> HeldBack:
    """What the test lists at the root of a data set keep back."""
    root, listed = data_set_root(dataset_dir), {}
    for name in _lists_in(root):
        with suppress(InputError):  # JSON of another kind
            listed[name] = [os.path.realpath(root / entry["image"]) for entry in _entries(root / name)]
    return HeldBack(listed)


def _opens_a_list(path: Path) -> bool:
    try:
        return stored(path).head(64).lstrip().startswith(b"[")
    except (OSError, InputError):
        return False


def _entries(source: Path) -> list[dict[str, Any]]:
    try:
        entries = parse_json(stored(source).read_bytes())
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        msg = f"expected a JSON list of joints, got a file that cannot be read as JSON ({error}): {source}"
        raise InputError(msg) from error
    if not isinstance(entries, list) or not entries:
        got = "an empty list" if entries == [] else type(entries).__name__
        msg = f"expected a JSON list of joints, got {got}: {source}: {_FORM}"
        raise InputError(msg)
    for row, entry in enumerate(entries):
        fault = _fault(entry)
        if fault:
            msg = f"expected joints in the list, got {fault} in entry {row}: {source}: {_FORM}"
            raise InputError(msg)
    return entries


_FORM = (
    'each entry is {"image": path, "lower": path, "upper": path} or {"image": path, "points": path}, paths relative to '
    "the folder of the list"
)


def _entries_in(root: Path) -> list[dict[str, Any]]:
    """Entries of all radiographs below a folder; of a pack the entries of its lists, each radiograph once."""
    if lists := packed_lists(root):
        packed = {entry["image"]: entry for source in lists for entry in _entries(source)}
        return [packed[image] for image in sorted(packed)]
    return entries_below(root)


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return f"{type(entry).__name__} instead of an object"
    for key in _FILES:
        if not isinstance(entry.get(key, ""), str) or (key == "image" and not entry.get(key)):
            return f'{_shown(entry.get(key))} as "{key}"'
    if entry.get("points") and any(entry.get(bone) for bone in BONES):
        return "points of a hand together with masks, which are those of a frame,"
    for key in ("joint", "item"):
        if not isinstance(entry.get(key, "given"), str) or not entry.get(key, "given").strip():
            return f'{_shown(entry[key])} as "{key}", which is a name'
    spacing = entry.get("spacing", SPACING)
    if isinstance(spacing, bool) or not isinstance(spacing, (int, float)) or not 0.0 < spacing < LARGEST_SPACING:
        return f'{_shown(spacing)} as "spacing", which is in mm per pixel'
    return None


def _shown(value: Any) -> str:
    """A value of a list for a message: numbers as they are, of texts that there is one."""
    if isinstance(value, (list, dict)):
        return type(value).__name__
    return re.sub(r"[^\W\d_]{2,}", "text", repr(value)) if isinstance(value, str) else repr(value)


def _path_below(root: Path, given: str, source: Path, row: int) -> Path:
    """The file that an entry names, with all links resolved; refuses one outside ``root``."""
    try:
        path = Path(os.path.realpath(root / given))
        inside = not os.path.isabs(given) and path != root and path.is_relative_to(root)
    except ValueError:  # a null byte or a lone surrogate
        inside = False
    if not inside:
        msg = (
            f"expected paths that stay below {root}, got {without_told(given)!r} in entry {row}, which leaves it: "
            f"{source}: give paths relative to that folder and copy the files there"
        )
        raise InputError(msg)
    return path


def _joint_names(folders: Sequence[Path], root: Path) -> list[str]:
    """The folders' own names; with those above them where different folders have the same name."""
    same = Counter(folder.name for folder in set(folders))
    return [
        folder.name if same[folder.name] == 1 else "_".join(folder.relative_to(root).parts) or root.name
        for folder in folders
    ]


def _identity(joint: str, entry: dict[str, Any]) -> dict[str, str]:
    """Joint, finger and side of an entry: as it states them, else as the joint's name does."""
    match = _JOINT_NAME.fullmatch(joint)
    finger, side = (match["finger"], match["side"]) if match else ("", "")
    named = {"finger": FINGER_CODES.get(finger, UNKNOWN), "side": SIDES.get(side, UNKNOWN)}
    return {"joint": joint, **named, **{key: entry[key] for key in named if entry.get(key) in _KNOWN[key]}}


def _unique(names: Iterable[str]) -> list[str]:
    """The names in order, with a number from 2 on where results of a joint before would have the same file names.

    The results of ``x`` and ``x_mask`` would share ``x_mask_lower.png``. File systems may ignore the case of letters.
    """
    taken: set[str] = set()
    found = []
    for name in names:
        fresh, number = name, 2
        while not taken.isdisjoint(_files_of(fresh)):
            fresh, number = f"{name}_{number}", number + 1
        taken.update(_files_of(fresh))
        found.append(fresh)
    return found


def _files_of(name: str) -> list[str]:
    return [f"{name}{ending}".casefold() for ending in RESULT_ENDINGS]


def _report(result: Audit, strict: bool) -> None:
    total = len(result.accepted) + len(result.rejected)
    summary = f"{total} joints checked, {len(result.accepted)} usable, {len(result.rejected)} rejected"
    reasons = [f"rejected {name}: {reason}" for name, reason in result.rejected]
    if not result.accepted or (strict and reasons):
        expected = "every joint" if strict else "at least one joint"
        raise InputError("\n".join([f"expected {expected} to be usable: {summary}", *reasons]))
    for line in reasons:
        _log.warning(line)
    _log.log(logging.WARNING if reasons else logging.INFO, summary)


def _partner(datalist: str) -> str | None:
    match = re.fullmatch(r"(.*)_train((?:\.json)?)", datalist)
    return f"{match[1]}_test{match[2]}" if match else None


def _folders(items: Sequence[Item]) -> set[tuple[str, str]]:
    """Each joint with the folder of its radiographs."""
    return {(str(item["joint"]), os.path.dirname(item["image"])) for item in items}


def _phantom_item(seed: int, size: int) -> Item:
    parameters = draw_parameters(seed, size=size, spacing=256 * SPACING / size)
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
