"""Files of lines that several processes write, joined to one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from bundle.io.writing import readable, replacing, write_or_remove


def join_lines(path: str | Path, parts: Sequence[Path], header: bool = False) -> None:
    """Join files of lines in order, line by line; without any line, the joined file is removed.

    Args:
        path: joined file.
        parts: files to join; absent ones have no lines.
        header: whether the first line of each part is the same header.

    Raises:
        InputError: the operating system refused.
    """
    lines = _lines(parts, header)
    first = next(lines, None)
    if first is None:
        write_or_remove(path, "")
        return
    with replacing(path) as file:
        file.write(first)
        file.writelines(lines)


def _lines(parts: Sequence[Path], header: bool) -> Iterator[bytes]:
    skipped = 0
    for part in parts:
        if part.is_file():
            with readable(part), part.open("rb") as file:
                yield from islice(file, skipped, None)
            skipped = int(header)
