"""Checksums of written files, to detect missing or damaged files and make them again."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Sums = dict[str, int]
"""CRC-32 of each file, by its path below a folder."""

_CHUNK = 1 << 20


def checksum(path: Path) -> int:
    """Compute the CRC-32 of a file; raises OSError if it cannot be read."""
    total = 0
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            total = zlib.crc32(part, total)
    return total


def sums_of(folder: Path, paths: Iterable[Path]) -> Sums:
    """Compute the checksums of files below a folder, by their paths relative to it."""
    return {path.relative_to(folder).as_posix(): checksum(path) for path in sorted(paths)}


def are_whole(folder: Path, sums: Any) -> bool:
    """Whether all files in ``sums`` (:func:`sums_of`) exist with unchanged content.

    Args:
        folder: folder of the relative paths.
        sums: checksums as parsed from a file; an empty or invalid value gives False.
    """
    if not isinstance(sums, Mapping) or not sums:
        return False
    try:
        return all(checksum(folder / name) == stated for name, stated in sums.items())
    except (OSError, ValueError):  # a missing file or an invalid name
        return False
