"""Lists of joints: JSON files, folders in the layout of the public data, and folders without a list."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from bundle.base import REDACTION, bare_values, parse_json, tells, without_told
from bundle.errors import InputError
from bundle.io.files import data_set_root, files_at, packed_lists, stored
from bundle.io.folders import entries_below, stem
from bundle.io.identity import patient_of, private_folder, private_name, safe_name, told_by
from bundle.io.loading import SIDES, Item
from bundle.io.mark_names import UNKNOWN
from bundle.io.spacing import SPACING_OPTION, checked_spacing
from bundle.io.visits import with_visits
from bundle.io.writing import RESULT_ENDINGS
from bundle.joint import BONES, LARGEST_SPACING, MCP, Keys

JOINT_FILES = ("image", *BONES, "points")


FOLDER = "*"
"""Name of the implicit list of all radiographs below the folder."""


OR_FOLDER = f"|{FOLDER}"
"""Suffix of a list name that falls back to :data:`FOLDER` where a folder holds no list."""


_KNOWN = {"finger": [*MCP.codes.values(), UNKNOWN], "side": [*SIDES.values(), UNKNOWN]}


LONGEST_TIME = 1e6
"""Upper bound of the days of a visit in a list, exclusive."""


JOINT_NAME = re.compile(r".+_(?P<side>[LR])_(?P<finger>\d+)")


def read_datalist(dataset_dir: str | Path, datalist: str, *, spacing: float = 0.0) -> list[Item]:
    """Read a list of joints without opening the files that it names.

    Args:
        dataset_dir: root of the data set, or its pack file.
        datalist: name of the list in ``dataset_dir``, with or without ``.json``.
        spacing: mm per pixel of files that state none, unless their entry does; 0: not given.

    Returns:
        Items with a unique ``name`` (``<joint>_<file stem>``), ``joint``, ``finger``, ``side``, ``spacing`` (0 where
        the list states none), ``spacing_option`` (the argument ``spacing``), and the absolute paths
        ``image``, ``lower``, ``upper`` and ``points``, empty where absent. Finger and side are "unknown" where neither
        the joint nor the list states them. ``patient`` is a pseudonym of the PatientID in the DICOM header, else the
        list's ``patient``, its ``joint`` or the folder that holds the radiograph, except the data set's own folder;
        ``visit`` the days since the patient's first study in the list, by its ``visit`` or the Study Date. Both are
        text, empty where unknown.

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
        {key: path_below(root, entry[key], source, row) for key in JOINT_FILES if entry.get(key)}
        for row, entry in enumerate(entries)
    ]
    folders = _joint_names([path["image"].parent for path in paths], root)
    joints = [str(entry.get("joint", folder)) for entry, folder in zip(entries, folders, strict=True)]
    names = [
        safe_name(entry.get("item") or f"{joint}_{stem(path['image'])}")
        for entry, joint, path in zip(entries, joints, paths, strict=True)
    ]
    return with_visits(
        without_identity(
            [
                {
                    "name": name,
                    **_identity(joint, entry),
                    "patient": _patient(entry, joint, path["image"].parent == root),
                    "visit": entry.get("visit"),
                    "spacing": float(entry.get("spacing", 0.0)),
                    SPACING_OPTION: spacing,
                    **{key: str(path.get(key, "")) for key in JOINT_FILES},
                }
                for entry, joint, path, name in zip(entries, joints, paths, names, strict=True)
            ]
        )
    )


def without_identity(items: Sequence[Item]) -> list[Item]:
    """Return items whose names, here and in messages, reveal nothing that a header of any of them states.

    Args:
        items: items with ``name``, ``joint``, ``image``, and optionally ``patient`` and the other files.
    """
    told = told_by(item["image"] for item in items)
    REDACTION.hide_values(told)
    known = bare_values(told)
    names, joints = ([private_name(item[key], item["image"], known) for item in items] for key in ("name", "joint"))
    rows = zip(items, unique_names(names), joints, strict=True)
    found = [{**item, "name": name, "joint": joint, **_private_patient(item, known)} for item, name, joint in rows]
    stated = [(item.get(key), item["name"]) for item in found for key in JOINT_FILES]
    paths = {path: name for path, name in stated if isinstance(path, str)}
    parts = {part for path in paths for part in path.split("/")}
    telling = {part for part in parts if tells(part, known)}
    for path, name in paths.items():
        if telling.intersection(path.split("/")):
            REDACTION.hide_file(path, name)
    return found


def _private_patient(item: Item, known: Collection[str]) -> dict[str, str]:
    """The pseudonym of the patient of an item that states one."""
    if "patient" not in item:
        return {}
    return {"patient": patient_of(item["image"]) or private_name(item["patient"], item["image"], known)}


def meant_list(dataset_dir: str | Path, datalist: str) -> str:
    """Resolve the name of a list: ``NAME|*`` means the folder itself where it holds no list, else ``NAME``.

    Args:
        dataset_dir: root of the data set, or its pack file; empty for phantoms.
        datalist: name of the list; a name without ``|*`` is returned unchanged.

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
    """Find the file of a list in a data set, with or without its ending; None where it is absent."""
    return next((path for path in (root / datalist, root / f"{datalist}.json") if stored(path).is_file()), None)


def find_list(root: Path, datalist: str) -> Path:
    """Find the file of a list, which may be named without ``.json``.

    Args:
        root: root of the data set (:func:`bundle.io.files.data_set_root`).
        datalist: name of the list.

    Raises:
        InputError: the list is absent.
    """
    source = list_path(root, datalist)
    if source is None:
        there = ", ".join(lists_in(root))
        remedy = f"one of {there}" if there else f'"{FOLDER}" for all radiographs below the folder'  # noqa: B907
        msg = f"{root}: no list {datalist}. Set datalist to {remedy}."
        raise InputError(msg)
    return source


def lists_in(root: Path) -> list[str]:
    """List the names of files at the root that look like a JSON list, except marks of a radiograph beside them."""
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
    """Read the entries of a list.

    Raises:
        InputError: the list cannot be read, or an entry is invalid.
    """
    try:
        entries = parse_json(stored(source).read_bytes())
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{source}: the list cannot be read as JSON ({error}). Correct the file."
        raise InputError(msg) from error
    if not isinstance(entries, list) or not entries:
        got = "an empty list" if entries == [] else type(entries).__name__
        msg = f"{source}: {got} is not a JSON list of joints. {_FORM}"
        raise InputError(msg)
    for row, entry in enumerate(entries):
        fault = _fault(entry)
        if fault:
            msg = f"{source}: entry {row} has {fault}. {_FORM}"
            raise InputError(msg)
    return entries


_FORM = (
    'Write each entry as {"image": path, "lower": path, "upper": path} or {"image": path, "points": path}, with paths '
    "relative to the folder of the list."
)


def _entries_in(root: Path) -> list[dict[str, Any]]:
    """Entries of all radiographs below a folder; for a pack the entries of its lists, each radiograph once."""
    if lists := packed_lists(root):
        packed = {entry["image"]: entry for source in lists for entry in entries_of(source)}
        return [packed[image] for image in sorted(packed)]
    return entries_below(root)


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return f"the type {type(entry).__name__} instead of an object"
    for key in JOINT_FILES:
        if not isinstance(entry.get(key, ""), str) or (key == "image" and not entry.get(key)):
            return f'{_shown(entry.get(key))} as "{key}"'  # noqa: B907
    if entry.get("points") and any(entry.get(bone) for bone in BONES):
        return "both points, which mark the joints of a hand, and masks, which belong to one joint"
    for key in ("joint", "item", "patient"):
        if not isinstance(entry.get(key, "given"), str) or not entry.get(key, "given").strip():
            return f'{_shown(entry[key])} as "{key}", which must be a name'  # noqa: B907
    spacing = entry.get(Keys.SPACING, MCP.spacing_mm)
    if isinstance(spacing, bool) or not isinstance(spacing, (int, float)) or not 0.0 < spacing < LARGEST_SPACING:
        return f'{_shown(spacing)} as "{Keys.SPACING}", which must be mm per pixel'  # noqa: B907
    visit = entry.get("visit", 0)
    if isinstance(visit, bool) or not isinstance(visit, (int, float)) or not abs(visit) < LONGEST_TIME:
        return f'{_shown(visit)} as "visit", which must be a number of days'
    return None


def _shown(value: Any) -> str:
    """A value of a list for a message: numbers unchanged, words replaced by "text"."""
    if isinstance(value, (list, dict)):
        return type(value).__name__
    return re.sub(r"[^\W\d_]{2,}", "text", repr(value)) if isinstance(value, str) else repr(value)


def path_below(root: Path, given: str, source: Path, row: int) -> Path:
    """Resolve the path of a file that an entry of a list names, with all links.

    Args:
        root: folder of the data set, with all links resolved.
        given: path as the entry states it.
        source: list, for messages.
        row: number of the entry, for messages.

    Raises:
        InputError: the path is absolute, or leads outside the folder.
    """
    try:
        path = Path(os.path.realpath(root / given))
        inside = not os.path.isabs(given) and path != root and path.is_relative_to(root)
    except ValueError:  # a null byte or a lone surrogate
        inside = False
    if not inside:
        msg = (
            f"{source}: entry {row} names {without_told(given)!r}, which leaves {root}. Copy the files below that "
            "folder and write paths relative to it."
        )
        raise InputError(msg)
    return path


def _joint_names(folders: Sequence[Path], root: Path) -> list[str]:
    """The folders' own names; with their parents' where different folders have the same name."""
    same = Counter(folder.name for folder in set(folders))
    return [
        folder.name if same[folder.name] == 1 else "_".join(folder.relative_to(root).parts) or root.name
        for folder in folders
    ]


def _identity(joint: str, entry: dict[str, Any]) -> dict[str, str]:
    """Joint, finger and side as the entry states them, else from the joint's name."""
    match = JOINT_NAME.fullmatch(joint)
    finger, side = (match["finger"], match["side"]) if match else ("", "")
    named = {"finger": MCP.codes.get(finger, UNKNOWN), "side": SIDES.get(side, UNKNOWN)}
    return {"joint": joint, **named, **{key: entry[key] for key in named if entry.get(key) in _KNOWN[key]}}


def _patient(entry: dict[str, Any], joint: str, at_root: bool) -> str:
    """Patient of an entry without a DICOM header: the list's ``patient``, its ``joint``, or the folder.

    Radiographs at the root of a data set, and those of a pack, may be of any patient.
    """
    if "patient" in entry:
        return str(entry["patient"])
    return "" if "item" in entry or (at_root and "joint" not in entry) else joint


def unique_names(names: Iterable[str]) -> list[str]:
    """Make names unique in order: a number from 2 is added where an earlier joint's results have the same file names.

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
    """Name the test list that belongs to a training list; None for any other list."""
    match = re.fullmatch(r"(.*)_train((?:\.json)?)", datalist)
    return f"{match[1]}_test{match[2]}" if match else None
