"""PNG files that state what they show."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

PNG_SOURCE = "source"
"""Text of a PNG that holds the fingerprint of what it shows."""


def png_bytes(pixels: NDArray[np.uint8] | NDArray[np.uint16], source: str = "") -> bytes:
    """Encode grey (H, W) or colour (H, W, 3) pixels as a PNG of their depth; ``source`` as in :func:`write_png`."""
    content, stated = io.BytesIO(), PngInfo()
    if source:
        stated.add_text(PNG_SOURCE, source)
    Image.fromarray(pixels).save(content, format="PNG", pnginfo=stated)
    return content.getvalue()


def png_source(path: str | Path) -> str:
    """Fingerprint that an undamaged PNG of :func:`write_png` states; empty if there is none."""
    try:
        with Image.open(path) as picture:
            picture.verify()
            return str(picture.info.get(PNG_SOURCE, ""))
    except (OSError, SyntaxError):
        return ""
