"""Files of torch with a checksum: the comment of the ZIP archive is the SHA-256 of everything before it."""

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
"""Bytes of the comment and of its length field, at the end of a ZIP archive."""
_END = b"PK\5\6"
"""Start of the last 22 bytes of a ZIP archive without a comment."""


def seal(file: BinaryIO, read: Callable[[], bytes]) -> None:
    """Add the checksum to an archive that has just been written.

    Args:
        file: file open for writing; it ends with the two bytes of the comment length, as every ZIP archive.
        read: reads the written content.
    """
    file.flush()
    comment = b"sha256:" + hashlib.sha256(read()[:-2]).hexdigest().encode()
    file.seek(-2, 2)
    file.write(struct.pack("<H", len(comment)) + comment)


def damage(path: Path) -> str | None:
    """Describe the damage of a file written by torch; None for an intact file.

    A file without a seal, from an earlier version, is checked by the checksums of its archive members.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    stated = _SEAL.search(content[-_LENGTH:])
    if stated is None:
        return _damaged_part(content)
    found = hashlib.sha256(content[:-_LENGTH]).hexdigest().encode()
    return None if found == stated[1] else "it is damaged: its checksum does not match"


def _damaged_part(content: bytes) -> str | None:
    """The damage of an archive without a seal; None for an intact one."""
    part: str | None = "the end of its archive"
    if content[-len(_END) - 18 : -18] == _END and content.endswith(b"\0\0"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                part = archive.testzip()
        except Exception:  # a broken archive raises almost any error
            part = "its archive"
    return None if part is None else f"it is damaged ({part}), or torch did not write it"


def load_sealed(path: Path, map_location: Any = None) -> dict[str, Any]:
    """Load the content of an intact file.

    Raises:
        InputError: the file is not a dictionary of types that torch loads without executing code.
    """
    try:
        found = torch.load(path, map_location, weights_only=True)
    except Exception as error:  # a foreign file raises almost any error
        msg = f"{path}: not a checkpoint ({load_failure(error)}). Delete it, or train into another --output_dir."
        raise InputError(msg) from error
    if not isinstance(found, dict):
        msg = f"{path}: not a checkpoint (a {type(found).__name__}). Delete it, or train into another --output_dir."
        raise InputError(msg)
    return found
