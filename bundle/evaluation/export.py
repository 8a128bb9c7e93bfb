"""Export of the radiographs of a set for other separators."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.errors import InputError
from bundle.evaluation.evaluation import Task, needed_sets
from bundle.evaluation.sets import JointSet, as_a_file_holds
from bundle.io import Item, fingerprint, reserve_output, write_bytes, write_layers, write_masks
from torch import Tensor
from tqdm import tqdm

EXPORTED = "evaluation.json"
"""Name of the list of exported joints."""


def export_joints(
    output_dir: str,
    sets: Mapping[str, JointSet],
    tasks: Mapping[str, Task],
    measures: Sequence[str] | str,
    settings: Mapping[str, Any],
) -> Path:
    """Write the joints that measures need for separation by other programs: 32-bit NIfTI, masks as PNG, and a list.

    The entries of the list ``evaluation.json`` include the ``name`` under which :class:`LayersFolder` looks for the
    layers, the same name that inference uses.

    Args:
        output_dir: output folder; refused if it holds something else.
        sets: sets by name, each exported to its own folder.
        tasks: all measures by name.
        measures: names of the measures to export for, a list or a single one.
        settings: settings of the run, which identify it.

    Returns:
        Path of the list.

    Raises:
        InputError: a list is unusable, a measure is unknown, two joints have one name, or the folder is refused.
    """
    files = {id(sets[name].read_from) for name in needed_sets(tasks, measures)}
    needed = {name: joints for name, joints in sets.items() if id(joints) in files}
    _check_unique([item["name"] for joints in needed.values() for item in joints.items])
    folder = reserve_output(output_dir, fingerprint({"results": "exported joints", "sets": list(needed), **settings}))
    entries = [
        _export(folder, name, item, joints.load(item)["image"])
        for name, joints in needed.items()
        for item in tqdm(joints.items, desc=f"exporting {name}", unit="joint", mininterval=0.5)
    ]
    write_bytes(folder / EXPORTED, json.dumps(entries, indent=1).encode())
    return folder / EXPORTED


def _check_unique(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"more than one joint has the name {', '.join(twice[:5])}. Rename their folders."
        raise InputError(msg)


def _export(folder: Path, group: str, item: Item, image: Tensor) -> dict[str, Any]:
    """Write a joint to the path that gives it its own name when read: ``<joint>_<file's stem>``."""
    name, joint = str(item["name"]), str(item["joint"])
    stem = name.removeprefix(f"{joint}_")
    if stem == name:
        joint, _, stem = name.rpartition("_")
    place = folder / group / joint
    place.mkdir(parents=True, exist_ok=True)
    held = as_a_file_holds(image)
    write_layers(place / f"{stem}.nii.gz", held[:1], float(item["spacing"]))
    write_masks(place, stem, held[1:])
    files = {"image": f"{stem}.nii.gz", "lower": f"{stem}_mask_lower.png", "upper": f"{stem}_mask_upper.png"}
    paths = {key: f"{group}/{joint}/{file}" for key, file in files.items()}
    return {"name": name, **paths, "joint": joint, "spacing": float(item["spacing"])}
