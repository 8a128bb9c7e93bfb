"""Lists of joints: JSON files, folders in the layout of the public data, and folders without a list."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bundle.base import REDACTION, bare_values, parse_json, tells, without_told
from bundle.errors import InputError
from bundle.io.files import data_set_root, files_at, packed_lists, stored
from bundle.io.folders import entries_below, stem
from bundle.io.identity import private_folder, private_name, safe_name, told_by
from bundle.io.loading import LARGEST_SPACING, SIDES, UNKNOWN, Item, checked_spacing
from bundle.io.writing import RESULT_ENDINGS
from bundle.joint import BONES, MCP

JOINT_FILES = ("image", *BONES, "points")


FOLDER = "*"
"""The name of a list that is not written: all radiographs below the folder."""


OR_FOLDER = f"|{FOLDER}"
"""End of the name of a list that stands for :data:`FOLDER` where a folder holds no list."""


_KNOWN = {"finger": [*MCP.codes.values(), UNKNOWN], "side": [*SIDES.values(), UNKNOWN]}


JOINT_NAME = re.compile(r".+_(?P<side>[LR])_(?P<finger>\d+)")


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
    entries = _entries_in(root) if datalist == FOLDER else entries_of(source)
    paths = [
        {key: _path_below(root, entry[key], source, row) for key in JOINT_FILES if entry.get(key)}
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
                **{key: str(path.get(key, "")) for key in JOINT_FILES},
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
    rows = zip(items, unique_names(names), joints, strict=True)
    found = [{**item, "name": name, "joint": joint} for item, name, joint in rows]
    paths = {item[key]: item["name"] for item in found for key in JOINT_FILES}
    parts = {part for path in paths for part in path.split("/")}
    telling = {part for part in parts if tells(part, known)}
    for path, name in paths.items():
        if telling.intersection(path.split("/")):
            REDACTION.hide_file(path, name)
    return found


def meant_list(dataset_dir: str | Path, datalist: str) -> str:
    """Name of the list that is meant: of ``NAME|*`` the folder itself where there is no list in it, else ``NAME``.

    Args:
        dataset_dir: root of the data set, or the file of its pack; empty for phantoms.
        datalist: name of the list; one without ``|*`` is meant as it stands.

    Raises:
        InputError: the folder is missing, or the pack cannot be used.
    """
    if not datalist.endswith(OR_FOLDER):
        return datalist
    name = datalist.removesuffix(OR_FOLDER)
    if not dataset_dir:
        return name
    root = data_set_root(dataset_dir)
    return name if list_path(root, name) or lists_in(root) else FOLDER


def list_path(root: Path, datalist: str) -> Path | None:
    """The file of a list in a data set, with or without its ending; None where there is none."""
    return next((path for path in (root / datalist, root / f"{datalist}.json") if stored(path).is_file()), None)


def find_list(root: Path, datalist: str) -> Path:
    """The file of a list, which may be named without ``.json``.

    Args:
        root: of the data set (:func:`bundle.io.files.data_set_root`).
        datalist: name of the list.

    Raises:
        InputError: there is none.
    """
    source = list_path(root, datalist)
    if source is None:
        there = ", ".join(lists_in(root))
        remedy = f"to one that is there: {there}" if there else f'to "{FOLDER}" for all radiographs below the folder'
        msg = f"expected the list {datalist} in {root}, found none: set datalist {remedy}"
        raise InputError(msg)
    return source


def lists_in(root: Path) -> list[str]:
    """Names of the files at the root that look like a JSON list, but for marks of the radiograph beside them."""
    files = files_at(root)
    beside = {stem(path) for path in files if path.suffix not in ("", ".json")}
    candidates = [path for path in files if path.suffix == "" or (path.suffix == ".json" and path.stem not in beside)]
    return sorted(path.name for path in candidates if _opens_a_list(path))


def _opens_a_list(path: Path) -> bool:
    try:
        return stored(path).head(64).lstrip().startswith(b"[")
    except (OSError, InputError):
        return False


def entries_of(source: Path) -> list[dict[str, Any]]:
    """The entries of a list.

    Raises:
        InputError: it cannot be read, or an entry is none.
    """
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
        packed = {entry["image"]: entry for source in lists for entry in entries_of(source)}
        return [packed[image] for image in sorted(packed)]
    return entries_below(root)


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return f"{type(entry).__name__} instead of an object"
    for key in JOINT_FILES:
        if not isinstance(entry.get(key, ""), str) or (key == "image" and not entry.get(key)):
            return f'{_shown(entry.get(key))} as "{key}"'  # noqa: B907
    if entry.get("points") and any(entry.get(bone) for bone in BONES):
        return "points of a hand together with masks, which are those of a frame,"
    for key in ("joint", "item"):
        if not isinstance(entry.get(key, "given"), str) or not entry.get(key, "given").strip():
            return f'{_shown(entry[key])} as "{key}", which is a name'  # noqa: B907
    spacing = entry.get("spacing", MCP.spacing_mm)
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
    match = JOINT_NAME.fullmatch(joint)
    finger, side = (match["finger"], match["side"]) if match else ("", "")
    named = {"finger": MCP.codes.get(finger, UNKNOWN), "side": SIDES.get(side, UNKNOWN)}
    return {"joint": joint, **named, **{key: entry[key] for key in named if entry.get(key) in _KNOWN[key]}}


def unique_names(names: Iterable[str]) -> list[str]:
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


def partner_of(datalist: str) -> str | None:
    """Name of the test list that belongs to a training list; None of another list."""
    match = re.fullmatch(r"(.*)_train((?:\.json)?)", datalist)
    return f"{match[1]}_test{match[2]}" if match else None
