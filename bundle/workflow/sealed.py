"""Files that torch writes with a checksum: the comment of the ZIP archive is the SHA-256 of all that comes before."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from bundle.errors import InputError
from bundle.networks import load_failure

_SEAL = re.compile(rb"\x47\x00sha256:([0-9a-f]{64})\Z")
_LENGTH = 2 + 7 + 64
"""Bytes of the length of the comment and of the comment itself, at the end of a ZIP archive."""
_END = b"PK\5\6"
"""What the last 22 bytes of a ZIP archive without a comment begin with."""


def seal(file: BinaryIO, read: Callable[[], bytes]) -> None:
    """Give an archive that has just been written its checksum.

    Args:
        file: open for writing; ends with the two bytes of the length of a comment, as every ZIP archive.
        read: reads what has been written.
    """
    file.flush()
    comment = b"sha256:" + hashlib.sha256(read()[:-2]).hexdigest().encode()
    file.seek(-2, 2)
    file.write(struct.pack("<H", len(comment)) + comment)


def damage(path: Path) -> str | None:
    """What is wrong with a file that torch wrote; None where nothing is.

    A file from before there were seals is compared with the checksums of the parts of its archive.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    stated = _SEAL.search(content[-_LENGTH:])
    if stated is None:
        return _damaged_part(content)
    found = hashlib.sha256(content[:-_LENGTH]).hexdigest().encode()
    return None if found == stated[1] else "it is damaged: its checksum is another one"


def _damaged_part(content: bytes) -> str | None:
    """What is wrong with an archive without a seal."""
    part: str | None = "the end of its archive"
    if content[-len(_END) - 18 : -18] == _END and content.endswith(b"\0\0"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                part = archive.testzip()
        except Exception:  # a broken archive raises about anything
            part = "its archive"
    return None if part is None else f"it is damaged ({part}), or torch did not write it"


def load_sealed(path: Path, map_location: Any = None) -> dict[str, Any]:
    """What a file that is not damaged holds.

    Raises:
        InputError: it does not hold a dictionary of what torch loads without running anything.
    """
    try:
        found = torch.load(path, map_location, weights_only=True)
    except Exception as error:  # about anything may stand in a file
        msg = f"{path}: no checkpoint ({load_failure(error)}): delete it, or train into another --output_dir"
        raise InputError(msg) from error
    if not isinstance(found, dict):
        msg = f"{path}: no checkpoint (a {type(found).__name__}): delete it, or train into another --output_dir"
        raise InputError(msg)
    return found
