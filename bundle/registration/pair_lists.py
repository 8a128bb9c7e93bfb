"""Pairs of radiographs of one joint."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from bundle.errors import InputError
from bundle.io import Item
from bundle.measurement import outline_gap
from bundle.registration.alignment import bone_centers
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

Rows = tuple[int, int]
"""Two rows of a list that show the same joint."""


NO_PAIR = (
    "no two radiographs show the same joint. Keep the radiographs of a joint in one folder or name the joint by "
    '"joint" in the list; name the marks of hands by finger and side. DICOM headers, folders or "patient" in the list '
    "must state the same patient."
)
"""Error of lists without a second radiograph of any joint."""


def radiographs_of_joints(items: Sequence[Item]) -> dict[tuple[str, str], list[int]]:
    """Return the rows of the radiographs of each joint, by ``series`` and patient, in the order of the list.

    Marked hands of a patient show the same joint if the marks state the same side, finger and joint, or have the same
    label in one folder (``series``, :func:`bundle.io.open_joints`).

    Args:
        items: items with ``joint``, ``series`` if it differs from it, and ``patient`` if known.
    """
    joints: dict[tuple[str, str], list[int]] = {}
    for row, item in enumerate(items):
        joints.setdefault((_series(item), str(item.get("patient", ""))), []).append(row)
    return joints


def pairs_of_joint(items: Sequence[Item], limit: int = 0, seed: int = 0) -> list[Rows]:
    """Return the rows of two different radiographs of one joint, in the order of the list.

    Radiographs of different patients never form a pair.

    Args:
        items: as in :func:`radiographs_of_joints`.
        limit: maximum number of pairs per joint, sampled; 0 means all.
        seed: random seed of the sampling, combined with the name of the joint.
    """
    found: list[Rows] = []
    for (joint, _), rows in radiographs_of_joints(items).items():
        pairs = list(itertools.combinations(rows, 2))
        if limit and len(pairs) > limit:
            pairs = sorted(random.Random(zlib.crc32(f"{seed} {joint}".encode())).sample(pairs, limit))
        found.extend(pairs)
    return found


class RadiographPairs(Dataset[dict[str, Any]]):
    """All pairs of radiographs of one joint.

    A pair is a dictionary with ``name``, ``joint``, ``finger``, ``side``; ``fixed_name`` and ``moving_name``; the fixed
    and the moving radiograph with their bone masks, ``image`` and ``moving`` (3, H, W); ``spacing`` (1,) in mm per
    pixel; the middles of the edges that face the joint, ``center`` and ``moving_center`` (2, 2) in mm from the frame's
    centre; ``masks_jsn`` (1,), the narrowing of the gap between the masks' outlines in mm, positive if the moving
    radiograph is narrower; ``alignment`` (2, 4) and ``jsn`` (1,), which are unknown: NaN.

    Args:
        samples: loaded joints, from :class:`bundle.separation.transforms.LoadJointd`; each is loaded once.
        limit: see :func:`pairs_of_joint`.
        seed: see :func:`pairs_of_joint`.

    Raises:
        InputError: there is no pair, or two radiographs of a joint differ in size or spacing.
    """

    def __init__(self, samples: Iterable[Item], limit: int = 0, seed: int = 0) -> None:
        self.samples = [with_outlines(sample) for sample in tqdm(samples, desc="loading joints", mininterval=0.5)]
        self.rows = pairs_of_joint(self.samples, limit, seed)
        if not self.rows:
            raise InputError(NO_PAIR)
        for first, second in self.rows:
            check_alike(self.samples[first], self.samples[second])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return pair_of(*(self.samples[row] for row in self.rows[index]))


def pair_of(fixed: Item, moving: Item) -> dict[str, Any]:
    """Make a pair of :class:`RadiographPairs` of two loaded joints (:func:`with_outlines`)."""
    return {
        "name": f"{fixed['name']}_{moving['name']}",
        **{name: fixed[name] for name in ("joint", "finger", "side", "spacing", "image", "center")},
        "fixed_name": fixed["name"],
        "moving_name": moving["name"],
        "moving": moving["image"],
        "moving_center": moving["center"],
        "masks_jsn": fixed["outline_gap"] - moving["outline_gap"],
        "alignment": torch.full((2, 4), torch.nan),
        "jsn": torch.full((1,), torch.nan),
    }


def _series(item: Item) -> str:
    """Return the name shared by all radiographs of one joint."""
    return str(item.get("series") or item["joint"])


def with_outlines(sample: Item) -> Item:
    """Return a loaded joint with the measurements of its masks."""
    image: Tensor = sample["image"]
    spacing = float(sample["spacing"])
    width = outline_gap(image[None, 1:], spacing).float()
    return {
        **{name: sample[name] for name in ("name", "finger", "side", "spacing", "image")},
        "patient": sample.get("patient", ""),
        "joint": _series(sample),
        "center": bone_centers(image[1:], spacing),
        "outline_gap": width,
    }


def check_alike(one: Item, other: Item) -> None:
    """Reject radiographs of one joint that differ in size or spacing."""
    if one["image"].shape != other["image"].shape or not torch.isclose(one["spacing"], other["spacing"], rtol=1e-4):
        shown = [f"{tuple(s['image'].shape[1:])} of {float(s['spacing']):.4f} mm ({s['name']})" for s in (one, other)]
        msg = f"radiographs of one joint differ in size or spacing: {shown}. Resample one of them."
        raise InputError(msg)
