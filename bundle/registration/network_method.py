"""Registration by a network after Wang et al. 2023 (arXiv 2304.13938), antisymmetric and refined by a fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from bundle.joint import LOWER, UPPER
from bundle.registration.alignment import Alignment, bone_centers, warp, warp_bones
from bundle.registration.gauss_newton import BoneRegistration, BoneShift
from bundle.registration.method import Registration, correlations, has_bones
from bundle.registration.network import Registrar
from torch import Tensor


@dataclass(frozen=True)
class NetworkRegistration(Registration):
    """Registration by a network, antisymmetric in the pair.

    The network registers ``m(A, B)`` the moving radiograph to the fixed one and ``m(B, A)`` the reverse; the result is
    the geometric mean of the first and the inverse of the second
    (:meth:`bundle.registration.alignment.Alignment.balanced`), to first order ``n(A, B) = (m(A, B) - m(B, A)) / 2``.
    Two equal radiographs give the identity, whatever the network predicts; the exchanged pair gives the inverse.

    Attributes:
        network: the network, called in evaluation mode.
        refinement: fit at full resolution that starts from the network's result. If the fit of a bone fails, both bones
            keep the network's result and ``refined`` is false.
        reach_mm: largest motion that counts as found.
        least_correlation: lowest correlation of fixed and warped radiograph inside the bone that counts as found.
    """

    name: ClassVar[str] = "network"
    antisymmetric: ClassVar[bool] = True

    network: Registrar
    refinement: BoneRegistration | None = None
    reach_mm: float = 4.0
    least_correlation: float = 0.3

    def __call__(
        self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, *, after_masks: Tensor | None = None
    ) -> tuple[BoneShift, BoneShift]:
        """See :meth:`bundle.registration.Registration.__call__`; also finds the scale of each bone.

        Without masks of ``after``, those of ``before`` are moved there.
        """
        if not (bool(after.isfinite().all()) and has_bones(masks)):
            return BoneShift(), BoneShift()
        found = self._balanced(before, masks, after, spacing, after_masks)
        likeness = correlations(before, masks, warp_bones(after[None], found.to(before), spacing))
        lower, upper = (self._judged(found, bone, likeness[bone]) for bone in (LOWER, UPPER))
        if self.refinement is None or not (lower.found and upper.found):
            return lower, upper
        fitted = self.refinement(before, masks, after, spacing, start=(lower, upper))
        if not all(shift.found for shift in fitted):
            return lower, upper
        return replace(fitted[LOWER], refined=True), replace(fitted[UPPER], refined=True)

    def _balanced(
        self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, after_masks: Tensor | None
    ) -> Alignment:
        """Return the mean of both directions, (1, 2) in double precision."""
        there = self._found(before, masks, after, spacing)
        if after_masks is not None and has_bones(after_masks):
            return there.balanced(self._found(after, after_masks, before, spacing))
        first = there.balanced(self._found(after, masks, before, spacing))
        moved = _moved(masks, first, spacing)
        return there.balanced(self._found(after, moved, before, spacing)) if has_bones(moved) else first

    @torch.no_grad()
    def _found(self, before: Tensor, masks: Tensor, after: Tensor, spacing: float) -> Alignment:
        device = next(self.network.parameters()).device
        given = [part[None].float().to(device) for part in (before, masks, after)]
        center = bone_centers(masks, spacing)[None].to(device)
        training = self.network.training
        self.network.eval()
        found = self.network(*given, torch.tensor([spacing], device=device), center)[-1]
        self.network.train(training)
        return found.to(torch.zeros(1, dtype=torch.float64))

    def _judged(self, found: Alignment, bone: int, correlation: float) -> BoneShift:
        scale, degrees, x, y = (float(value) for value in found.parameters()[0, bone])
        if not (math.hypot(x, y) <= self.reach_mm and correlation >= self.least_correlation):
            return BoneShift(correlation=correlation)
        return BoneShift(x, y, degrees, correlation, True, scale)


def _moved(masks: Tensor, bones: Alignment, spacing: float) -> Tensor:
    """Move masks (2, H, W) of the fixed radiograph, each by its bone's alignment (1, 2)."""
    back = bones.inverse().to(masks.float())
    moved = [warp(masks[None, bone : bone + 1].float(), back.of_bone(bone), spacing)[0] for bone in (LOWER, UPPER)]
    return torch.cat(moved)
