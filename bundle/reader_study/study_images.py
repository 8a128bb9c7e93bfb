"""Images of a reader study: real and synthetic radiographs on one grid, in one encoding.

The grid has 1.8 times the pixel size of the frames: 0.15 mm, as the detector, for the bundle's frames. In the frames'
own pixels the 8 x 8 grid of JPEG files is visible, broken where a bone moved, and a moved bone is less sharp;
resampling to the coarser grid, antialiased, removes both. Strips at top and bottom, where moved bones are continued,
are cut off (measure E5). Each image is cut out at a random offset, because frames are centred on the joint.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import torch
from bundle.errors import InputError
from bundle.evaluation.measures import cut_out, on_grid
from bundle.joint import MCP
from bundle.phantoms import NATIVE
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

MARGIN = 8
"""Largest offset of a crop in either direction, in pixels of the grid (0.15 mm): more than a bone usually moves."""

MAGNIFICATION = 4
"""Number of screen pixels per pixel of the grid."""

_COARSEST = NATIVE * 1.001
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY_8_BIT = (8, 0, 0, 0, 0)


def grid_mm(spacing_mm: float) -> float:
    """Return the pixel size of the grid for frames of this pixel size: at least 0.15 mm, and 1.8 times theirs."""
    return NATIVE * spacing_mm / MCP.spacing_mm if spacing_mm > MCP.spacing_mm * 1.001 else NATIVE


def sample_offset(random: np.random.RandomState) -> tuple[int, int]:
    """Sample the offset (x, y) of a crop in pixels of the grid."""
    x, y = random.randint(-MARGIN, MARGIN + 1, size=2).tolist()
    return x, y


def study_pixels(radiograph: Tensor, spacing_mm: float, offset: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """Convert a radiograph, real or synthetic, to the pixels of a study.

    It is resampled to the grid (:func:`grid_mm`), cut out, rounded to 8 bits, and magnified by bicubic interpolation.

    Args:
        radiograph: (1, H, W) in [0, 1].
        spacing_mm: pixel size.
        offset: shift (x, y) of the joint in the image to the right and down, in pixels of the grid.
        name: name of the radiograph, for messages.

    Returns:
        Pixels (h, w).

    Raises:
        InputError: the pixels are larger than those of the detector's grid, or the frame is too small.
    """
    if not 0.0 < spacing_mm <= _COARSEST:
        msg = f"{name}: pixels of {spacing_mm:g} mm. Use radiographs with pixels of at most {NATIVE:g} mm."
        raise InputError(msg)
    pixel = float(torch.tensor(spacing_mm))
    seen = on_grid(radiograph[None].clamp(0.0, 1.0), pixel, grid_mm(spacing_mm))
    if min(seen.shape[-2:]) <= 4 * MARGIN:
        msg = f"{name}: a frame of {radiograph.shape[-1]} x {radiograph.shape[-2]} pixels is too small. Leave it out."
        raise InputError(msg)
    window = cut_out(seen, torch.tensor([offset]), MARGIN)[0, 0]
    grey = Image.fromarray((window.double() * 255.0).round().to(torch.uint8).numpy())
    size = (grey.width * MAGNIFICATION, grey.height * MAGNIFICATION)
    return np.asarray(grey.resize(size, Image.Resampling.BICUBIC))


def study_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode grey pixels (H, W) as a PNG without compression, filters and metadata.

    The size of the file and its chunks depend on H and W alone, so that they reveal nothing of the image.
    """
    height, width = pixels.shape
    rows = np.hstack([np.zeros((height, 1), np.uint8), pixels]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, *_GREY_8_BIT)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
