"""Methods that find the narrowing of a joint space between two radiographs, by name, and what they say of a pair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from bundle.alignment import Alignment, bone_centers, narrowing, of_shifts, seen_places, warp_bones
from bundle.errors import InputError, flag
from bundle.networks.registrars import Registrar
from bundle.phase_correlation import PhaseCorrelation
from bundle.registration import LOWER, UPPER, BoneRegistration, BoneShift
from bundle.registration_losses import exclusive_regions, registration_mse

METHODS = ("network", "phase_correlation", "gauss_newton")
"""The network of Wang et al. 2023, phase-only correlation as Ou et al. 2023, and the fit of measure E6."""


class Registration(Protocol):
    """Finds how the bones of one radiograph lie in another one."""

    def __call__(self, before: Tensor, masks: Tensor, after: Tensor, spacing: float) -> tuple[BoneShift, BoneShift]:
        """See :meth:`bundle.registration.BoneRegistration.__call__`."""


@dataclass(frozen=True)
class NetworkRegistration:
    """Registration by the network, called as the other methods are.

    Attributes:
        network: in evaluation mode while it is called.
        refinement: fits what the network has found at the full resolution; where the fit does not hold, what the
            network has found stays.
        reach: largest motion that counts as found, in mm.
        least_correlation: of fixed and warped radiograph inside the bone; below, it counts as not found.
    """

    network: Registrar
    refinement: BoneRegistration | None = None
    reach: float = 4.0
    least_correlation: float = 0.3

    def __call__(self, before: Tensor, masks: Tensor, after: Tensor, spacing: float) -> tuple[BoneShift, BoneShift]:
        """Find the motion of the lower and of the upper bone, with its scale."""
        bones = masks > 0.5
        if not (bool(after.isfinite().all()) and bool(bones.flatten(1).any(dim=1).all())):
            return BoneShift(), BoneShift()
        center = bone_centers(masks, spacing)
        found = self._found(before, masks, after, spacing, center)
        correlations = _correlations(before, masks, warp_bones(after[None], found, spacing))
        lower, upper = (self._judged(found, bone, correlations[bone]) for bone in (LOWER, UPPER))
        if self.refinement is None:
            return lower, upper
        fitted = self.refinement(before, masks, after, spacing, (lower, upper))
        return _first_found(fitted[LOWER], lower), _first_found(fitted[UPPER], upper)

    @torch.no_grad()
    def _found(self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, center: Tensor) -> Alignment:
        device = next(self.network.parameters()).device
        given = [part[None].float().to(device) for part in (before, masks, after)]
        training = self.network.training
        self.network.eval()
        found = self.network(*given, torch.tensor([spacing], device=device), center[None].to(device))[-1]
        self.network.train(training)
        return found.to(torch.zeros(1))

    def _judged(self, found: Alignment, bone: int, correlation: float) -> BoneShift:
        scale, degrees, x, y = (float(value) for value in found.parameters()[0, bone])
        if not (math.hypot(x, y) <= self.reach and correlation >= self.least_correlation):
            return BoneShift(correlation=correlation)
        return BoneShift(x, y, degrees, correlation, True, scale)


def _first_found(fitted: BoneShift, before: BoneShift) -> BoneShift:
    return fitted if fitted.found else before


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
    """

    jsn_mm: float
    found: bool
    bones: Alignment
    mse: float


def read_pair(registration: Registration, fixed: Tensor, moving: Tensor, spacing: float) -> PairReading:
    """The narrowing between two radiographs of a joint.

    Args:
        registration: the method.
        fixed: radiograph and bone masks, (3, H, W).
        moving: radiograph, (1, H, W) or with its masks, which are not looked at.
        spacing: mm per pixel of both.
    """
    shifts = registration(fixed[:1], fixed[1:], moving[:1], spacing)
    found = all(shift.found for shift in shifts)
    if not found:
        nothing = torch.full((1, 2, 4), torch.nan)
        return PairReading(math.nan, False, Alignment.from_parameters(nothing, nothing[..., 2:]), math.nan)
    bones = of_shifts(shifts, bone_centers(fixed[1:], spacing))
    warped = warp_bones(moving[None, :1], bones, spacing)
    seen = seen_places(bones, warped, spacing)
    mse = registration_mse(fixed[None, :1], warped, fixed[None, 1:], seen=seen).mean()
    return PairReading(float(narrowing(bones.to(warped.double()))), True, bones, float(mse))
