"""Hands of a folder with landmarks: list, split and loading."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.errors import InputError
from bundle.hands.augmentation import HandPicture
from bundle.hands.finder import SMALLEST
from bundle.hands.landmarks import ATLAS_POINTS, Array
from bundle.hands.views import Pyramid
from bundle.io import data_set_root, is_radiograph, numbers_of, path_below, read_stated, read_table, without_identity
from torch import Tensor
from torch.nn import functional as F

_log = logging.getLogger("bundle.hands")

LANDMARK_TABLE = "landmarks.csv"
"""File with the landmarks of a folder of hands."""

FULL_PIXEL_MM = 0.1
"""Approximate pixel size of the Digital Hand Atlas at full size, in mm; its files state none."""

LONGEST = 640
"""Longest side in pixels of a hand in memory for training."""

FARTHEST = 1.0
"""Largest distance of a landmark from the centre of its radiograph, relative to the width and height."""

ROLES = ("training", "validation", "held_out")


def hand_items(
    dataset_dir: str | Path, role: str, seed: int = 0, held_out: float = 0.25, validation_fraction: float = 0.1
) -> list[dict[str, Any]]:
    """List the hands of a folder, split by hand.

    Args:
        dataset_dir: folder with radiographs and ``landmarks.csv``: ``name`` (file name, or its stem), ``reduction``
            (pixel size in pixels of the full-size radiograph), ``x0, y0`` to ``x36, y36`` in pixels of the file.
        role: ``training``, ``validation`` or ``held_out``.
        seed: random seed of the split.
        held_out: fraction of the hands that is held out for evaluation.
        validation_fraction: fraction of the other hands for validation.

    Returns:
        ``name``, without identity, ``image``, ``points`` (24, 2) and ``pixel_mm`` of each hand.

    Raises:
        InputError: the folder, the table or a radiograph is missing, or the table is not as described.
    """
    if role not in ROLES:
        msg = f"role {role}: choose {', '.join(ROLES)}."
        raise InputError(msg)
    items = without_identity(sorted(_listed(data_set_root(dataset_dir)), key=lambda item: str(item["name"])))
    order = np.random.default_rng(seed).permutation(len(items))
    held = round(held_out * len(items))
    validation = held + max(1, round(validation_fraction * (len(items) - held)))
    chosen = {"held_out": order[:held], "validation": order[held:validation], "training": order[validation:]}[role]
    return [items[index] for index in sorted(chosen)]


def _listed(folder: Path) -> list[dict[str, Any]]:
    """Items of the hands of a table, with the names as written."""
    table = folder / LANDMARK_TABLE
    if not table.is_file():
        msg = f"{table}: no such file. Pass --dataset_dir FOLDER with hand radiographs and their landmarks."
        raise InputError(msg)
    columns = [f"{axis}{number}" for number in ATLAS_POINTS for axis in "xy"]
    rows = read_table(table, ("name", "reduction", *columns))
    points = np.array(numbers_of(rows, columns, table)).reshape(len(rows), len(ATLAS_POINTS), 2)
    reductions = np.array(numbers_of(rows, ["reduction"], table)).reshape(len(rows))
    _check_numbers(table, points, reductions)
    names = [row["name"] for row in rows]
    files = _files(folder, table, names)
    return [
        {"name": name, "joint": name, "image": str(file), "points": own, "pixel_mm": FULL_PIXEL_MM * reduction}
        for name, file, own, reduction in zip(names, files, points, reductions, strict=True)
    ]


def _check_numbers(table: Path, points: Array, reductions: Array) -> None:
    """Reject landmarks (N, 24, 2) and reductions (N,) that do not describe a hand."""
    if not (np.isfinite(points).all() and np.isfinite(reductions).all() and (reductions > 0).all()):
        msg = f"{table}: a landmark is not a finite number, or a reduction not a positive one. Correct the table."
        raise InputError(msg)
    same = [number for number, own in enumerate(points) if not np.ptp(own, axis=0).all()]
    if same:
        msg = f"{table}: the landmarks of entry {same[0]} lie on a line. Correct the table."
        raise InputError(msg)


def _files(folder: Path, table: Path, names: Sequence[str]) -> list[Path]:
    """The radiographs of a table, each once and below the folder."""
    files = [_file(folder, table, name, row) for row, name in enumerate(names)]
    twice = [row for row, file in enumerate(files) if file in files[:row]]
    if twice:
        msg = f"{table}: entry {twice[0]} names the same radiograph as another entry. Keep one entry for each."
        raise InputError(msg)
    return files


def _file(folder: Path, table: Path, name: str, row: int) -> Path:
    path = path_below(folder, name, table, row)
    found = [path] if path.is_file() else _with_stem(path)
    radiographs = [path for path in found if is_radiograph(path)]
    if not radiographs:
        msg = f"{folder / name}: no such radiograph, but {LANDMARK_TABLE} names it. Add the file or remove the line."
        raise InputError(msg)
    return radiographs[0]


def _with_stem(path: Path) -> list[Path]:
    """Regular files that begin with a name and a dot, sorted."""
    names = sorted(path.parent.glob("*.*")) if path.parent.is_dir() else []
    return [file for file in names if file.name.startswith(f"{path.name}.") and file.is_file()]


def read_hand(item: Mapping[str, Any]) -> Tensor:
    """Read the radiograph of an item of :func:`hand_items`, (1, H, W).

    Raises:
        InputError: it cannot be read, is too small, or its landmarks lie far outside.
    """
    image = torch.as_tensor(read_stated(item["image"]).intensity, dtype=torch.float32)[None]
    height, width = image.shape[-2:]
    if min(height, width) < SMALLEST:
        msg = f"{item['image']}: {width} x {height} pixels. Both sides need at least {SMALLEST}."
        raise InputError(msg)
    if not (np.abs(item["points"] / [width, height] - 0.5) <= FARTHEST).all():
        msg = f"{item['image']}: its landmarks lie far outside of {width} x {height} pixels. Correct {LANDMARK_TABLE}."
        raise InputError(msg)
    return image


def load_hand(item: dict[str, Any], longest: int = LONGEST) -> HandPicture:
    """Load a hand in [0, 1], its longest side reduced to ``longest`` pixels; raises as :func:`read_hand`."""
    image = read_hand(item)
    scale = min(1.0, longest / max(image.shape[-2:]))
    size = [max(round(scale * length), 1) for length in image.shape[-2:]]
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
        raise InputError(message or "no hands are left. Pass a folder with more hands.")
    return hands
