"""Contents of a bundle: its files, its metadata, and the defects that a check raises."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


class Defect(ValueError):
    """A defect of the bundle on which the zoo's checker, or a user, would stumble."""


def refuse(defects: list[str]) -> None:
    """Raise all defects as one; do nothing if there are none."""
    if defects:
        raise Defect("; ".join(defects))


def metadata(root: Path) -> dict[str, Any]:
    """Read the bundle's ``configs/metadata.json``."""
    path = root / "configs" / "metadata.json"
    if not path.is_file():
        msg = f"{path}: missing"
        raise Defect(msg)
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        msg = f"{path}: not a JSON object: {error}"
        raise Defect(msg) from error


def large_files(root: Path) -> dict[str, dict[str, str]]:
    """Read the entries of the bundle's ``large_files.yml`` (or .yaml, .json) by path; none without such a file."""
    for path in (root / f"large_files.{suffix}" for suffix in ("yml", "yaml", "json")):
        if path.is_file():
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))["large_files"]
            return {str(entry.get("path")): entry for entry in entries}
    return {}


NOT_SUBMITTED = ("bundle/reading_room/",)
"""Folders of the repository that are not submitted to the zoo: their program and requirements are not, either."""


def bundle_files(root: Path) -> Iterator[Path]:
    """Yield the files of a submission to the zoo: those git does not ignore, or without git all but hidden ones."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        yield from (root / name for name in listed if name and (root / name).is_file())
        return
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names)
