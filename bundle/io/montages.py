"""Montages: labelled images of joints and their layers, one joint per row, at native resolution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from bundle.io.writing import write_png
from bundle.physics import reconstruct
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from torch import Tensor

Picture = Tensor | NDArray[Any]

DIFFERENCE_LIMIT = 0.05
"""Intensity difference at which the diverging colour map is saturated."""
SHOWN_CHANGE_MM = 0.8
"""Change of the joint space of the wider and the narrower joint."""
TITLES = (
    "radiograph, bone outlines",
    "soft tissue",
    "lower bone",
    "upper bone",
    f"{SHOWN_CHANGE_MM:g} mm wider",
    f"{SHOWN_CHANGE_MM:g} mm narrower",
    f"recomposition error, +-{DIFFERENCE_LIMIT:g}",
)
"""Titles of the panels of :func:`joint_row`."""
OUTLINE_COLOURS = ((255, 176, 0), (0, 190, 255))
"""Lower bone (orange), upper bone (blue)."""

_GAP = 4
_STRIP = 20
_FONT_SIZE = 13


def joint_row(
    image: Picture, masks: Picture, layers: Picture, wider: Picture, narrower: Picture
) -> list[NDArray[np.uint8]]:
    """Make the standard row of a joint, one panel for each of ``TITLES``.

    Args:
        image: radiograph J, (1, H, W) or (H, W) in [0, 1].
        masks: bone masks (2, H, W), plotted as outlines: lower orange, upper blue.
        layers: layers (3, H, W).
        wider: synthetic radiograph with a wider joint space, like ``image``.
        narrower: synthetic radiograph with a narrower joint space, like ``image``.

    Returns:
        Colour panels (H, W, 3); the last is ``f_r(L) - J``, red where the reconstruction is brighter, white at 0.
    """
    values = _array(layers)
    difference = _plane(reconstruct(torch.from_numpy(values))) - _plane(image)
    shown = [grey_panel(panel) for panel in (*values, wider, narrower)]
    return [outlined_panel(image, masks), *shown, difference_panel(difference)]


def grey_panel(image: Picture) -> NDArray[np.uint8]:
    """Convert intensity (1, H, W) or (H, W), clipped to [0, 1], to grey (H, W, 3)."""
    grey = np.rint(np.nan_to_num(_plane(image)).clip(0.0, 1.0) * 255.0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def outlined_panel(image: Picture, masks: Picture) -> NDArray[np.uint8]:
    """Plot the border pixels of each mask (2, H, W) in ``OUTLINE_COLOURS`` over the intensity: (H, W, 3)."""
    panel = grey_panel(image)
    for mask, colour in zip(_array(masks) > 0.5, OUTLINE_COLOURS, strict=True):
        panel[mask & ~ndimage.binary_erosion(mask, border_value=1)] = colour
    return panel


def plotted_panel(panel: NDArray[np.uint8], points: NDArray[Any], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Plot a curve through points (N, 2), (x, y) in pixels from the centre, over a colour panel (H, W, 3)."""
    if not np.isfinite(points).all():
        return panel
    canvas = Image.fromarray(panel)
    centre = np.array([panel.shape[1], panel.shape[0]]) / 2 - 0.5
    ImageDraw.Draw(canvas).line([tuple(point) for point in (points + centre).tolist()], fill=colour)
    return np.asarray(canvas)


def difference_panel(difference: Picture, limit: float = DIFFERENCE_LIMIT) -> NDArray[np.uint8]:
    """Map a signed difference (1, H, W) or (H, W) from blue (``-limit``) over white (0) to red (``limit``)."""
    colours = matplotlib.colormaps["bwr"](0.5 + _plane(difference) / (2.0 * limit), bytes=True)
    return np.ascontiguousarray(colours[..., :3])


def montage_image(
    rows: Sequence[Sequence[Picture]], titles: Sequence[str], labels: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """Lay out panels in a grid with the titles above the columns and the labels above the rows.

    Args:
        rows: panels of each joint: intensities (1, H, W) or (H, W), or uint8 colours (H, W, 3). One pixel of a panel
            is one pixel of the montage; smaller panels are placed at the upper left of their cell.
        titles: one title per column.
        labels: one label per row; None for no labels.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: there is no panel, or titles or labels do not match the rows.
    """
    _check_grid(rows, titles, labels)
    panels = [[_colour_panel(panel) for panel in row] for row in rows]
    height, width = (max(panel.shape[axis] for row in panels for panel in row) + _GAP for axis in (0, 1))
    height += _STRIP if labels else 0
    canvas = Image.new("RGB", (len(titles) * width + _GAP, len(panels) * height + _STRIP + _GAP))
    for column, title in enumerate(titles):
        _write(canvas, title, _GAP + column * width, 0)
    for index, row in enumerate(panels):
        top = _STRIP + index * height
        if labels:
            _write(canvas, labels[index], _GAP, top)
            top += _STRIP
        for column, panel in enumerate(row):
            canvas.paste(Image.fromarray(panel), (_GAP + column * width, top))
    return np.asarray(canvas)


def _check_grid(rows: Sequence[Sequence[Picture]], titles: Sequence[str], labels: Sequence[str] | None) -> None:
    lengths, names = [len(row) for row in rows], len(rows if labels is None else labels)
    if not rows or not titles or any(length != len(titles) for length in lengths) or names != len(rows):
        msg = f"{len(titles)} titles and {names} labels do not match rows of {lengths} panels; give one label a row"
        raise ValueError(msg)


def _write(canvas: Image.Image, text: str, left: int, top: int) -> None:
    ImageDraw.Draw(canvas).text((left, top + 3), text, fill="white", font=ImageFont.load_default(_FONT_SIZE))


def montage(
    rows: Sequence[Sequence[Picture]], titles: Sequence[str], path: str | Path, labels: Sequence[str] | None = None
) -> None:
    """Write :func:`montage_image` as a PNG.

    Raises:
        InputError: the file cannot be written.
        ValueError: as :func:`montage_image`.
    """
    write_png(path, montage_image(rows, titles, labels))


def _colour_panel(panel: Picture) -> NDArray[np.uint8]:
    if isinstance(panel, np.ndarray) and panel.dtype == np.uint8 and panel.ndim == 3 and panel.shape[-1] == 3:
        return panel
    return grey_panel(panel)


def _array(values: Picture) -> NDArray[np.float32]:
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float32)


def _plane(image: Picture) -> NDArray[np.float32]:
    """(H, W) of an array with leading axes of length 1."""
    array = _array(image)
    return array.reshape(array.shape[-2:])
