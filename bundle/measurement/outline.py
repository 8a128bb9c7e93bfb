"""Signed distances to the outline of a bone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ON_THE_BORDER = 0.5
"""Offset of :func:`outline_distance` that lays the outline on the border between a bone's pixels and the others."""


def outline_distance(
    mask: NDArray[np.bool_], *, offset: float = ON_THE_BORDER, continued: int = 0
) -> NDArray[np.float64]:
    """Distance of each pixel to the outline of a mask, in pixels, positive inside and negative outside.

    It is the Euclidean distance from the centre of a pixel to that of the nearest pixel of the other kind, less an
    offset. With half a pixel the outline lies on the border of the mask, as in
    :func:`bundle.physics.signed_distance`, and the distances next to it are 0.5 and -0.5; with 0 each side counts from
    the pixels of the other side, and they are 1 and -1.

    Args:
        mask: (H, W).
        offset: in pixels, 0.5 or 0.
        continued: pixels by which the mask is continued beyond the frame, as at its border, so that a bone that leaves
            the frame has no outline there within this distance.

    Returns:
        (H, W); where the mask has no outline, infinite, positive where it covers everything.
    """
    if not mask.any() or mask.all():
        return np.full(mask.shape, np.inf if mask.any() else -np.inf)
    around = np.pad(mask, continued, mode="edge")
    inside, outside = (ndimage.distance_transform_edt(part) for part in (around, ~around))
    distance = np.where(around, inside - offset, offset - outside)
    rows, columns = (slice(continued, continued + side) for side in mask.shape)
    return np.asarray(distance[rows, columns])
