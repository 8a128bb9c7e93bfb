"""Hands of a folder with landmarks: list, split and loading."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bundle.errors import InputError
from bundle.hands.augmentation import HandPicture
from bundle.hands.landmarks import ATLAS_POINTS, Array
from bundle.hands.views import Pyramid
from bundle.io import is_radiograph, read_stated
from torch.nn import functional as F

_log = logging.getLogger("bundle.hands")

LANDMARK_TABLE = "landmarks.csv"
"""File with the landmarks of a folder of hands."""

FULL_PIXEL_MM = 0.1
"""Pixel size of the Digital Hand Atlas at full size, in mm, approximately; its files state none."""

LONGEST = 640
"""Longest side in pixels of a hand in memory for training."""

ROLES = ("training", "validation", "held_out")


def hand_items(
    dataset_dir: str | Path, role: str, seed: int = 0, held_out: float = 0.25, validation_fraction: float = 0.1
) -> list[dict[str, Any]]:
    """List the hands of a folder, split by hand.

    Args:
        dataset_dir: folder with radiographs and ``landmarks.csv``: ``name`` (file name, or its stem), ``reduction``
            (pixel size in pixels of the full size), ``x0, y0`` to ``x36, y36`` in pixels of the file.
        role: ``training``, ``validation`` or ``held_out``.
        seed: random seed of the split.
        held_out: fraction of the hands that is held out for evaluation.
        validation_fraction: fraction of the other hands for validation.

    Returns:
        ``name``, ``file``, ``points`` (24, 2) and ``pixel_mm`` of each hand.

    Raises:
        InputError: the folder, the table or a radiograph is missing, or the table is not as described.
    """
    if role not in ROLES:
        msg = f"role {role}: choose {', '.join(ROLES)}."
        raise InputError(msg)
    items = sorted(_listed(Path(dataset_dir)), key=lambda item: str(item["name"]))
    order = np.random.default_rng(seed).permutation(len(items))
    held = round(held_out * len(items))
    validation = held + max(1, round(validation_fraction * (len(items) - held)))
    chosen = {"held_out": order[:held], "validation": order[held:validation], "training": order[validation:]}[role]
    return [items[index] for index in sorted(chosen)]


def _listed(folder: Path) -> list[dict[str, Any]]:
    table = folder / LANDMARK_TABLE
    if not table.is_file():
        msg = f"{table}: no such file. Pass --dataset_dir FOLDER with hand radiographs and their landmarks."
        raise InputError(msg)
    columns = [f"{axis}{number}" for number in ATLAS_POINTS for axis in "xy"]
    try:
        rows = pd.read_csv(table, dtype={"name": str})
        points = rows[columns].to_numpy(float).reshape(len(rows), -1, 2)
        names, reductions = rows["name"].tolist(), rows["reduction"].to_numpy(float)
    except (ValueError, KeyError) as error:
        msg = f"{table}: not a table of landmarks ({error}). It needs name, reduction and x0, y0 to x36, y36."
        raise InputError(msg) from error
    if not (np.isfinite(points).all() and (reductions > 0).all()):
        msg = f"{table}: a landmark or a reduction is not a positive number. Correct the table."
        raise InputError(msg)
    return [
        {
            "name": name,
            "joint": name,
            "file": str(_file(folder, name)),
            "points": own,
            "pixel_mm": FULL_PIXEL_MM * reduction,
        }
        for name, own, reduction in zip(names, points, reductions, strict=True)
    ]


def _file(folder: Path, name: str) -> Path:
    found = [folder / name] if (folder / name).is_file() else sorted(folder.glob(f"{name}.*"))
    radiographs = [path for path in found if is_radiograph(path)]
    if not radiographs:
        msg = f"{folder / name}: no such radiograph, but {LANDMARK_TABLE} names it. Add the file or remove the line."
        raise InputError(msg)
    return radiographs[0]


def load_hand(item: dict[str, Any], longest: int = LONGEST) -> HandPicture:
    """Load a hand with its longest side reduced to ``longest`` pixels, to [0, 1]."""
    image = torch.as_tensor(read_stated(item["file"]).intensity, dtype=torch.float32)[None]
    scale = min(1.0, longest / max(image.shape[-2:]))
    size = [round(scale * length) for length in image.shape[-2:]]
    factor: Array = np.array([size[1] / image.shape[-1], size[0] / image.shape[-2]])
    small = F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    return HandPicture(item["name"], Pyramid(small), (item["points"] + 0.5) * factor - 0.5)


def loaded_hands(
    items: list[dict[str, Any]], longest: int = LONGEST, strict: bool = False
) -> list[dict[str, HandPicture]]:
    """Load hands into memory, as samples with the key ``hand``.

    Args:
        items: items of :func:`hand_items`.
        longest: longest side in memory in pixels.
        strict: whether an unreadable radiograph is an error; otherwise it is logged and left out.

    Raises:
        InputError: no radiograph, or with ``strict`` any of them, cannot be read.
    """
    hands, message = [], ""
    for item in items:
        try:
            hands.append({"hand": load_hand(item, longest)})
        except InputError as error:
            if strict:
                raise
            message = str(error)
            _log.warning(f"Left out: {message}")
    if not hands:
        raise InputError(message or "no hands are left. Pass a folder with more of them.")
    return hands
