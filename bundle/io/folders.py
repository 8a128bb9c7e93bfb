"""Radiographs of a folder without a list: all below it, with the masks and points beside them.

Output folders of runs (:func:`bundle.io.reservations.is_output`) are skipped, so that a run whose output lies inside
the data set does not read its own results.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from bundle.errors import InputError
from bundle.io.monai_reader import SUFFIXES, is_radiograph
from bundle.io.points import POINTS
from bundle.io.reservations import is_output
from bundle.joint import BONES

_MASKS = tuple(f"_mask_{bone}" for bone in BONES)


def stem(path: Path) -> str:
    """Return the name of a file without its ending; ``.nii.gz`` counts as one ending."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE) if ".nii" in path.name.lower() else path.stem


def files_below(root: Path) -> list[Path]:
    """List the files below a folder, sorted, without output folders and names that begin with a dot."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        if Path(folder) != root and is_output(folder):
            folders.clear()
        else:
            found += (Path(folder, name) for name in names if not name.startswith("."))
    return sorted(path for path in found if path.is_file())


def entries_below(root: Path) -> list[dict[str, Any]]:
    """Make the list entries of all radiographs below a folder.

    Raises:
        InputError: the folder contains no radiograph, or is itself the output of a run.
    """
    if is_output(root):
        msg = f"{root} contains the results of a run, not input. Pass the folder of the radiographs, or a list."
        raise InputError(msg)
    files = files_below(root)
    images = [path for path in files if is_radiograph(path) and not stem(path).endswith(_MASKS)]
    if not images:
        msg = f"{root}: no radiographs in this folder. Pass a folder with radiographs, or a list as datalist."
        raise InputError(msg)
    there = {str(path.relative_to(root)) for path in files}
    return [_entry_of(image.relative_to(root), there) for image in images]


def _entry_of(image: Path, there: set[str]) -> dict[str, Any]:
    """The list entry of a radiograph, from the names of the existing files."""
    begin = str(image.with_name(stem(image)))
    masks = {bone: f"{begin}_mask_{bone}" for bone in BONES}
    named = {bone: [name + ending for ending in SUFFIXES if name + ending in there] for bone, name in masks.items()}
    named["points"] = [begin + ending for ending in POINTS if begin + ending in there]
    return {"image": str(image), **{key: files[0] for key, files in named.items() if files}}
