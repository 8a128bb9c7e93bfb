"""Views of a radiograph: resampled squares for finding hands and upright crops for placing joints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from bundle.hands.landmarks import MEAN_HAND, Array, compose
from bundle.physics import sample
from torch import Tensor
from torch.nn import functional as F

FILM = (128, 128)
"""Height and width in pixels of the view of a film, in which hands are found."""

CROP = (288, 256)
"""Height and width in pixels of the upright crop of one hand, in which joints are placed."""

Size = tuple[int, int]


def crop_from_mean() -> Array:
    """Matrix (2, 3) from positions of the mean hand to pixels of the upright crop."""
    height, width = CROP
    return np.array([[height, 0.0, (width - 1) / 2], [0.0, height, (height - 1) / 2]])


def crop_points() -> Array:
    """The mean hand in pixels of the upright crop, (24, 2)."""
    return MEAN_HAND * CROP[0] + [(CROP[1] - 1) / 2, (CROP[0] - 1) / 2]


def film_matrix(height: float, width: float, top: float = 0.0, left: float = 0.0) -> Array:
    """Matrix (2, 3) from pixels of a film view, which shows a box of the radiograph, to those of the radiograph.

    Args:
        height: height of the box in pixels.
        width: width of the box in pixels.
        top: first row of the box.
        left: first column of the box.
    """
    pixel = max(height, width) / FILM[0]
    middle = (FILM[0] - 1) / 2
    x, y = left + (width - 1) / 2, top + (height - 1) / 2
    return np.array([[pixel, 0.0, x - pixel * middle], [0.0, pixel, y - pixel * middle]])


def positions(matrix: Array, size: Size) -> Tensor:
    """Positions (x, y) in a radiograph of the pixels of a view, (H, W, 2).

    Args:
        matrix: matrix (2, 3) from pixels of the view to pixels of the radiograph.
        size: height and width of the view.
    """
    y, x = torch.meshgrid(*(torch.arange(length, dtype=torch.float32) for length in size), indexing="ij")
    linear = torch.as_tensor(matrix, dtype=torch.float32)
    return torch.stack([x, y], dim=-1) @ linear[:, :2].T + linear[:, 2]


def values(image: Tensor, places: Tensor, padding: str = "zeros") -> Tensor:
    """Interpolate an image (1, H, W) at positions (h, w, 2) in pixels, (1, h, w)."""
    length = torch.tensor([image.shape[-1], image.shape[-2]], dtype=torch.float32)
    return sample(image[None], ((2.0 * places + 1.0) / length - 1.0)[None], padding=padding)[0]


class Pyramid:
    """A radiograph at halved resolutions, for views without aliasing.

    Args:
        image: radiograph, (1, H, W).
        levels: maximum number of halvings.
    """

    def __init__(self, image: Tensor, levels: int = 6) -> None:
        self.levels = [image.float()]
        while len(self.levels) <= levels and min(self.levels[-1].shape[-2:]) >= 64:
            self.levels.append(F.avg_pool2d(self.levels[-1], 2, ceil_mode=False))

    def view(self, matrix: Array, size: Size, places: Tensor | None = None, padding: str = "zeros") -> Tensor:
        """Resample the radiograph to a view, (1, h, w).

        Args:
            matrix: matrix (2, 3) from pixels of the view to pixels of the radiograph.
            size: height and width of the view.
            places: positions in the radiograph, (h, w, 2); default: those of ``matrix``.
            padding: values outside the radiograph, ``zeros`` or ``border``.
        """
        pixel = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        level = int(np.clip(np.floor(np.log2(max(pixel, 1.0)) + 0.25), 0, len(self.levels) - 1))
        places = positions(matrix, size) if places is None else places
        # the centre of a pixel of a level is the centre of a block of 2^level pixels
        return values(self.levels[level], (places + 0.5) / 2**level - 0.5, padding)

    def inverted(self, matrix: Array, view: Tensor) -> Tensor:
        """Invert a view (1, h, w) with the same ``matrix``; outside the radiograph it stays black."""
        height, width = self.levels[0].shape[-2:]
        places = positions(matrix, (view.shape[-2], view.shape[-1]))
        inside = (places > -0.5) & (places < torch.tensor([width - 0.5, height - 0.5]))
        return (1.0 - view) * inside.all(dim=-1)


def moved(
    matrix: Array, size: Size, rotation: float, scale: float, shift: Sequence[float] | Array, mirrored: bool
) -> Array:
    """Change a view: its content is mirrored, rotated and scaled about the middle of the view, then shifted.

    Args:
        matrix: matrix (2, 3) from pixels of the view to pixels of the radiograph.
        size: height and width of the view.
        rotation: rotation in radians, clockwise as displayed.
        scale: magnification.
        shift: (x, y) in pixels of the view.
        mirrored: whether x is mirrored.
    """
    cos, sin, sign = np.cos(rotation) / scale, np.sin(rotation) / scale, -1.0 if mirrored else 1.0
    linear = np.array([[sign, 0.0], [0.0, 1.0]]) @ np.array([[cos, sin], [-sin, cos]])
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    inner = np.hstack([linear, (middle - linear @ (middle + np.asarray(shift)))[:, None]])
    return compose(matrix, inner)
