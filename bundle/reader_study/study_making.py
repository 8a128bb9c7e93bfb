"""Making of a reader study: choice, images, neutral ids and key."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from bundle.errors import InputError
from bundle.io import PART, bundle_version, storing, write_bytes
from bundle.reader_study.fields import person
from bundle.reader_study.study import FORMAT, IMAGES, KEY, KINDS, STUDY, Study, find_studies, read_study
from bundle.reader_study.study_images import MAGNIFICATION, MARGIN, grid_mm, sample_offset, study_pixels, study_png
from bundle.reader_study.study_matching import CALIPER_MM, COUNT, Candidate, StudyPlan, plan_study
from numpy.typing import NDArray

_MOMENT = 315_532_800
"""Modification time of all image files: 1980-01-01 UTC."""

_SPACING_TOLERANCE = 0.01
"""Largest relative difference of pixel sizes in one study."""

_CHOICE, _CROPS = range(2)
"""Independent random streams of one seed."""


def make_study(
    folder: str | Path,
    real: Sequence[Candidate],
    synthetic: Sequence[Candidate],
    *,
    name: str = "",
    count: int = COUNT,
    seed: int = 0,
    caliper_mm: float = CALIPER_MM,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Study:
    """Make a reader study in a new folder; it appears complete or not at all.

    Args:
        folder: folder of the study, absent or empty.
        real: real radiographs (:func:`bundle.reader_study.data_set_candidates`).
        synthetic: synthetic radiographs.
        name: name of the study; default: the name of the folder.
        count: number of radiographs on each side.
        seed: random seed of the choice, of the readers' orders and, with the radiographs, of the crops and the ids.
        caliper_mm: largest difference in joint space within a pair.
        progress: called with the numbers of finished and of all images.

    Raises:
        InputError: an argument is not valid, the folder is in use, another study beside it has the name, the
            radiographs cannot be matched (:func:`bundle.reader_study.plan_study`) or read, or the disk refused.
    """
    folder = Path(folder)
    name = person(name or folder.absolute().name, "name")
    _check_free(folder, name)
    plan = plan_study(real, synthetic, count=count, seed=seed, caliper_mm=caliper_mm)
    entries = _entries(plan)
    _check_spacing([candidate for _, candidate, _ in entries])
    begun = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}{PART}")
    try:
        with storing(folder):
            (begun / IMAGES).mkdir(parents=True)
        sums, shape = _write_images(begun / IMAGES, entries, _random(plan, _CROPS), progress)
        _write_key(begun / KEY, entries)
        pixel_mm = grid_mm(plan.pairs[0][0].spacing_mm) / MAGNIFICATION
        _check_free(folder, name)  # another process may have made a study meanwhile
        write_bytes(begun / STUDY, _encoded(_described(name, plan, sums, (*shape, pixel_mm))))
        with storing(folder):
            with suppress(FileNotFoundError):
                folder.rmdir()
            begun.rename(folder)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return read_study(folder)


def _check_free(folder: Path, name: str) -> None:
    with storing(folder):
        used = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if used:
        msg = f"{folder}: the folder is in use. Choose another name for the study."
        raise InputError(msg)
    others = [each.folder for each in find_studies(folder.absolute().parent) if each.study and each.study.name == name]
    if others:
        msg = f"{others[0]}: this study is named {name} already. Choose another name."
        raise InputError(msg)


Entry = tuple[str, Candidate, int]
"""Kind, radiograph and number of the pair."""


def _entries(plan: StudyPlan) -> list[Entry]:
    """The radiographs of both sides in random order, the order of their numbers."""
    listed = [(kind, pair[side], row) for row, pair in enumerate(plan.pairs) for side, kind in enumerate(KINDS)]
    order = _random(plan, _CHOICE).permutation(len(listed))
    return [listed[row] for row in order]


def _random(plan: StudyPlan, stream: int) -> np.random.RandomState:
    """Random generator of a stream; it follows from the seed and the radiographs, so the seed alone reveals nothing."""
    radiographs = [[each.name, each.joint, each.joint_space_mm] for pair in plan.pairs for each in pair]
    digest = hashlib.sha256(json.dumps([plan.seed, stream, radiographs]).encode()).digest()
    return np.random.RandomState(np.frombuffer(digest, np.uint32))


def _identity(number: int) -> str:
    return f"image_{number:03d}"


def _check_spacing(candidates: Sequence[Candidate]) -> None:
    """Refuse frames of another pixel size: their resampling could reveal them."""
    usual = float(np.median([each.spacing_mm for each in candidates]))
    for each in candidates:
        if abs(each.spacing_mm - usual) > _SPACING_TOLERANCE * usual:
            msg = (
                f"{each.name}: pixels of {each.spacing_mm:g} mm, where others have {usual:g} mm, would reveal it. "
                "Leave it out, or use radiographs of one pixel size."
            )
            raise InputError(msg)


def _write_images(
    folder: Path, entries: Sequence[Entry], random: np.random.RandomState, progress: Callable[[int, int], None]
) -> tuple[dict[str, str], tuple[int, int]]:
    """Write the images in the order of their ids; return their checksums and their common shape."""
    sums, shapes = {}, Counter[tuple[int, int]]()
    for number, (_, candidate, _) in enumerate(entries, start=1):
        pixels = _pixels(candidate, sample_offset(random))
        shapes[pixels.shape] += 1  # type: ignore[index]
        if len(shapes) > 1:
            msg = f"{candidate.name}: a frame of another size, which would reveal it. Use frames of one size."
            raise InputError(msg)
        data = study_png(pixels)
        path = folder / f"{_identity(number)}.png"
        write_bytes(path, data)
        os.utime(path, (_MOMENT, _MOMENT))
        sums[_identity(number)] = hashlib.sha256(data).hexdigest()
        progress(number, len(entries))
    return sums, next(iter(shapes))


def _pixels(candidate: Candidate, offset: tuple[int, int]) -> NDArray[np.uint8]:
    return study_pixels(candidate.read(), candidate.spacing_mm, offset, candidate.name)


def _write_key(path: Path, entries: Sequence[Entry]) -> None:
    """Write the key so that only its owner can read it."""
    images = {
        _identity(number): {
            "kind": kind,
            "name": candidate.name,
            "joint": candidate.joint,
            "finger": candidate.finger,
            "joint_space_mm": candidate.joint_space_mm,
            "pair": pair,
        }
        for number, (kind, candidate, pair) in enumerate(entries, start=1)
    }
    with storing(path), open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(_encoded({"images": images}))


def _described(name: str, plan: StudyPlan, sums: Mapping[str, str], image: tuple[int, int, float]) -> dict[str, Any]:
    height, width, pixel_mm = image
    return {
        "format": FORMAT,
        "name": name,
        "seed": plan.seed,
        "version": bundle_version(),
        "options": {"count": len(plan.pairs), "caliper_mm": plan.caliper_mm, "margin": MARGIN},
        "matching": plan.matching(),
        "image": {"height": height, "width": width, "spacing_mm": pixel_mm, "magnification": MAGNIFICATION},
        "images": [{"id": identity, "sha256": checksum} for identity, checksum in sums.items()],
    }


def _encoded(document: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(document, indent=1, allow_nan=False)}\n".encode()
