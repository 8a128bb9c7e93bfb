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


def pairs_of_joint(items: Sequence[Item], limit: int = 0, seed: int = 0) -> list[Rows]:
    """Return the rows of two different radiographs of one joint, in the order of the list.

    Two hands in one folder, or with the same ``joint`` in the list, show the same joint if their sides are equal and
    their marks have the same label (``series``, :func:`bundle.io.open_joints`). Radiographs whose DICOM headers state
    different patients never form a pair.

    Args:
        items: items with ``joint``, ``series`` if it differs from it, and ``patient`` if stated.
        limit: maximum number of pairs per joint, sampled; 0 means all.
        seed: random seed of the sampling, combined with the name of the joint.
    """
    joints: dict[tuple[str, str], list[int]] = {}
    for row, item in enumerate(items):
        joints.setdefault((_series(item), str(item.get("patient", ""))), []).append(row)
    found: list[Rows] = []
    for (joint, _), rows in joints.items():
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
    centre; ``masks_jsn`` (1,), the narrowing of the gap between the masks' outlines in mm, positive if the moving radiograph
    is narrower; ``alignment`` (2, 4) and ``jsn`` (1,), which are unknown: NaN.

    Args:
        samples: loaded joints, from :class:`bundle.separation.transforms.LoadJointd`; each is loaded once.
        limit: see :func:`pairs_of_joint`.
        seed: see :func:`pairs_of_joint`.

    Raises:
        InputError: there is no pair, or two radiographs of a joint differ in size or spacing.
    """

    def __init__(self, samples: Iterable[Item], limit: int = 0, seed: int = 0) -> None:
        self.samples = [_known(sample) for sample in tqdm(samples, desc="loading joints", mininterval=0.5)]
        self.rows = pairs_of_joint(self.samples, limit, seed)
        if not self.rows:
            msg = (
                "no two radiographs show the same joint. Keep the radiographs of a joint in one folder or name the "
                'joint by "joint" in the list; mark a joint by the same label in all hands of a patient; DICOM files '
                "of a joint must state the same patient."
            )
            raise InputError(msg)
        for first, second in self.rows:
            _check_alike(self.samples[first], self.samples[second])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        fixed, moving = (self.samples[row] for row in self.rows[index])
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


def _known(sample: Item) -> Item:
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


def _check_alike(one: Item, other: Item) -> None:
    if one["image"].shape != other["image"].shape or not torch.isclose(one["spacing"], other["spacing"], rtol=1e-4):
        shown = [f"{tuple(s['image'].shape[1:])} of {float(s['spacing']):.4f} mm ({s['name']})" for s in (one, other)]
        msg = f"radiographs of one joint differ in size or spacing: {shown}. Resample one of them."
        raise InputError(msg)
