"""Methods that find the narrowing of a joint space between two radiographs, by name, and what they say of a pair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from bundle.errors import InputError, flag
from bundle.joint import LOWER, UPPER
from bundle.registration.alignment import Alignment, bone_centers, narrowing, of_shifts, seen_places, warp, warp_bones
from bundle.registration.gauss_newton import BoneRegistration, BoneShift
from bundle.registration.losses import exclusive_regions, registration_mse
from bundle.registration.network import Registrar
from bundle.registration.phase_correlation import PhaseCorrelation
from torch import Tensor

METHODS = ("network", "phase_correlation", "gauss_newton")
"""The network of Wang et al. 2023, phase-only correlation as Ou et al. 2023, and the fit of measure E6."""


class Registration(Protocol):
    """Finds how the bones of one radiograph lie in another one."""

    def __call__(self, before: Tensor, masks: Tensor, after: Tensor, spacing: float) -> tuple[BoneShift, BoneShift]:
        """See :meth:`bundle.registration.BoneRegistration.__call__`."""


@dataclass(frozen=True)
class NetworkRegistration:
    """Registration by the network, antisymmetric in the pair.

    The network registers ``m(A, B)`` the moving radiograph to the fixed one and ``m(B, A)`` the reverse; the result is
    the geometric mean of the first and the inverse of the second
    (:meth:`bundle.registration.alignment.Alignment.balanced`), to first order ``n(A, B) = (m(A, B) - m(B, A)) / 2``. Of
    a radiograph and itself it is no motion, whatever the network finds, and of the exchanged pair it is the inverse.

    Attributes:
        network: in evaluation mode while it is called.
        refinement: fit at the full resolution that starts from the network's result. Where the fit of a bone fails,
            both bones keep the network's result and ``refined`` is false.
        reach_mm: largest motion that counts as found.
        least_correlation: of fixed and warped radiograph inside the bone; below, it counts as not found.
    """

    network: Registrar
    refinement: BoneRegistration | None = None
    reach_mm: float = 4.0
    least_correlation: float = 0.3

    def __call__(
        self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, after_masks: Tensor | None = None
    ) -> tuple[BoneShift, BoneShift]:
        """Find the motion of the lower and of the upper bone, with its scale.

        Args:
            before: radiograph (1, H, W) in [0, 1].
            masks: its bone masks, lower and upper, (2, H, W).
            after: the other radiograph, like ``before``.
            spacing: mm per pixel of both.
            after_masks: bone masks of ``after``; without them those of ``before`` are moved there.
        """
        if not (bool(after.isfinite().all()) and has_bones(masks)):
            return BoneShift(), BoneShift()
        found = self._balanced(before, masks, after, spacing, after_masks)
        correlations = _correlations(before, masks, warp_bones(after[None], found.to(before), spacing))
        lower, upper = (self._judged(found, bone, correlations[bone]) for bone in (LOWER, UPPER))
        if self.refinement is None or not (lower.found and upper.found):
            return lower, upper
        fitted = self.refinement(before, masks, after, spacing, (lower, upper))
        if not all(shift.found for shift in fitted):
            return lower, upper
        return replace(fitted[LOWER], refined=True), replace(fitted[UPPER], refined=True)

    def _balanced(
        self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, after_masks: Tensor | None
    ) -> Alignment:
        """Mean of both directions, (1, 2) in double precision."""
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


def has_bones(masks: Tensor) -> bool:
    """Whether both masks (2, H, W) show a bone."""
    return len(masks) == 2 and bool((masks > 0.5).flatten(1).any(dim=1).all())


def _moved(masks: Tensor, bones: Alignment, spacing: float) -> Tensor:
    """Masks (2, H, W) of the fixed radiograph, each moved by its bone's alignment (1, 2)."""
    back = bones.inverse().to(masks.float())
    moved = [warp(masks[None, bone : bone + 1].float(), back.of_bone(bone), spacing)[0] for bone in (LOWER, UPPER)]
    return torch.cat(moved)


def _correlations(fixed: Tensor, masks: Tensor, warped: Tensor) -> list[float]:
    """Of the fixed radiograph (1, H, W) and the warped one (1, 2, H, W) inside each bone; NaN where nothing varies."""
    regions = exclusive_regions(masks[None])[0] > 0.5
    return [
        float(torch.corrcoef(torch.stack([fixed[0][region], warped[0, bone][region]]))[0, 1])
        for bone, region in enumerate(regions)
    ]


def make_registration(
    method: str, network: Registrar | None = None, options: Mapping[str, Any] | None = None, refine: bool | str = False
) -> Registration:
    """A method by its name.

    Args:
        method: one of :data:`METHODS`.
        network: of the first one.
        options: attributes of the method, in place of the defaults.
        refine: fit what the network has found (:attr:`NetworkRegistration.refinement`).

    Raises:
        InputError: there is no such method, or it has no such option.
    """
    if method not in METHODS or (method == "network" and network is None):
        msg = f"expected the method {', '.join(METHODS)}, the first with a network, got {method!r}"
        raise InputError(msg)
    try:
        if method == "phase_correlation":
            return PhaseCorrelation(**(options or {}))
        if method == "gauss_newton" or network is None:
            return BoneRegistration(**(options or {}))
        return NetworkRegistration(network, BoneRegistration() if flag(refine) else None, **(options or {}))
    except TypeError as error:
        msg = f"expected options of the method {method}, got {dict(options or {})}: {error}"
        raise InputError(msg) from error


@dataclass(frozen=True)
class PairReading:
    """What a method says of a pair.

    Attributes:
        jsn_mm: narrowing from the fixed to the moving radiograph; NaN where a bone was not found.
        found: whether both bones were found.
        bones: how they lie in the moving radiograph, (1, 2); NaN where not found.
        mse: registration MSE of the raw intensities, mean of both bones, where the moving radiograph shows them; NaN
            where a bone was not found.
        method: one of :data:`METHODS`.
        refined: whether the network's result was refined by a fit at the full resolution.
        missing: bones that were not found, ``lower`` and ``upper``.
        likeness: correlation of the fixed and the moving radiograph brought onto it, inside the bone where it is less;
            NaN where a bone was not found.
    """

    jsn_mm: float
    found: bool
    bones: Alignment
    mse: float
    method: str = METHODS[0]
    refined: bool = False
    missing: Sequence[str] = ()
    likeness: float = math.nan


def read_pair(registration: Registration, fixed: Tensor, moving: Tensor, spacing: float) -> PairReading:
    """Measure the narrowing between two radiographs of a joint.

    Of the network method it is ``n(A, B) = (m(A, B) - m(B, A)) / 2``, with the masks of the moving radiograph where
    they are given: 0 for a radiograph and itself, and exactly the opposite for the exchanged pair. The other methods do
    not look at these masks.

    Args:
        registration: the method.
        fixed: radiograph and bone masks, (3, H, W).
        moving: radiograph, (1, H, W) or with its masks.
        spacing: mm per pixel of both.
    """
    method = _method_of(registration)
    if isinstance(registration, NetworkRegistration):
        shifts = registration(fixed[:1], fixed[1:], moving[:1], spacing, moving[1:])
    else:
        shifts = registration(fixed[:1], fixed[1:], moving[:1], spacing)
    missing = [bone for bone, shift in zip(("lower", "upper"), shifts, strict=True) if not shift.found]
    if missing:
        nothing = torch.full((1, 2, 4), torch.nan)
        bones = Alignment.from_parameters(nothing, nothing[..., 2:])
        return PairReading(math.nan, False, bones, math.nan, method, missing=missing)
    bones = of_shifts(shifts, bone_centers(fixed[1:], spacing).double())
    network = method == METHODS[0]
    jsn = _antisymmetric(bones, moving[1:], spacing) if network else float(narrowing(bones))
    refined = all(shift.refined for shift in shifts)
    warped = warp_bones(moving[None, :1], bones.to(fixed), spacing)
    likeness = min(_correlations(fixed[:1], fixed[1:], warped))
    mse = _mse(bones.to(fixed), fixed, warped, spacing)
    return PairReading(jsn, True, bones.to(fixed), mse, method, refined, likeness=likeness)


def _method_of(registration: Registration) -> str:
    """Name of a method."""
    kinds = (NetworkRegistration, PhaseCorrelation, BoneRegistration)
    return next((name for name, kind in zip(METHODS, kinds, strict=True) if isinstance(registration, kind)), "other")


def _antisymmetric(bones: Alignment, moving_masks: Tensor, spacing: float) -> float:
    """Half the difference of the narrowing of bones (1, 2) and of their inverse, in mm.

    Both are about the middle of the centres in the fixed radiograph and, where there are masks of the moving one, of
    its centres brought back.
    """
    if has_bones(moving_masks):
        center = bone_centers(moving_masks, spacing).to(bones.center)
        brought = bones.inverse()(center[None, :, None])[:, :, 0]
        bones = bones.about(0.5 * (bones.center + brought))
    return 0.5 * float(narrowing(bones) - narrowing(bones.inverse()))


def _mse(bones: Alignment, fixed: Tensor, warped: Tensor, spacing: float) -> float:
    """Registration MSE where the moving radiograph shows the bones."""
    seen = seen_places(bones, warped, spacing)
    return float(registration_mse(fixed[None, :1], warped, fixed[None, 1:], seen=seen).mean())
