"""Radiographs that a reader study can show: from a data set of synthetic radiographs, or from lists of joints."""

from __future__ import annotations

import math
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bundle.base import parse_json, read_json
from bundle.datasets import Source, SourceStore, decode_shard
from bundle.errors import InputError
from bundle.io import Item, load_joint
from bundle.reader_study.study_matching import Candidate
from torch import Tensor

_TRUTH, _SHARD = "truth-", "radiographs-"
_RADIOGRAPHS = ("npy.gz", "png")
"""Endings of a radiograph in a shard."""


def data_set_candidates(folder: str | Path) -> tuple[list[Candidate], list[Candidate]]:
    """Find the real and the synthetic radiographs of a data set of ``configs/jobs/synthesize.yaml``.

    Real radiographs are its source joints with a measured joint space that inference did not flag. Synthetic
    radiographs are those of its finished shards, folders or archives.

    Args:
        folder: folder of the data set.

    Raises:
        InputError: the folder is not such a data set, has no finished shard, or a file is damaged.
    """
    root = Path(folder)
    truths = sorted(root.glob(f"{_TRUTH}*.jsonl"))
    if not truths:
        msg = f"{root}: not a data set of synthetic radiographs with a finished shard. Name the output_dir of one."
        raise InputError(msg)
    synthetic = [_synthetic(root, path, row, line) for path in truths for row, line in _lines(path)]
    records = [path for path in sorted((root / "sources").glob("*.json")) if path.with_suffix(".pt").is_file()]
    store = SourceStore(root / "sources")
    real = [found for path in records if (found := _source(path, store)) is not None]
    return real, synthetic


def joint_candidates(items: Iterable[Item], joint_space_mm: Mapping[str, float | None]) -> list[Candidate]:
    """Return the real radiographs of those joints of a list whose joint space is known.

    Args:
        items: audited items (:func:`bundle.io.joint_items`).
        joint_space_mm: joint space width of the items by name, such as ``joint_space_mm`` of ``joints.csv``; None or
            absent where it is not known.
    """
    found = []
    for item in items:
        width = joint_space_mm.get(item["name"])
        if width is not None and math.isfinite(width):
            name, joint, finger = (str(item[key]) for key in ("name", "joint", "finger"))
            read = partial(_of_item, item)
            found.append(Candidate(name, joint, finger, float(width), float(item["spacing"]), read))
    return found


def _of_item(item: Item) -> Tensor:
    return load_joint(item)[:1]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        yield from enumerate(path.read_bytes().splitlines(), start=1)
    except OSError as error:
        raise _damaged(path, str(error)) from error


def _synthetic(root: Path, path: Path, row: int, line: bytes) -> Candidate:
    try:
        truth = parse_json(line)
        key, joint, finger = (_word(truth[name]) for name in ("key", "joint", "finger"))
        width, spacing = float(truth["joint_space_after_mm"]), float(truth["spacing_mm"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"line {row} is not a ground truth") from error
    shard = root / f"{_SHARD}{path.stem.removeprefix(_TRUTH)}"
    return Candidate(key, joint, finger, width, spacing, partial(_of_shard, shard, key))


def _word(value: Any) -> str:
    """A text that can name a file, without a folder."""
    if not isinstance(value, str) or not value or any(part in value for part in ("/", "\\", "\0")):
        msg = "no name"
        raise ValueError(msg)
    return value


def _of_shard(shard: Path, key: str) -> Tensor:
    """The radiograph of a key, from a folder or an archive."""
    names = [f"{key}.{ending}" for ending in _RADIOGRAPHS]
    found = _in_folder(shard, names) if shard.is_dir() else _in_archive(shard.with_name(f"{shard.name}.tar"), names)
    if found is None:
        raise _damaged(shard, f"{key} has no radiograph")
    name, data = found
    try:
        radiograph = decode_shard(name.removeprefix(f"{key}."), data)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise _damaged(shard / name, str(error)) from error
    if radiograph is None:
        raise _damaged(shard / name, "no radiograph")
    return radiograph


def _in_folder(shard: Path, names: Sequence[str]) -> tuple[str, bytes] | None:
    name = next((name for name in names if (shard / name).is_file()), None)
    return None if name is None else (name, (shard / name).read_bytes())


def _in_archive(path: Path, names: Sequence[str]) -> tuple[str, bytes] | None:
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name in names else None
                if file is not None:
                    return member.name, file.read()
    except (OSError, tarfile.TarError) as error:
        raise _damaged(path, str(error)) from error
    return None


def _source(path: Path, store: SourceStore) -> Candidate | None:
    """The real radiograph of a source joint; None if its joint space is not known or it is flagged."""
    try:
        known = dict(read_json(path))
        known.pop("files", None)
        source = Source(**known)
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path, "no record of a source joint") from error
    if source.flagged or not math.isfinite(source.width):
        return None
    read = partial(_of_store, store, path.stem)
    return Candidate(source.name, source.joint, source.finger, source.width, source.spacing_mm, read)


def _of_store(store: SourceStore, name: str) -> Tensor:
    if store.find(name) is None:
        raise _damaged(store.folder / f"{name}.pt", "missing or changed")
    return torch.as_tensor(store.image(name))


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: the data set is damaged ({reason}). Rerun the command that made it.")
