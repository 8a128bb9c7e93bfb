"""Measure the repetition in the configurations; exit code 1 above ``--most`` percent.

A line is repeated if it lies in a run of six or more equal lines that also occurs elsewhere, in another file or in the
same one. Comments, blank lines and indentation are ignored; ``metadata.json`` is not a configuration.

    python scripts/repeated_lines.py [FOLDER] [--most PERCENT] [--shown PAIRS]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

RUN = 6
"""Length of the shortest counted run, in lines."""

SUFFIXES = (".json", ".yaml", ".yml")
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
_COMMENT = re.compile(r"""^((?:[^"'#]|"[^"]*"|'[^']*'|(?<!\s)#)*?)(?:(?:^|\s)#.*)?$""")


class Line(NamedTuple):
    """A counted line of a file: its number from 1, and its text."""

    number: int
    text: str


class Block(NamedTuple):
    """Equal lines in two places: the files, the numbers of the first and last lines, and the number of lines."""

    first: str
    second: str
    first_lines: tuple[int, int]
    second_lines: tuple[int, int]
    length: int

    def __str__(self) -> str:
        places = ((self.first, self.first_lines), (self.second, self.second_lines))
        return " = ".join(f"{file}:{start}-{end}" for file, (start, end) in places)


Place = tuple[str, int]
"""A file, and the index in it of the first line of a run."""


def counted_lines(text: str, comments: bool = True) -> list[Line]:
    """Return the counted lines of a configuration.

    Args:
        text: content of the file.
        comments: whether ``#`` after white space starts a comment, as in YAML but not in JSON.
    """
    stripped = (_without_comment(line).strip() if comments else line.strip() for line in text.splitlines())
    return [Line(number, line) for number, line in enumerate(stripped, 1) if line]


def _without_comment(line: str) -> str:
    match = _COMMENT.match(line)
    return match[1] if match else line


def read_configs(folder: Path) -> dict[str, list[Line]]:
    """Return the counted lines of every configuration below a folder, by its relative path."""
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES and path.name != "metadata.json"]
    return {
        path.relative_to(folder).as_posix(): counted_lines(path.read_text(encoding="utf-8"), path.suffix != ".json")
        for path in paths
    }


def shared_runs(files: Mapping[str, Sequence[Line]]) -> list[list[Place]]:
    """Return the places of equal runs of :data:`RUN` lines."""
    places = defaultdict(list)
    for name, lines in files.items():
        for start in range(len(lines) - RUN + 1):
            places[tuple(line.text for line in lines[start : start + RUN])].append((name, start))
    return [found for found in places.values() if len(found) > 1]


def _apart(one: Place, other: Place) -> bool:
    """Whether the runs at two places have no line in common."""
    return one[0] != other[0] or abs(one[1] - other[1]) >= RUN


def repeated_lines(files: Mapping[str, Sequence[Line]]) -> set[Place]:
    """Return each line, by its file and index, that lies in a repeated run."""
    starts = {one for places in shared_runs(files) for one in places if any(_apart(one, other) for other in places)}
    return {(name, start + offset) for name, start in starts for offset in range(RUN)}


def repeated_blocks(files: Mapping[str, Sequence[Line]]) -> list[Block]:
    """Return the longest equal blocks of two places, the longest first."""
    diagonals = defaultdict(list)
    for places in shared_runs(files):
        for one, other in combinations(places, 2):
            if _apart(one, other):
                diagonals[one[0], other[0], other[1] - one[1]].append(one[1])
    blocks = [
        _block(files, first, second, start, shift, length)
        for (first, second, shift), starts in diagonals.items()
        for start, length in _stretches(sorted(starts))
    ]
    return sorted(blocks, key=lambda block: (-block.length, block))


def _stretches(starts: Sequence[int]) -> list[tuple[int, int]]:
    """Return first index and length in lines of each stretch of runs at consecutive places."""
    firsts = [start for start in starts if start - 1 not in starts]
    lasts = [start for start in starts if start + 1 not in starts]
    return [(first, last - first + RUN) for first, last in zip(firsts, lasts, strict=True)]


def _block(files: Mapping[str, Sequence[Line]], first: str, second: str, start: int, shift: int, length: int) -> Block:
    ends = (start, start + length - 1)
    first_lines, second_lines = (
        (files[name][ends[0] + by].number, files[name][ends[1] + by].number)
        for name, by in ((first, 0), (second, shift))
    )
    return Block(first, second, first_lines, second_lines, length)


def worst_pairs(blocks: Sequence[Block]) -> list[tuple[int, list[Block]]]:
    """Return the blocks of each pair of files with their total number of lines, the most lines first."""
    pairs = defaultdict(list)
    for block in blocks:
        pairs[block.first, block.second].append(block)
    summed = ((sum(block.length for block in found), found) for found in pairs.values())
    return sorted(summed, key=lambda pair: -pair[0])


def main() -> int:
    """Read the command line and report; the exit code is 1 above ``--most`` percent of repeated lines."""
    parser = argparse.ArgumentParser(description="Measure the repetition in the configurations.")
    parser.add_argument("folder", nargs="?", type=Path, default=CONFIGS, help="folder of the configurations")
    parser.add_argument("--most", type=float, default=5.0, help="largest accepted percentage of repeated lines")
    parser.add_argument("--shown", type=int, default=10, help="number of file pairs shown")
    arguments = parser.parse_args()
    files = read_configs(arguments.folder)
    total, repeated = sum(map(len, files.values())), len(repeated_lines(files))
    if not total:
        parser.error(f"no configurations in {arguments.folder}")
    for length, blocks in worst_pairs(repeated_blocks(files))[: arguments.shown]:
        print(f"{length:4} lines: {', '.join(map(str, blocks))}")
    share = 100.0 * repeated / total
    print(f"{share:.1f} % of {total} lines lie in runs of {RUN} or more that also occur elsewhere ({repeated} lines)")
    return int(share > arguments.most)


if __name__ == "__main__":
    sys.exit(main())
