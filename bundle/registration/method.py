"""Interface of a registration method: a class that finds the motion of the bones between two radiographs."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from bundle.registration.gauss_newton import BoneShift
from bundle.registration.losses import exclusive_regions
from torch import Tensor


class Registration(Protocol):
    """Method that finds the motion of the bones from one radiograph to another.

    Attributes:
        name: name of the method in results.
        antisymmetric: whether the narrowing is half the difference between that of the motion and that of its inverse,
            so that exchanging the pair exactly changes its sign.
    """

    name: ClassVar[str]
    antisymmetric: ClassVar[bool] = False

    def __call__(
        self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, *, after_masks: Tensor | None = None
    ) -> tuple[BoneShift, BoneShift]:
        """Find the motion of the lower and of the upper bone.

        Args:
            before: radiograph (1, H, W) in [0, 1].
            masks: its bone masks, lower and upper, (2, H, W).
            after: other radiograph, like ``before``.
            spacing: pixel size of both in mm.
            after_masks: bone masks of ``after``, which a method may ignore.
        """
        ...


def has_bones(masks: Tensor) -> bool:
    """Whether both masks (2, H, W) show a bone."""
    return len(masks) == 2 and bool((masks > 0.5).flatten(1).any(dim=1).all())


def correlations(fixed: Tensor, masks: Tensor, warped: Tensor) -> list[float]:
    """Correlate the fixed radiograph (1, H, W) with the warped one (1, 2, H, W) inside each bone; NaN if constant."""
    regions = exclusive_regions(masks[None])[0] > 0.5
    return [
        float(torch.corrcoef(torch.stack([fixed[0][region], warped[0, bone][region]]))[0, 1])
        for bone, region in enumerate(regions)
    ]
