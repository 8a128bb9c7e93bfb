"""Reader studies on disk: real and synthetic radiographs that readers tell apart (visual Turing test, LSN section 3.4).

A study is a folder::

    study.json      name, seed, options, ids and checksums of the images: all that readers need
    images/<id>.png radiographs under neutral ids, in random order
    key.json        the answers; only its owner may read it, and no page serves it
    answers.jsonl   answers of the readers (:class:`bundle.reader_study.ReadingLog`)
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from bundle.base import read_json
from bundle.errors import InputError
from bundle.io import not_read, readable
from bundle.reader_study.fields import LONGEST_SECONDS, choice, fields_of, number, person, shown, spelling, text, whole
from bundle.reader_study.measuring import session_random
from bundle.reader_study.readings import ReadingLog, Record

STUDY, KEY, IMAGES, ANSWERS = "study.json", "key.json", "images", "answers.jsonl"
STUDIES = "studies"
"""Usual name of a folder of studies."""

FORMAT = 1
"""Version of the files."""

REAL, SYNTHETIC = "real", "synthetic"

KINDS = (REAL, SYNTHETIC)
"""Kinds of radiographs, and the answers."""

SUREST = 5
"""Highest confidence; the lowest is 1."""

_IDENTITY = re.compile(r"image_\d{3,6}")
_SUM = re.compile(r"[0-9a-f]{64}")
_FIELDS = ("reader", "image", "answer", "confidence", "seconds")


@dataclass(frozen=True)
class Study:
    """A reader study.

    Attributes:
        folder: its folder.
        name: its name.
        seed: random seed of the choice, of the crops, the ids and the readers' orders.
        version: version of the bundle that made it.
        images: ids of the images.
        options: ``count`` of each side, ``caliper_mm``.
        matching: how well both sides match (:meth:`bundle.reader_study.StudyPlan.matching`).
        image: ``height`` and ``width`` in pixels, and the pixel size ``spacing_mm``.
    """

    folder: Path
    name: str
    seed: int
    version: str
    images: Sequence[str]
    options: Mapping[str, Any]
    matching: Mapping[str, Any]
    image: Mapping[str, Any]
    sums: Mapping[str, str] = field(repr=False)

    def image_path(self, identity: str) -> Path:
        """Return the path of an image.

        Raises:
            InputError: the study has no such image.
        """
        return self.folder / IMAGES / f"{self._known(identity)}.png"

    def read_image(self, identity: str) -> bytes:
        """Return an image as a PNG.

        Raises:
            InputError: the study has no such image, or it is missing or changed.
        """
        path = self.image_path(identity)
        _check_file(path, self.sums[identity])
        with readable(path):
            return path.read_bytes()

    def spelling(self, reader: str) -> str:
        """Return the name of a reader as the log has it, in which case, width and spaces may differ."""
        return spelling(reader, _readers(self.log.effective()))

    def _known(self, identity: Any) -> str:
        if not isinstance(identity, str) or identity not in self.sums:
            msg = f"image: {shown(identity)} is not in the study {self.name}. Reload the page."
            raise InputError(msg)
        return identity

    @cached_property
    def log(self) -> ReadingLog:
        """Log of the answers."""
        return ReadingLog(self.folder / ANSWERS)

    def order(self, reader: str) -> list[str]:
        """Return the ids in the order of a reader: random, fixed, and different for each reader."""
        random = session_random(self.seed, person(reader))
        return [self.images[row] for row in random.permutation(len(self.images))]

    def remaining(self, reader: str) -> list[str]:
        """Return the ids that a reader has not answered, in order."""
        own = [record for record in self.log.effective() if record.get("reader") == reader]
        done = {record["image"] for record in own if isinstance(record.get("image"), str)}
        return [identity for identity in self.order(reader) if identity not in done]

    def answer(self, record: Mapping[str, Any]) -> Record:
        """Store the answer of a reader and return it once it is on the disk.

        The stored record has ``order``, the position of the answer in the reader's session, from 1. The same answer
        sent again returns the stored one.

        Args:
            record: ``reader``, ``image``, ``answer`` (one of :data:`KINDS`), ``confidence`` from 1 to 5, ``seconds``.

        Raises:
            InputError: a field is not valid, the reader has answered the image otherwise, or the disk refused.
        """
        given = validated_answer(record)
        self._known(given["image"])
        return self.log.append_after(lambda effective: _after(given, effective, self.name))

    def undo(self, reader: str) -> Record | None:
        """Undo the last answer of a reader; None if there is none. Returns the line that undoes it."""
        own = [record for record in self.log.effective() if record.get("reader") == person(reader)]
        return self.log.undo(own[-1]["id"], reader=reader) if own else None


def validated_answer(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer, checked; see :meth:`Study.answer`.

    Raises:
        InputError: a field is missing, unknown, out of range or of another type.
    """
    given = fields_of(record, _FIELDS)
    return {
        "reader": person(given["reader"]),
        "image": text(given["image"], "image"),
        "answer": choice(given["answer"], "answer", KINDS),
        "confidence": whole(given["confidence"], "confidence", 1, SUREST),
        "seconds": number(given["seconds"], "seconds", 0.0, LONGEST_SECONDS, "s"),
    }


def _readers(records: Iterable[Record]) -> Iterator[str]:
    return (str(record.get("reader")) for record in records)


def _after(given: Mapping[str, Any], effective: Sequence[Record], name: str) -> Mapping[str, Any]:
    """The record to append after the effective ones: the one stored already if it is the same answer.

    A reader who has begun meanwhile with another spelling of the name is the same one.
    """
    reader = spelling(given["reader"], _readers(effective))
    own = [record for record in effective if record.get("reader") == reader]
    found = next((record for record in own if record.get("image") == given["image"]), None)
    if found is None:
        return {**given, "reader": reader, "order": len(own) + 1}
    if all(found.get(part) == given[part] for part in ("answer", "confidence")):
        return found
    msg = f"{name}: {given['image']} has an answer of this reader already. Undo it first."
    raise InputError(msg)


def read_study(folder: str | Path) -> Study:
    """Read a study and check its images.

    Raises:
        InputError: a file is missing or damaged; the message names it.
    """
    folder = Path(folder)
    path = folder / STUDY
    known = _document(path)
    try:
        study = _study(folder, known)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"{error}" if isinstance(error, InputError) else "a field is missing or wrong") from error
    for identity, checksum in study.sums.items():
        _check_file(study.image_path(identity), checksum)
    if not (folder / KEY).is_file():
        raise _damaged(folder / KEY, "missing")
    return study


def _study(folder: Path, known: Mapping[str, Any]) -> Study:
    if known["format"] != FORMAT:
        msg = f"format {shown(known['format'])} instead of {FORMAT}, so another version of the bundle made it"
        raise InputError(msg)
    sums = {entry["id"]: entry["sha256"] for entry in known["images"]}
    sound = all(_IDENTITY.fullmatch(identity) and _SUM.fullmatch(found) for identity, found in sums.items())
    if not sound or not sums or len(sums) != len(known["images"]):
        msg = "an image without a valid id and checksum, or none"
        raise InputError(msg)
    seed, name = whole(known["seed"], "seed", 0, 2**63 - 1), person(known["name"], "name")
    options, matching, image = (dict(known[part]) for part in ("options", "matching", "image"))
    return Study(folder, name, seed, str(known["version"]), list(sums), options, matching, image, sums)


def _document(path: Path) -> Mapping[str, Any]:
    try:
        known = read_json(path)
    except FileNotFoundError as error:
        raise _damaged(path, "missing") from error
    except OSError as error:
        raise not_read(path, error) from error
    except ValueError as error:
        raise _damaged(path, "not readable as JSON") from error
    if not isinstance(known, dict):
        raise _damaged(path, "no JSON object")
    return known


def _check_file(path: Path, checksum: str) -> None:
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise _damaged(path, "no regular file")
        found = _checksum(path, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    except FileNotFoundError as error:
        raise _damaged(path, "missing") from error
    except OSError as error:
        raise not_read(path, error) from error
    if found != checksum:
        raise _damaged(path, "changed since the study was made")


@lru_cache(maxsize=10_000)
def _checksum(path: Path, state: tuple[int, ...]) -> str:
    """SHA-256 of a file, computed once in each state of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_key(study: Study) -> dict[str, dict[str, Any]]:
    """Read the key of a study: for each id ``kind``, ``name``, ``joint``, ``finger``, ``joint_space_mm``, ``pair``.

    Raises:
        InputError: the file is missing, damaged or of another study.
    """
    path = study.folder / KEY
    images = _document(path).get("images")
    if not isinstance(images, dict) or not _is_key(images, study.images):
        raise _damaged(path, "not the key of this study, or a joint occurs twice")
    return {identity: dict(entry) for identity, entry in images.items()}


def _is_key(images: Mapping[str, Any], identities: Sequence[str]) -> bool:
    """Whether a key names the kind of each image of a study, and another joint for each."""
    entries = [entry for entry in images.values() if isinstance(entry, dict) and entry.get("kind") in KINDS]
    joints = {entry.get("joint") for entry in entries if isinstance(entry.get("joint"), str)}
    return set(images) == set(identities) and len(entries) == len(joints) == len(images)


@dataclass(frozen=True)
class FoundStudy:
    """A study, or a folder that looks like one.

    Attributes:
        folder: its folder.
        study: the study; None if it cannot be used.
        failure: reason, or "".
    """

    folder: Path
    study: Study | None
    failure: str


def find_studies(root: str | Path) -> list[FoundStudy]:
    """Find the studies in a folder, in its folders, and in the folders of its folder ``studies``.

    A damaged study has its reason; so has each of two studies of one name, and a folder that cannot be read.
    """
    root = Path(root)
    folders = [root, *root.glob("*"), *root.glob(f"{STUDIES}/*")]
    found = [_found(folder) for folder in sorted(folders) if _is_study(folder)]
    names = [each.study.name for each in found if each.study]
    return [_doubled(each, found) if each.study and names.count(each.study.name) > 1 else each for each in found]


def _is_study(folder: Path) -> bool:
    """Whether a folder has the file of a study, or cannot be entered."""
    try:
        return stat.S_ISREG((folder / STUDY).stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def _found(folder: Path) -> FoundStudy:
    try:
        return FoundStudy(folder, read_study(folder), "")
    except InputError as error:
        return FoundStudy(folder, None, str(error))


def _doubled(one: FoundStudy, found: Sequence[FoundStudy]) -> FoundStudy:
    name = one.study.name if one.study else ""
    others = [each.folder.name for each in found if each.study and each.study.name == name and each is not one]
    failure = (
        f"{one.folder}: the study in {', '.join(others)} is also named {name}. Change the name in {STUDY} of one of "
        "them."
    )
    return FoundStudy(one.folder, None, failure)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: the study is damaged ({reason}). Restore it from a copy or make the study again.")
