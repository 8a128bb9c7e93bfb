"""Signed distances to the outline of a bone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ON_THE_BORDER = 0.5
"""Offset of :func:`outline_distance` that places the outline on the border between bone and background pixels."""


def outline_distance(
    mask: NDArray[np.bool_], *, offset: float = ON_THE_BORDER, continued: int = 0
) -> NDArray[np.float64]:
    """Compute the signed distance of each pixel to the outline of a mask, in pixels, positive inside.

    This is the Euclidean distance between the centres of a pixel and of the nearest pixel on the other side of the
    outline, minus an offset. With offset 0.5 the outline lies on the border of the mask, as in
    :func:`bundle.physics.signed_distance`, and the adjacent distances are 0.5 and -0.5; with offset 0 they are 1 and
    -1.

    Args:
        mask: binary mask, (H, W).
        offset: offset in pixels, 0.5 or 0.
        continued: pixels by which the border of the mask is continued past the frame, so that a bone that leaves the
            frame has no outline there within this distance.

    Returns:
        (H, W); infinite if the mask has no outline, positive for a full mask.
    """
    if not mask.any() or mask.all():
        return np.full(mask.shape, np.inf if mask.any() else -np.inf)
    around = np.pad(mask, continued, mode="edge")
    inside, outside = (ndimage.distance_transform_edt(part) for part in (around, ~around))
    distance = np.where(around, inside - offset, offset - outside)
    rows, columns = (slice(continued, continued + side) for side in mask.shape)
    return np.asarray(distance[rows, columns])
