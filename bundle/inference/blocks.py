"""Inference in blocks of a list, which the processes of an engine check, separate and measure independently.

A process holds one block at a time, so memory does not grow with the list, and no process reads more of the radiographs
than its own blocks. The output folder then holds the same results as without blocks.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bundle.base import read_json
from bundle.cluster import Engine, FolderTasks
from bundle.errors import InputError, flag
from bundle.inference.joint_table import JOINT_LINES, TABLE
from bundle.inference.overviews import write_overviews
from bundle.inference.results import QUALITY, REJECTED, LayerWriter, run_remaining
from bundle.io import Item, Joints, are_whole, named_lines, readable, replacing, storing, write_bytes, write_or_remove
from bundle.workflow import ConfigPart
from tqdm import tqdm

BLOCKS = "blocks"
"""Folder of the blocks in the output folder."""

ENTRIES, DONE = "entries.json", "done.json"
"""Files of a block: its entries of the list; the checksum of the entries, once it is finished."""

_log = logging.getLogger("bundle.inference")


class BlockSeparation:
    """Separation of one block in one process; its parts serve all blocks of the process.

    Args:
        joints: checks entries of the list and returns the joints (:func:`bundle.io.joint_items`).
        dataset: makes the data set of some joints.
        dataloader: makes the loader of a data set.
        evaluator: makes the evaluator of a loader.
        writer: writer of the results.
        overviews: whether to write overviews of hands (:func:`bundle.inference.write_overviews`).
    """

    def __init__(
        self,
        joints: Callable[..., Joints],
        dataset: Callable[..., Any],
        dataloader: Callable[..., Any],
        evaluator: Callable[..., Any],
        writer: LayerWriter,
        overviews: bool = False,
    ) -> None:
        self.joints, self.dataset, self.dataloader, self.evaluator = joints, dataset, dataloader, evaluator
        self.writer, self.overviews = writer, overviews

    def __call__(self, entries: Sequence[Item], folder: Path, run: str) -> None:
        """Write the results of a block that are missing.

        Args:
            entries: its entries of the list.
            folder: folder of its lines.
            run: fingerprint of the run.
        """
        writer = self.writer.in_block(folder, run)
        joints = self.joints(entries=entries)
        loader = self.dataloader(dataset=self.dataset(data=writer.remaining(joints)))
        run_remaining(self.evaluator(val_data_loader=loader), writer)
        if self.overviews:
            write_overviews(writer, joints)


def run_blocks(
    writer: LayerWriter,
    entries: Sequence[Item],
    engine: Engine,
    separation: ConfigPart,
    size: int = 100,
    strict: bool | str | None = None,
) -> None:
    """Write the results of a list block by block, then its tables.

    A block that is finished is not repeated while its entries, their files and its results stay the same.

    Args:
        writer: writer of the results.
        entries: entries of the list (:func:`bundle.io.list_entries`).
        engine: engine that carries out the blocks.
        separation: the :class:`BlockSeparation`, which each process builds.
        size: number of entries of a block.
        strict: refused if true, because blocks are written before the whole list is checked.

    Raises:
        InputError: ``strict`` is true, or no joint is usable.
    """
    if strict is not None and flag(strict):
        msg = "strict is true, but blocks are written before the whole list is checked. Run the job without blocks."
        raise InputError(msg)
    writer.begin()
    _distribute(entries, writer.output_dir / BLOCKS, size)
    tasks = _Tasks(writer, separation)
    for _ in tqdm(engine.run(tasks), desc="separating blocks", unit="block", total=len(tasks)):
        pass
    _merge(writer.output_dir, tasks.folders)


def _distribute(entries: Sequence[Item], folder: Path, size: int) -> None:
    """Write the entries of each block; an entry stays in its block when the list becomes longer or shorter."""
    left = {str(entry["name"]): entry for entry in entries}
    for block in _folders(folder):
        known = [str(entry["name"]) for entry in read_json(block / ENTRIES)]
        _write_entries(block, [left.pop(name) for name in known if name in left])
    added, begun = list(left.values()), len(_folders(folder))
    for number, start in enumerate(range(0, len(added), size), begun):
        _write_entries(folder / f"{number:06d}", added[start : start + size])


def _folders(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"*/{ENTRIES}"))


def _write_entries(block: Path, entries: Sequence[Item]) -> None:
    with storing(block):
        block.mkdir(parents=True, exist_ok=True)
    write_bytes(block / ENTRIES, json.dumps(entries).encode())


class _Tasks(FolderTasks):
    """The blocks of an output folder.

    Args:
        writer: writer of the results.
        separation: separation of a block.
    """

    noun, forked = "block", False

    def __init__(self, writer: LayerWriter, separation: ConfigPart) -> None:
        super().__init__(writer.output_dir)
        self.separation, self.results = separation, writer.run
        self.folders = _folders(writer.output_dir / BLOCKS)

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, row: int) -> int:
        folder = self.folders[row]
        entries = read_json(folder / ENTRIES)
        made_from = _checksum(entries)
        if not self._is_done(folder, made_from):
            self.separation.built(entries, folder, self.results)
            write_bytes(folder / DONE, json.dumps({"made_from": made_from}).encode())
        return row

    def _is_done(self, folder: Path, made_from: str) -> bool:
        """Whether a block is finished, from these entries and radiographs, and its files are intact."""
        try:
            done = read_json(folder / DONE)["made_from"] == made_from
        except (OSError, ValueError, LookupError, TypeError):  # absent or damaged: the block is repeated
            return False
        return done and all(are_whole(self.folder, line.get("files")) for line in named_lines(folder / QUALITY))


def _checksum(entries: Sequence[Item]) -> str:
    """Checksum of some entries with the sizes and times of their files."""
    files = [entry[key] for entry in entries for key in ("image", "lower", "upper", "points") if entry.get(key)]
    return f"{zlib.crc32(repr((entries, [_stamp(file) for file in files])).encode()):08x}"


def _stamp(file: str) -> tuple[int, int]:
    """Size and time of a file; zeros if there is none, which the check of the joint reports."""
    try:
        found = os.stat(file)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _merge(output: Path, folders: Sequence[Path]) -> None:
    """Join the lines of all blocks to the tables of the output folder.

    Raises:
        InputError: no joint was usable, or two joints have the same name.
    """
    for name in (QUALITY, JOINT_LINES, REJECTED, TABLE):
        _join(output / name, [folder / name for folder in folders], header=name == TABLE)
    _check_names(output)


def _join(path: Path, parts: Sequence[Path], header: bool) -> None:
    """Join files of lines, whose first lines are equal where they are a header; without lines, there is no file."""
    lines = _lines(parts, header)
    first = next(lines, None)
    if first is None:
        write_or_remove(path, "")
        return
    with replacing(path) as file:
        file.write(first)
        file.writelines(lines)


def _lines(parts: Sequence[Path], header: bool) -> Iterator[bytes]:
    begun = False
    for part in parts:
        if part.is_file():
            with readable(part), part.open("rb") as file:
                yield from islice(file, int(header and begun), None)
            begun = True


def _check_names(output: Path) -> None:
    """Refuse results without any joint, and joints of two blocks whose files have the same names."""
    names: set[str] = set()
    with readable(output / QUALITY):
        for line in (output / QUALITY).open("rb") if (output / QUALITY).is_file() else ():
            name = str(json.loads(line)["name"])
            if name in names:
                msg = f"{name}: two radiographs give a joint this name. Rename one, and pass another --output_dir."
                raise InputError(msg)
            names.add(name)
    if not names:
        msg = f"no joint is usable. See {output / REJECTED} for the reasons, and correct at least one joint."
        raise InputError(msg)
