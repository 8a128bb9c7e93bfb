"""Parts of a list: by joint, by share, without overlap, and never across training and test."""

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
    """The samples of a data set, each loaded once, here, so that the workers of a loader share them."""
    return list(tqdm(samples, desc="loading joints", unit="joint", mininterval=0.5))


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


def named_by_joint(items: Sequence[Item]) -> list[Item]:
    """Items whose ``joint`` is the one that they are divided by (:func:`joint_names`), without a folder's path."""
    by_file = joint_names(items) != [str(item["joint"]) for item in items]
    return [{**item, "joint": item["name"]} if by_file else item for item in items]


def joint_names(items: Sequence[Item]) -> list[str]:
    """The joint of each item, to divide items by; that of a file of its own where one folder holds all of them.

    A flat folder of several files would otherwise be one joint. It is one where its name is that of a joint
    (``<id>_<L|R>_<finger code>``) or the list states ``joint``.
    """
    joints = [str(item["joint"]) for item in items]
    folders = [Path(str(item.get("image", ""))).parent.name for item in items]
    if len(set(joints)) > 1 or len(items) < 2 or folders != joints or JOINT_NAME.fullmatch(joints[0]):
        return joints
    files = [str(item["image"]) for item in items]
    _log.warning(
        f"{len(set(files))} radiographs lie in the one folder {joints[0]}: each file counts as a joint of its own. If "
        'files show the same joint, keep each joint in its own folder or name it by "joint" in a list.'
    )
    return files
