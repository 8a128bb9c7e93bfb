"""Subsets of a list: by joint, by fraction, without overlap, and never across training and test."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from bundle.errors import InputError
from bundle.io.lists import JOINT_NAME
from bundle.io.loading import Item
from tqdm import tqdm

_log = logging.getLogger("bundle.io")


def loaded(samples: Iterable[Item]) -> list[Item]:
    """Load every sample of a data set once, in this process, so that the workers of a loader share them."""
    return list(tqdm(samples, desc="loading joints", unit="joint", mininterval=0.5))


def part_of_joints(items: Sequence[Item], fraction: float, seed: int) -> list[Item]:
    """Select the items of a fraction of the joints, at least one; with one seed, smaller subsets lie in larger ones.

    Args:
        items: items with ``joint``.
        fraction: fraction of the joints, in (0, 1].
        seed: random seed for the selection.

    Raises:
        InputError: the fraction is out of range.
    """
    if not 0.0 < fraction <= 1.0:
        msg = f"{fraction} is not a fraction of the joints. Pass a number above 0 and at most 1."
        raise InputError(msg)
    joints = joint_names(items)
    names = sorted(set(joints))
    random.Random(seed).shuffle(names)
    kept = set(names[: max(round(fraction * len(names)), 1)])
    return [item for item, joint in zip(items, joints, strict=True) if joint in kept]


def repeated(samples: Sequence[Item], least: int) -> list[Item]:
    """Repeat all samples until there are at least ``least``, so that an epoch of few samples has enough steps."""
    return list(samples) * max(math.ceil(least / len(samples)), 1)


def non_overlapping(samples: Iterable[Item], epochs: int = 1) -> list[Item]:
    """Select the samples whose bones do not overlap, from which pseudo-images are made.

    Args:
        samples: samples with ``overlapping``; a data set that caches at run time is filled.
        epochs: epochs of their stage; a stage of 0 epochs, which is skipped, gets all samples.

    Raises:
        InputError: no sample remains.
    """
    found = [sample for sample in loaded(samples) if epochs == 0 or not sample["overlapping"]]
    if not found:
        msg = (
            "datalist: the bones of all joints overlap, so no pseudo-images can be made. Add other joints or skip "
            "stage 1 (--stage1_epochs 0)."
        )
        raise InputError(msg)
    return found


def split_by_joint(items: Sequence[Item], validation_fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Split items into training and validation without a common joint; the order of the items is kept.

    If all files lie in one folder, which identifies no joints, they are split by file (:func:`joint_names`).

    Args:
        items: items with ``joint``.
        validation_fraction: fraction of the joints (not of the images), in (0, 1); each side has at least one joint.
        seed: random seed; the same seed and joints give the same split.

    Raises:
        InputError: fewer than two joints, or a fraction outside (0, 1).
    """
    if not 0.0 < validation_fraction < 1.0:
        msg = f"validation_fraction: {validation_fraction} is out of range. Pass a number between 0 and 1, exclusive."
        raise InputError(msg)
    joints = joint_names(items)
    names = sorted(set(joints))
    if len(names) < 2:
        msg = (
            f"datalist: {len(names)} joints ({names}), but training and validation need at least two joints. Keep each "
            'joint in its own folder or name it by "joint" in the list.'
        )
        raise InputError(msg)
    count = min(max(round(validation_fraction * len(names)), 1), len(names) - 1)
    held_out = set(random.Random(seed).sample(names, count))
    sides: tuple[list[Item], list[Item]] = ([], [])
    for item, joint in zip(items, joints, strict=True):
        sides[joint in held_out].append(item)
    return sides


def named_by_joint(items: Sequence[Item]) -> list[Item]:
    """Set the ``joint`` of items to the one of their split (:func:`joint_names`), without a folder's path."""
    by_file = joint_names(items) != [str(item["joint"]) for item in items]
    return [{**item, "joint": item["name"]} if by_file else item for item in items]


def joint_names(items: Sequence[Item]) -> list[str]:
    """Determine the joint of each item for splits; each file is its own joint if one folder contains all files.

    A flat folder of several files would otherwise be one joint. It is one if its name is that of a joint
    (``<id>_<L|R>_<finger code>``) or the list states ``joint``.
    """
    joints = [str(item["joint"]) for item in items]
    folders = [Path(str(item.get("image", ""))).parent.name for item in items]
    if len(set(joints)) > 1 or len(items) < 2 or folders != joints or JOINT_NAME.fullmatch(joints[0]):
        return joints
    files = [str(item["image"]) for item in items]
    _log.warning(
        f"{len(set(files))} radiographs lie in one folder, {joints[0]}: each file counts as its own joint. If several "
        'files show one joint, keep each joint in its own folder or name it by "joint" in a list.'
    )
    return files
