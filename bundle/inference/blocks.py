"""Inference in blocks of a list, which the processes of an engine check, separate and measure independently.

A process holds one block at a time, so memory does not grow with the list, and no process reads more of the radiographs
than its own blocks. The output folder then holds the same results as without blocks.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.base import read_json
from bundle.cluster import Engine, FolderTasks
from bundle.errors import InputError, flag
from bundle.inference.overviews import write_overviews
from bundle.inference.results import REJECTED, LayerWriter, Results, run_remaining
from bundle.io import JOINT_FILES, Item, Joints, join_lines, named_lines, storing, write_bytes
from bundle.workflow import ConfigPart
from tqdm import tqdm

BLOCKS = "blocks"
"""Folder of the blocks in the output folder."""

ENTRIES, JOINTS, DONE = "entries.json", "joints.json", "done.json"
"""Files of a block: names of its entries; its usable joints, without paths, which may name a patient; and the checksum
of its entries, once it is finished."""

ENTRY = "entry"
"""Key of an item: name of its entry of the list."""

_NOT_KEPT = (*JOINT_FILES, "loaded", "whole")
"""Keys of an item that are not stored: paths, and cached pixels, which only the process of the block can read."""


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
        writer: Results,
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
        joints = self.joints(entries=[{**entry, ENTRY: entry["name"]} for entry in entries])
        loader = self.dataloader(dataset=self.dataset(data=writer.remaining(joints)))
        run_remaining(self.evaluator(val_data_loader=loader), writer)
        if self.overviews and isinstance(writer, LayerWriter):
            write_overviews(writer, joints)
        known = [{key: value for key, value in joint.items() if key not in _NOT_KEPT} for joint in joints]
        write_bytes(folder / JOINTS, json.dumps(known).encode())

    def has_all(self, folder: Path, run: str) -> bool:
        """Whether all results of the joints of a block exist and are intact."""
        return self.writer.in_block(folder, run).has_all(_joints_of(folder))


def run_blocks(
    writer: Results,
    entries: Sequence[Item],
    engine: Engine,
    separation: ConfigPart,
    size: int = 100,
    strict: bool | str | None = None,
) -> None:
    """Write the results of a list block by block, then the files with a line per joint.

    A block that is finished is not repeated while its entries, their files and its results stay the same.

    Args:
        writer: writer of the results.
        entries: entries of the list (:func:`bundle.io.list_entries`).
        engine: engine that carries out the blocks.
        separation: the :class:`BlockSeparation`, which each process builds.
        size: number of entries of a block.
        strict: refused if true, because blocks are written before the whole list is checked.

    Raises:
        InputError: ``strict`` is true, no joint is usable, or two joints have the same name.
    """
    if strict is not None and flag(strict):
        msg = "strict is true, but blocks are written before the whole list is checked. Run the job without blocks."
        raise InputError(msg)
    writer.begin()
    blocks = _distribute(entries, writer.output_dir / BLOCKS, size)
    tasks = _Tasks(writer, separation, blocks)
    for _ in tqdm(engine.run(tasks), desc="separating blocks", unit="block", total=len(tasks)):
        pass
    for name in writer.line_files:
        join_lines(writer.output_dir / name, [folder / name for folder in blocks], name.endswith(".csv"))
    _check_names(writer.output_dir, list(blocks))


def block_joints(writer: Results, entries: Sequence[Item]) -> Joints:
    """Return the usable joints of all finished blocks, with the rejected ones.

    Args:
        writer: writer of the results.
        entries: entries of the list.
    """
    folders, rejected = _folders(writer.output_dir / BLOCKS), named_lines(writer.output_dir / REJECTED)
    paths = {str(entry["name"]): {key: entry[key] for key in JOINT_FILES} for entry in entries}
    found = [{**joint, **paths[joint.pop(ENTRY)]} for folder in folders for joint in _joints_of(folder)]
    return Joints(found, [(line["name"], line["reason"]) for line in rejected])


def _joints_of(folder: Path) -> list[Item]:
    return list(read_json(folder / JOINTS))


def _distribute(entries: Sequence[Item], folder: Path, size: int) -> dict[Path, list[Item]]:
    """Return the entries of each block; an entry stays in its block when the list becomes longer or shorter."""
    left = {str(entry["name"]): entry for entry in entries}
    blocks = {block: [left.pop(name) for name in _names_of(block) if name in left] for block in _folders(folder)}
    added, begun = list(left.values()), len(blocks)
    for number, start in enumerate(range(0, len(added), size), begun):
        blocks[folder / f"{number:06d}"] = added[start : start + size]
    for block, some in blocks.items():
        with storing(block):
            block.mkdir(parents=True, exist_ok=True)
        write_bytes(block / ENTRIES, json.dumps([entry["name"] for entry in some]).encode())
    return blocks


def _folders(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"*/{ENTRIES}"))


def _names_of(block: Path) -> list[str]:
    return list(read_json(block / ENTRIES))


class _Tasks(FolderTasks):
    """The blocks of an output folder.

    Args:
        writer: writer of the results.
        separation: separation of a block.
        blocks: entries of the list by the folder of their block.
    """

    noun, forked = "block", False

    def __init__(self, writer: Results, separation: ConfigPart, blocks: Mapping[Path, Sequence[Item]]) -> None:
        super().__init__(writer.output_dir)
        self.separation, self.results = separation, writer.run
        self.blocks = [(folder, zlib.compress(json.dumps(entries).encode())) for folder, entries in blocks.items()]

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, row: int) -> int:
        folder, packed = self.blocks[row]
        entries = json.loads(zlib.decompress(packed))
        made_from = _checksum(entries)
        if not self._is_done(folder, made_from):
            self.separation.built(entries, folder, self.results)
            write_bytes(folder / DONE, json.dumps({"made_from": made_from}).encode())
        return row

    def _is_done(self, folder: Path, made_from: str) -> bool:
        """Whether a block is finished, from these entries and radiographs, and its results are intact."""
        try:
            done = read_json(folder / DONE)["made_from"] == made_from
            return done and bool(self.separation.built.has_all(folder, self.results))
        except (OSError, ValueError, LookupError, TypeError):  # absent or damaged: the block is repeated
            return False


def _checksum(entries: Sequence[Item]) -> str:
    """Checksum of some entries with the sizes and times of their files."""
    files = [entry[key] for entry in entries for key in JOINT_FILES if entry.get(key)]
    return f"{zlib.crc32(repr((entries, [_stamp(file) for file in files])).encode()):08x}"


def _stamp(file: str) -> tuple[int, int]:
    """Size and time of a file; zeros if there is none, which the check of the joint reports."""
    try:
        found = os.stat(file)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _check_names(output: Path, folders: Sequence[Path]) -> None:
    """Refuse results without any joint, and joints of two blocks whose files have the same names."""
    names = Counter(str(joint["name"]) for folder in folders for joint in _joints_of(folder))
    if not names:
        msg = f"no joint is usable. See {output / REJECTED} for the reasons, and correct at least one joint."
        raise InputError(msg)
    name, count = names.most_common(1)[0]
    if count > 1:
        msg = f"{name}: {count} radiographs give a joint this name. Rename them, and pass another --output_dir."
        raise InputError(msg)
