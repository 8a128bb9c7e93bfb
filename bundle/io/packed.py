"""Data sets in one file: a ZIP archive of a folder's lists and the files that they name.

Unzipped, it is a data set folder. A path inside it is ``PACK/member``, as in Python's ``zipimport``: items stay
dictionaries of text, and every process opens the archive itself. ``manifest.json`` contains the format, its version,
the names of the lists and the SHA-256 of every other member. Besides the lists there are images of three kinds,
:data:`PICTURES`. Names and sizes of members are checked. :mod:`bundle.io.packing` writes packs.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from bundle.base import parse_json
from bundle.errors import InputError

FORMAT = "packed finger joints"
"""Format stated by the manifest of a pack."""
VERSION = 1
"""Version of the format that is written, and the newest that is read."""
MANIFEST = "manifest.json"
"""Member that describes the others."""
LARGEST_MEMBER = 64 * 2**20
"""Maximum size of an uncompressed member in bytes."""
MOST_MEMBERS = 200_000
"""Maximum number of members of a pack."""

PICTURES: Mapping[str, tuple[int, bytes]] = {
    ".jpg": (0, b"\xff\xd8\xff"),
    ".jpeg": (0, b"\xff\xd8\xff"),
    ".png": (0, b"\x89PNG\r\n\x1a\n"),
    ".nii": (344, b"n+1\0"),
}
"""Endings of the images in a pack, each with the offset and the bytes that identify its kind."""

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_AGAIN = "Copy it again, or pack the data set again with scripts/pack_joints.py."


def is_unsafe(name: str) -> bool:
    """Whether a member's name may lead out of the folder it is unzipped to, or is invalid on some system."""
    parts = name.split("/")
    return any(part in ("", ".", "..") for part in parts) or "\\" in name or ":" in name or not name.isprintable()


def is_picture_name(name: str) -> bool:
    """Whether a member is an image by its name."""
    return name.lower().endswith(tuple(PICTURES))


class Pack:
    """Open pack, whose members are read by name.

    Args:
        path: path of the file.

    Attributes:
        lists: names of the lists of joints.

    Raises:
        InputError: the file is not a pack, is truncated or damaged, is of a newer version, or has a forbidden member.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._archive = self._opened()
        self._members = self._checked_members()
        self._sums: dict[str, str] = {}
        manifest = self._manifest()
        self.lists: list[str] = manifest["lists"]
        self._sums = manifest["sha256"]
        self._check_listed()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self) -> list[str]:
        """Return the names of all members, sorted."""
        return sorted(self._members)

    def size(self, name: str) -> int:
        """Return the uncompressed size of a member in bytes; raises FileNotFoundError for an absent member."""
        return self._member(name).file_size

    def head(self, name: str, count: int) -> bytes:
        """Read the first bytes of a member, unchecked; raises FileNotFoundError for an absent member."""
        return self._bytes(name, count)[:count]

    def read(self, name: str) -> bytes:
        """Read the bytes of a member, checked against its size, its CRC and the manifest.

        Raises:
            FileNotFoundError: the member is absent.
            InputError: the member is damaged or not of the kind that its name states.
        """
        data = self._bytes(name, self._member(name).file_size + 1)
        if len(data) != self._member(name).file_size or hashlib.sha256(data).hexdigest() != self._sums.get(name):
            raise self._refusal(f"is damaged: its member {name} does not match the manifest", _AGAIN)
        if name not in self.lists and not _is_picture(name, data):
            raise self._refusal(f"contains {name}, which is not the kind of image that its name states", _AGAIN)
        return data

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except Exception as error:  # a broken archive raises almost any error: zip, struct, value, OS
            if not _starts_as_archive(self.path):
                raise self._foreign("is not a ZIP archive") from error
            raise self._refusal(f"is truncated or damaged ({error})", _AGAIN) from error

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        """The members by name, after a check of their names, number and sizes."""
        members = self._archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise self._unsafe(f"{len(members)} members, more than the {MOST_MEMBERS} allowed")
        twice = [name for name, count in Counter(member.filename for member in members).items() if count > 1]
        if twice:
            raise self._unsafe(f"{len(twice)} names more than once, {twice[0]!r} among them")
        for member in members:
            self._check_member(member)
        return {member.filename: member for member in members}

    def _check_member(self, member: zipfile.ZipInfo) -> None:
        if is_unsafe(member.orig_filename):
            raise self._unsafe(f"the member {member.orig_filename!r}, which would lie outside the data set's folder")
        if member.file_size > LARGEST_MEMBER:
            raise self._unsafe(
                f"the member {member.filename} of {member.file_size} bytes, more than {LARGEST_MEMBER} bytes"
            )
        if member.compress_type not in _COMPRESSIONS or member.flag_bits & _ENCRYPTED:
            raise self._unsafe(f"the member {member.filename}, which is encrypted or not stored or deflated")

    def _manifest(self) -> dict[str, Any]:
        if MANIFEST not in self._members:
            raise self._foreign(f"has no member {MANIFEST}")
        data = self._bytes(MANIFEST, self.size(MANIFEST) + 1)
        try:
            found = parse_json(data)
            form, version = found["format"], int(found["version"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._foreign(f"has a {MANIFEST} that does not describe a pack") from error
        if form != FORMAT:
            raise self._foreign(f"is of the format {form!r}")
        if version > VERSION:
            raise self._refusal(f"is of version {version}, newer than {VERSION}", "Update this bundle to read it.")
        if not _is_manifest(found):
            raise self._refusal(f"is damaged: its {MANIFEST} lacks the lists or the sums", _AGAIN)
        return dict(found)

    def _check_listed(self) -> None:
        """Reject members that only the manifest or only the archive contains, and members of another kind."""
        others = sorted(({*self._members} - {MANIFEST}) ^ {*self._sums})
        if others:
            raise self._refusal(f"is damaged: {others[0]} is only in its manifest or only in its archive", _AGAIN)
        strange = sorted(name for name in {*self._sums} - {*self.lists} if not is_picture_name(name))
        if strange or not {*self.lists} <= {*self._sums}:
            raise self._unsafe(f"{strange[0]}, neither a list nor an image" if strange else "lists that are missing")

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path / name))
        return self._members[name]

    def _bytes(self, name: str, most: int) -> bytes:
        """Up to ``most`` bytes of a member; the CRC is checked at its end."""
        member = self._member(name)
        try:
            with self._archive.open(member) as file:
                return file.read(most)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
            raise self._refusal(f"is damaged: its member {name} cannot be read ({error})", _AGAIN) from error

    def _foreign(self, fault: str) -> InputError:
        return self._refusal(
            f"is not a packed data set: it {fault}", "Name a data set folder or a pack as dataset_dir."
        )

    def _unsafe(self, content: str) -> InputError:
        return self._refusal(f"contains {content}", "Do not use it, or pack the data set with scripts/pack_joints.py.")

    def _refusal(self, fault: str, remedy: str) -> InputError:
        return InputError(f"{self.path} {fault}. {remedy}")


@dataclass(frozen=True)
class Member:
    """File inside a pack, read as :class:`bundle.io.files.Stored`."""

    pack: Pack
    name: str

    def is_file(self) -> bool:
        """Whether the member exists."""
        return self.name in self.pack

    def read_bytes(self) -> bytes:
        """Read all bytes, checked (:meth:`Pack.read`)."""
        return self.pack.read(self.name)

    def head(self, count: int) -> bytes:
        """Read the first bytes, unchecked."""
        return self.pack.head(self.name, count)

    def open(self) -> BinaryIO:
        """Open the bytes as a file."""
        return io.BytesIO(self.read_bytes())

    def state(self) -> tuple[int, int]:
        """Return the modification time of the pack in ns and the size of the member in bytes."""
        return self.pack.path.stat().st_mtime_ns, self.pack.size(self.name)


def open_pack(path: str | Path) -> Pack:
    """Open a pack; each process keeps recent packs open and reopens a changed file.

    Raises:
        InputError: as :class:`Pack`, or the file cannot be read.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        msg = f"{path} cannot be read ({error}). {_AGAIN}"
        raise InputError(msg) from error
    return _kept(str(path), found.st_mtime_ns, found.st_size, os.getpid())


@lru_cache(maxsize=8)
def _kept(path: str, changed: int, length: int, process: int) -> Pack:
    """A pack of this process: a forked process would share the file position with its parent."""
    return Pack(path)


def find_member(path: str | Path) -> Member | None:
    """Find the member of a pack that ``path`` names, existing or not; None where no file lies above ``path``.

    Raises:
        InputError: the file that contains it is not a usable pack.
    """
    if os.path.exists(path):
        return None
    for parent in Path(path).parents:
        if parent.is_file():
            return Member(open_pack(parent), Path(path).relative_to(parent).as_posix())
        if parent.exists():
            return None
    return None


def _starts_as_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def _is_manifest(found: Mapping[str, Any]) -> bool:
    lists, sums = found.get("lists"), found.get("sha256")
    if not isinstance(lists, list) or not isinstance(sums, dict):
        return False
    return all(isinstance(text, str) for text in (*lists, *sums.values()))


def _is_picture(name: str, data: bytes) -> bool:
    """Whether the bytes of a member are of the kind that its name states."""
    place, mark = PICTURES[Path(name).suffix.lower()]
    return data[place : place + len(mark)] == mark
