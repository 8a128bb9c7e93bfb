"""Writer of packs: the joints of lists in one file (:mod:`bundle.io.packed`), bit-identical to the loaded ones."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from bundle.base import bare_values, tells
from bundle.errors import InputError
from bundle.io.audit import audited, check_overlap
from bundle.io.files import data_set_root, stored
from bundle.io.identity import private_list, told_by
from bundle.io.joint_images import read_given
from bundle.io.lists import FOLDER, find_list, read_datalist
from bundle.io.loading import Item, OpenFiles
from bundle.io.packed import FORMAT, LARGEST_MEMBER, MANIFEST, MOST_MEMBERS, PICTURES, VERSION, is_unsafe
from bundle.io.reading import decode_picture
from bundle.io.spacing import SPACING_OPTION
from bundle.io.stripping import picture_only
from bundle.io.writing import check_destination, layers_bytes, replacing
from bundle.joint import BONES, MCP, Keys
from PIL import Image
from torch import Tensor

FOLDER_LIST = "all.json"
"""Name, in a pack, of the list of all radiographs of a folder, :data:`bundle.io.FOLDER`."""
FRAMES = "frames"
"""Folder, in a pack, of frames that are not files of the data set: cut out, resampled, or of another format."""

_MOMENT = (1980, 1, 1, 0, 0, 0)
_RIGHTS = 0o100644 << 16


@dataclass
class Packed:
    """Content of a pack.

    Attributes:
        joints: number of joints of each list, by its name.
        files: number of members.
        size: size of the pack in bytes.
        rejected: list, name and reason of every rejected joint.
    """

    joints: dict[str, int] = field(default_factory=dict)
    files: int = 0
    size: int = 0
    rejected: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Blob:
    """Content in a temporary file."""

    place: int
    length: int
    digest: str


class _Contents:
    """Contents in the order of arrival, and the names of their members.

    Args:
        file: temporary file of the contents.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.members: dict[str, _Blob] = {}

    def keep(self, data: bytes, source: str | Path) -> _Blob:
        """Store a content; ``source`` is the path of its file, for the message."""
        if len(data) > LARGEST_MEMBER:
            msg = f"{source} takes {len(data)} bytes in a pack, more than {LARGEST_MEMBER}. Crop it."
            raise InputError(msg)
        blob = _Blob(self._file.seek(0, os.SEEK_END), len(data), hashlib.sha256(data).hexdigest())
        self._file.write(data)
        return blob

    def name(self, wished: str, blob: _Blob) -> str:
        """Name a content: as requested, with a number where another content has that name."""
        path, name, number = Path(wished), wished, 2
        while name == MANIFEST or (name in self.members and self.members[name].digest != blob.digest):
            name, number = path.with_name(f"{path.stem}_{number}{path.suffix}").as_posix(), number + 1
        self.members[name] = blob
        return name

    def read(self, blob: _Blob) -> bytes:
        """Read a content."""
        self._file.seek(blob.place)
        return self._file.read(blob.length)


def pack_joints(
    dataset_dir: str | Path,
    datalists: Sequence[str],
    output: str | Path,
    *,
    spacing: float = 0.0,
    size: int | None = MCP.pixels,
    strict: bool = False,
) -> Packed:
    """Write the joints of some lists to one file, which loads like the data set.

    Unusable joints are omitted, and masks without a file stay absent. JPEG and 8-bit PNG radiographs keep their
    compressed pixels and lose everything else (:mod:`bundle.io.stripping`); other radiographs become the loaded frame
    as float32 NIfTI. Masks become 1-bit PNG. The same input gives the same bytes.

    Args:
        dataset_dir: root of the data set.
        datalists: names of the lists, without repetition; ``"*"`` for all radiographs, as the list
            :data:`FOLDER_LIST`.
        output: path of the pack.
        spacing: mm per pixel of files that state none, unless their entry does; 0: not given.
        size: height and width of frames in pixels; None accepts any.
        strict: reject a list with an unusable joint.

    Raises:
        InputError: a list is unusable, two have the same name, there are too many files, or the pack cannot be written.
    """
    root = data_set_root(dataset_dir)
    named = _named(root, datalists, Path(output))
    check_destination(output)
    with _temporary_file() as file:
        packing = _Packing(_Contents(file), root, size, strict)
        for name, datalist in named.items():
            packing.add(name, read_datalist(dataset_dir, datalist, spacing=spacing))
        return packing.write(Path(output))


@contextmanager
def _temporary_file() -> Iterator[BinaryIO]:
    """A temporary file; errors of the operating system become input errors."""
    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        msg = f"{tempfile.gettempdir()} cannot hold the temporary file ({error}). Free space there or set TMPDIR."
        raise InputError(msg) from error


def _named(root: Path, datalists: Sequence[str], output: Path) -> dict[str, str]:
    """The lists, by their names in the pack."""
    named: dict[str, str] = {}
    for datalist in datalists:
        name = _list_name(root, datalist)
        if name in named or name == MANIFEST:
            msg = f"{output} cannot contain two files named {name}. Name each list once, and none {MANIFEST}."
            raise InputError(msg)
        named[name] = datalist
    return named


def _list_name(root: Path, datalist: str) -> str:
    """Name of a list in the pack: its path below the root, else its file name."""
    if datalist == FOLDER:
        return FOLDER_LIST
    found = Path(os.path.normpath(find_list(root, datalist)))
    name = found.relative_to(root).as_posix() if found.is_relative_to(root) else found.name
    return found.name if is_unsafe(name) else name


class _Packing:
    """Pack under construction."""

    def __init__(self, contents: _Contents, root: Path, size: int | None, strict: bool) -> None:
        self.contents, self.root, self.size, self.strict = contents, root, size, strict
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.rejected: list[tuple[str, str, str]] = []

    def add(self, name: str, items: Sequence[Item]) -> None:
        """Add a list and store the contents of its files."""
        known = [{**item, "stated": max(item["spacing"], item[SPACING_OPTION]) > 0.0} for item in items]
        check = partial(_kept, size=self.size, contents=self.contents)
        found = audited(known, check, strict=self.strict, size=self.size)
        self.rejected += [(name, *rejected) for rejected in found.rejected]
        told = bare_values(told_by(item["image"] for item in items))
        shown = private_list(name) if tells(name, told) else name
        self.lists[shown] = [_entry(item, self.contents, self.root, told) for item in found.accepted]

    def write(self, path: Path) -> Packed:
        """Write the pack."""
        _write(path, self.contents, {name: _json(entries) for name, entries in self.lists.items()})
        joints = {name: len(entries) for name, entries in self.lists.items()}
        files = len(self.contents.members) + len(self.lists) + 1
        return Packed(joints, files, path.stat().st_size, self.rejected)


def _kept(item: Item, files: OpenFiles, size: int | None, contents: _Contents) -> Item:
    """The item of a usable joint, with the contents of its files."""
    image, masks = read_given(item, size, files)
    known = _known_spacing(item, files)
    suffix, picture = _picture(item, image, known)
    found = {"suffix": suffix, "known": known, "image": contents.keep(picture, item["image"])}
    given = {bone: mask for bone, mask in zip(BONES, masks, strict=True) if mask is not None}
    if len(given) == len(BONES):
        check_overlap(torch.cat([image, *(mask[None] for mask in given.values())]), item, keep_gross=True)
    return {**item, **dict.fromkeys(BONES, ""), "packed": found | _kept_masks(given, contents)}


def _kept_masks(masks: dict[str, Tensor], contents: _Contents) -> dict[str, _Blob]:
    return {bone: contents.keep(_mask_bytes(mask), bone) for bone, mask in masks.items()}


def _known_spacing(item: Item, files: OpenFiles) -> float:
    """The pixel spacing of a joint as stated by the list or a file; 0 for a frame without one.

    JPEG and PNG files state none.
    """
    stated = item["frame"] or item["stated"] or files.radiograph.spacing
    return float(item["spacing"]) if stated else 0.0


def _picture(item: Item, image: Tensor, known: float) -> tuple[str, bytes]:
    """File ending and content of a radiograph (1, H, W) in a pack."""
    if not item["frame"]:
        plain = picture_only(stored(item["image"]).read_bytes())
        if plain and _shows(plain[1], image):
            return plain
    return ".nii", layers_bytes(image, known or None)


def _shows(data: bytes, image: Tensor) -> bool:
    """Whether the bytes of an image decode to a radiograph (1, H, W), bit for bit."""
    try:
        return np.array_equal(decode_picture(data, "stripped"), image[0].numpy())
    except InputError:
        return False


def _mask_bytes(mask: Tensor) -> bytes:
    """A mask (H, W) as 1-bit PNG."""
    content = io.BytesIO()
    Image.fromarray(mask.numpy() > 0.5).save(content, format="PNG", optimize=True)
    return content.getvalue()


def _entry(item: Item, contents: _Contents, root: Path, told: Collection[str]) -> dict[str, Any]:
    """The list entry of a joint; names its files."""
    packed = item["packed"]
    wished = _place(item, packed["suffix"], root, told)
    paths = {"image": contents.name(wished.as_posix(), packed["image"])}
    for bone in [bone for bone in BONES if bone in packed]:
        beside = wished.with_name(f"{wished.stem}_mask_{bone}.png")
        paths[bone] = contents.name(beside.as_posix(), packed[bone])
    identity = {"item": item["name"], **{key: item[key] for key in ("joint", "finger", "side")}}
    known = {Keys.SPACING: packed["known"]} if packed["known"] else {}
    return {**paths, **identity, **known}


def _place(item: Item, suffix: str, root: Path, told: Collection[str]) -> Path:
    """Path of a joint's radiograph in a pack: its own, if the file is kept and the path reveals no identity."""
    path = Path(item["image"])
    place = path.relative_to(root) if path.is_relative_to(root) else path
    if suffix != ".nii" and not is_unsafe(place.as_posix()) and not tells(str(place), told):
        same = path.suffix.lower() == suffix or {path.suffix.lower(), suffix} == {".jpg", ".jpeg"}
        return place if same else place.with_suffix(suffix)
    return Path(FRAMES, f"{item['name']}{suffix}")


# ---- the file ------------------------------------------------------------------------------------------------------


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()


def _write(path: Path, contents: _Contents, lists: dict[str, bytes]) -> None:
    """Write the archive atomically."""
    taken = sorted({*lists} & {*contents.members})
    if taken or len(contents.members) + len(lists) >= MOST_MEMBERS:
        fault = f"two files named {taken[0]}" if taken else f"more than {MOST_MEMBERS} files"
        msg = f"{path} cannot contain {fault}. Rename a list or pack fewer lists."
        raise InputError(msg)
    sums = {name: blob.digest for name, blob in contents.members.items()}
    sums |= {name: hashlib.sha256(content).hexdigest() for name, content in lists.items()}
    described = {"format": FORMAT, "version": VERSION, "lists": sorted(lists), "sha256": sums}
    texts = {**lists, MANIFEST: _json(described)}
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name in sorted({*texts, *contents.members}):
            content = texts[name] if name in texts else contents.read(contents.members[name])
            _write_member(archive, name, content)


def _write_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Write a member without its date or machine; compressed formats are stored unchanged."""
    member = zipfile.ZipInfo(name, _MOMENT)
    member.create_system, member.external_attr = 3, _RIGHTS
    as_it_is = name.lower().endswith(tuple(ending for ending in PICTURES if ending != ".nii"))
    archive.writestr(member, content, zipfile.ZIP_STORED if as_it_is else zipfile.ZIP_DEFLATED, compresslevel=9)
