"""JPEG and PNG files stripped to the image: no EXIF, comments, text, dates, thumbnails, or data after the end.

The compressed data are unchanged, so that the decoded pixels are the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"

_END_OF_IMAGE, _START_OF_SCAN, _COMMENT = 0xD9, 0xDA, 0xFE
_APPLICATIONS = range(0xE0, 0xF0)
_KEPT_APPLICATIONS = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}
"""Application segments that control the decoding of colours."""
_KEPT_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def picture_only(data: bytes) -> tuple[str, bytes] | None:
    """Strip an 8-bit JPEG or PNG file to the image.

    Args:
        data: content of the file.

    Returns:
        The ending of its format and its bytes; None for another format, more than 8 bits or a damaged file.
    """
    try:
        if data.startswith(JPEG_START):
            return ".jpg", b"\xff\xd8" + b"".join(_jpeg_segments(data))
        if data.startswith(PNG_START) and data[24] <= 8:
            return ".png", PNG_START + b"".join(_png_chunks(data))
    except (IndexError, ValueError):
        return None
    return None


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    """The segments after the start marker that decode the image, each scan with its compressed data."""
    place = _after_fill(data, 2)
    while (marker := _marker(data, place)) != _END_OF_IMAGE:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == _START_OF_SCAN:
            end = _end_of_scan(data, end)
        if _is_kept(marker, data[place + 4 : end]):
            yield data[place:end]
        place = _after_fill(data, end)
    yield b"\xff\xd9"


def _after_fill(data: bytes, place: int) -> int:
    """Offset of a marker that may follow fill bytes."""
    while data[place : place + 2] == b"\xff\xff":
        place += 1
    return place


def _marker(data: bytes, place: int) -> int:
    if data[place] != 0xFF:
        msg = "no marker where a segment begins"
        raise ValueError(msg)
    return data[place + 1]


def _end_of_scan(data: bytes, place: int) -> int:
    """Offset of the next marker that is neither a restart nor a stuffed byte."""
    while True:
        place = data.index(b"\xff", place)
        if data[place + 1] != 0 and not 0xD0 <= data[place + 1] <= 0xD7:
            return place
        place += 2


def _is_kept(marker: int, content: bytes) -> bool:
    if marker in _APPLICATIONS:
        return marker in _KEPT_APPLICATIONS and content.startswith(_KEPT_APPLICATIONS[marker])
    return marker != _COMMENT


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """The chunks that decode the image."""
    place, kind = len(PNG_START), b""
    while kind != b"IEND":
        kind, end = data[place + 4 : place + 8], place + 12 + int.from_bytes(data[place : place + 4], "big")
        if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big") or len(kind) != 4:
            msg = "a damaged chunk"
            raise ValueError(msg)
        if kind in _KEPT_CHUNKS:
            yield data[place:end]
        place = end
