"""Identifiers that are planted in inputs, and the search for what is left of them in outputs, whatever holds these."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

MARK = "Qzx"
"""How each planted word begins; no library writes it."""
ROOT = "1.2.826.0.1.77."
"""How each planted UID begins."""
_PNG = b"\x89PNG\r\n\x1a\n"


class Plants:
    """Makes identifiers and remembers what they were planted in."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def word(self, place: str) -> str:
        """A name of one word."""
        return self._kept(f"{MARK}{'bcdfghjklmnp'[len(self.places) % 12]}ov{len(self.places):03d}", place)

    def uid(self, place: str) -> str:
        """A UID."""
        return self._kept(f"{ROOT}{1000 + len(self.places)}.4", place)

    def date(self, place: str) -> str:
        """A date, as DICOM writes it."""
        return self._kept(f"19{len(self.places) % 90 + 10}0{len(self.places) % 9 + 1}17", place)

    def _kept(self, text: str, place: str) -> str:
        assert text not in self.places
        self.places[text] = place
        return text

    def found(self, name: str, data: bytes) -> list[tuple[str, str, str]]:
        """Identifier, what it was planted in, and where it was found."""
        return [
            (text, place, where)
            for where, content in contents(name, data)
            if self._may_hold_one(lowered := content.lower())
            for text, place in self.places.items()
            if any(form in lowered for form in _forms(text))
        ]

    def _may_hold_one(self, lowered: bytes) -> bool:
        """Whether there is what words or UIDs begin with, or a date: a hundred searches less where there is not."""
        dates = [text for text in self.places if text.isdigit()]
        return any(form in lowered for begin in (MARK, ROOT, *dates) for form in _forms(begin))

    def found_below(self, folder: Path) -> list[tuple[str, str, str]]:
        """The same of all files below a folder, and of their names."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        named = [self.found(f"name of {path.name}", str(path.relative_to(folder)).encode()) for path in files]
        held = [self.found(str(path.relative_to(folder)), path.read_bytes()) for path in files]
        return [trace for traces in named + held for trace in traces]


def _forms(text: str) -> list[bytes]:
    """How a text may be written: UTF-8 and both of UTF-16, in small letters."""
    return [text.lower().encode(coding) for coding in ("utf-8", "utf-16-le", "utf-16-be")]


def contents(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """A file's bytes, and those of all that it holds: archives, compressed files, pictures, escaped text."""
    yield name, data
    for kind in (_gzipped, _zipped, _tarred, _pictures, _escaped):
        for below, content in kind(data):
            yield from contents(f"{name}: {below}", content)


def _gzipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The content of a compressed file; weights may begin with its two bytes by chance."""
    if data[:2] == b"\x1f\x8b":
        with suppress(gzip.BadGzipFile, EOFError, zlib.error):
            yield "gzip", gzip.decompress(data)


def _zipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Members of an archive, which a PyTorch file is too, and its comments."""
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                yield member.filename, archive.read(member)


def _tarred(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive.getmembers():
                if file := archive.extractfile(member):
                    yield member.name, file.read()


def _pictures(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Pixels and compressed texts of each PNG, also of one inside another file."""
    for start in [match.start() for match in re.finditer(re.escape(_PNG), data)]:
        place = start + len(_PNG)
        while place + 8 <= len(data):
            length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
            body = data[place + 8 : place + 8 + length]
            place += 12 + length
            for packed in (
                [match.end() for match in re.finditer(b"\0\0|\0", body)] if kind in (b"zTXt", b"iTXt") else []
            ):
                with suppress(zlib.error):
                    yield kind.decode(), zlib.decompress(body[packed:])
            if kind == b"IEND":
                break
        with suppress(OSError), Image.open(io.BytesIO(data[start:])) as picture:
            yield "pixels", picture.tobytes()


def _escaped(data: bytes) -> Iterator[tuple[str, bytes]]:
    """JSON, or lines of it, whose letters are escaped."""
    if b"\\u" in data and data.lstrip()[:1] in (b"{", b"["):
        with suppress(ValueError):
            lines = [json.loads(line) for line in data.splitlines()] if b"}\n{" in data else json.loads(data)
            yield "JSON", json.dumps(lines, ensure_ascii=False).encode().replace(b"\\u", b"")
