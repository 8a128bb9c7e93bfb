"""What files held when they were written, so that those that are missing or damaged are noticed and made again."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Sums = dict[str, int]
"""CRC-32 of each file, by its path below a folder."""

_CHUNK = 1 << 20


def checksum(path: Path) -> int:
    """CRC-32 of a file; raises OSError where it cannot be read."""
    total = 0
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            total = zlib.crc32(part, total)
    return total


def sums_of(folder: Path, paths: Iterable[Path]) -> Sums:
    """The sums of files below a folder, by their paths relative to it."""
    return {path.relative_to(folder).as_posix(): checksum(path) for path in sorted(paths)}


def are_whole(folder: Path, sums: Any) -> bool:
    """Whether the files that ``sums`` states (:func:`sums_of`) are all there and hold what they held.

    Args:
        folder: that their paths start from.
        sums: as it was read from a file; nothing, or what states no sums, is not whole.
    """
    if not isinstance(sums, Mapping) or not sums:
        return False
    try:
        return all(checksum(folder / name) == stated for name, stated in sums.items())
    except OSError:
        return False
