"""Fast, reproducible compression of radiographs by DEFLATE: grey PNG files and gzip.

Radiographs are noisy: runs of equal bytes and Huffman codes (zlib's strategy Z_RLE) compress them as well as a search
for repeated strings, in a fraction of the time. Under this strategy zlib and zlib-ng write the same bytes, so files do
not depend on which of the two is installed.
"""

from __future__ import annotations

import struct
import zlib
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

_library: ModuleType
try:
    from zlib_ng import zlib_ng as _library
except ImportError:
    _library = zlib

_RUNS = 3
"""zlib's Z_RLE."""
_ZLIB, _GZIP = 15, 31
"""Containers of DEFLATE, as zlib's window bits."""
_UP = 2
"""PNG filter: difference to the pixel above."""
_GREY = 0
"""PNG colour type."""


def gzip_bytes(content: bytes) -> bytes:
    """Compress bytes to a gzip file without a time stamp."""
    return _deflated(content, _GZIP)


def grey_png_bytes(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encode grey pixels (H, W) of 8 or 16 bits as a PNG.

    Raises:
        ValueError: the pixels have another shape or type.
    """
    kind, depth = pixels.dtype.kind, 8 * pixels.dtype.itemsize
    if pixels.ndim != 2 or kind != "u" or depth > 16:
        msg = f"pixels must be grey, (H, W), of 8 or 16 bits, got {pixels.dtype} of shape {pixels.shape}"
        raise ValueError(msg)
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, depth, _GREY, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", _deflated(_filtered(pixels), _ZLIB)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _filtered(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Rows of a PNG, each of its filter's number and the differences of its bytes to the row above."""
    row_bytes = pixels.astype(pixels.dtype.newbyteorder(">")).view(np.uint8)
    rows = np.empty((len(pixels), 1 + row_bytes.shape[1]), np.uint8)
    rows[:, 0] = _UP
    rows[:1, 1:] = row_bytes[:1]
    np.subtract(row_bytes[1:], row_bytes[:-1], out=rows[1:, 1:])
    return rows.tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _deflated(content: bytes, container: int) -> bytes:
    compressor = _library.compressobj(1, zlib.DEFLATED, container, 8, _RUNS)
    return bytes(compressor.compress(content) + compressor.flush())
