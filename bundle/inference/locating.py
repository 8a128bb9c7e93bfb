"""Joint surfaces in pixels of the radiograph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from bundle.io import JointFrame
from bundle.measurement import JointSpace
from torch.nn import functional as F

SURFACES = "surfaces"
"""Key of a joint's surfaces in its line of ``quality.jsonl``."""

STEP = 4
"""Every fourth column of the surfaces is written."""


def located_surfaces(joint: Mapping[str, Any], space: JointSpace) -> dict[str, list[list[float]]] | None:
    """Return the points (x, y) of ``head`` and ``floor`` in pixels of the joint's radiograph; None if refused.

    Args:
        joint: loaded item of the joint.
        space: its joint space, a batch of one.
    """
    if space.refused[0]:
        return None
    pixel, middle = float(joint["spacing"]), (torch.tensor(joint["image"].shape[-2:]).flip(0) - 1) / 2
    found = {}
    for name, curve in zip(("head", "floor"), space.surfaces.points(), strict=True):
        points = curve[0, space.surfaces.window[0]].double().cpu() / pixel + middle
        if joint.get("frame"):
            points = F.pad(points, [0, 1], value=1.0) @ JointFrame.from_json(joint["frame"]).matrix.T
        found[name] = [[round(x, 2), round(y, 2)] for x, y in points[::STEP].tolist()]
    return found
