"""Damage of PNG and TIFF files that the decoder does not notice: checksums, and sizes that contradict each other.

The decoder stops at the last pixel, before the checksum that follows. BMP, and TIFF without compression or with LZW or
PackBits, contain no checksum, so that a changed pixel cannot be detected there.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

_SIGNATURE = 8
"""Bytes of a PNG before the first chunk."""
_UNCOMPRESSED, _DEFLATE = 1, (8, 32946)
_WIDTH, _HEIGHT = 256, 257
_COMPRESSION, _OFFSETS, _BYTES, _ROWS = 259, 273, 279, 278
_TILE_OFFSETS, _TILE_BYTES = 324, 325
_SAMPLES, _BITS, _PLANAR = 277, 258, 284


def check_intact(picture: Image.Image, data: bytes) -> None:
    """Reject a damaged PNG or TIFF file; other formats pass.

    Args:
        picture: opened image.
        data: content of the file.

    Raises:
        ValueError: the file is damaged.
    """
    if picture.format == "PNG":
        _check_png(data)
    elif picture.format == "TIFF":
        _check_tiff(picture.tag_v2, data)  # type: ignore[attr-defined]


def _check_png(data: bytes) -> None:
    """Reject a PNG with a chunk that differs from its checksum, or without its end."""
    place, kind = _SIGNATURE, b""
    while kind != b"IEND":
        head = data[place : place + 8]
        length = int.from_bytes(head[:4], "big")
        kind, content = head[4:], data[place + 4 : place + 8 + length]
        stated = data[place + 8 + length : place + 12 + length]
        if len(head) < 8 or stated != struct.pack(">I", zlib.crc32(content)):
            msg = "a part differs from its checksum, or the end is missing"
            raise ValueError(msg)
        place += 12 + length


def _check_tiff(tags: Any, data: bytes) -> None:
    """Reject a TIFF whose strips differ from their checksums or do not fit the size of the image."""
    compression = tags.get(_COMPRESSION, _UNCOMPRESSED)
    lengths: Sequence[int] = tags.get(_BYTES, ())
    if compression in _DEFLATE:
        lengths = [_unpacked(part) for part in _parts(tags, data)]
    if compression in (_UNCOMPRESSED, *_DEFLATE) and _BYTES in tags and tags.get(_PLANAR, 1) == 1:
        _check_strips(tags, lengths)


def _unpacked(part: bytes) -> int:
    """The length of a strip or tile without compression."""
    unpacker = zlib.decompressobj()
    length = len(unpacker.decompress(part))
    if not unpacker.eof:
        msg = "a strip ends before its checksum"
        raise ValueError(msg)
    return length


def _parts(tags: Any, data: bytes) -> Iterator[bytes]:
    """The strips or tiles of an image."""
    for offsets, lengths in ((_OFFSETS, _BYTES), (_TILE_OFFSETS, _TILE_BYTES)):
        for offset, length in zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=True):
            yield data[offset : offset + length]


def _check_strips(tags: Any, found: Sequence[int]) -> None:
    """Reject strips of lengths in bytes that are too short or too long for their rows."""
    width, height = tags[_WIDTH], tags[_HEIGHT]
    row = math.ceil(width * tags.get(_SAMPLES, 1) * max(tags.get(_BITS, (1,))) / 8)
    rows = min(int(tags.get(_ROWS, height)), height)
    left = [min(rows, height - start) for start in range(0, height, rows)]
    most = [part * row for part in left] if len(left) == 1 else [rows * row] * len(left)
    fits = len(found) == len(left) and all(
        part * row <= length < longest + row for part, length, longest in zip(left, found, most, strict=True)
    )
    if not fits:
        msg = f"strips of {sum(found)} bytes for {width} x {height} pixels"
        raise ValueError(msg)
