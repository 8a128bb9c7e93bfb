"""Joint space narrowing between two radiographs, by any registration method, and the methods by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from bundle.errors import InputError, flag
from bundle.registration.alignment import Alignment, bone_centers, narrowing, of_shifts, seen_places, warp_bones
from bundle.registration.gauss_newton import BoneRegistration
from bundle.registration.losses import registration_mse
from bundle.registration.method import Registration, correlations, has_bones
from bundle.registration.network import Registrar
from bundle.registration.network_method import NetworkRegistration
from bundle.registration.phase_correlation import PhaseCorrelation
from torch import Tensor

METHODS = tuple(kind.name for kind in (NetworkRegistration, PhaseCorrelation, BoneRegistration))
"""The network of Wang et al. 2023, phase-only correlation after Ou et al. 2023, and the fit of measure E6."""


def make_registration(
    method: str, network: Registrar | None = None, options: Mapping[str, Any] | None = None, refine: bool | str = False
) -> Registration:
    """Return a registration method by its name.

    Args:
        method: one of :data:`METHODS`.
        network: network of the first method.
        options: attributes of the method that replace the defaults.
        refine: whether to refine the network's result by a fit (:attr:`NetworkRegistration.refinement`).

    Raises:
        InputError: there is no such method, or it has no such option.
    """
    if method not in METHODS or (method == NetworkRegistration.name and network is None):
        msg = f"method is {method!r}. Choose one of {', '.join(METHODS)}; the first needs a network."
        raise InputError(msg)
    try:
        if method == PhaseCorrelation.name:
            return PhaseCorrelation(**(options or {}))
        if method == BoneRegistration.name or network is None:
            return BoneRegistration(**(options or {}))
        return NetworkRegistration(network, BoneRegistration() if flag(refine) else None, **(options or {}))
    except TypeError as error:
        msg = f"the method {method} cannot take the options {dict(options or {})} ({error}). Correct them."
        raise InputError(msg) from error


@dataclass(frozen=True)
class PairReading:
    """Measurement of a pair by a method.

    Attributes:
        jsn_mm: narrowing from the fixed to the moving radiograph; NaN if a bone was not found.
        found: whether both bones were found.
        bones: alignment of the bones, (1, 2); NaN if not found.
        mse: registration MSE of the raw intensities, mean of both bones, where the moving radiograph shows them; NaN
            if a bone was not found.
        method: name of the method.
        refined: whether a fit at full resolution has refined the network's result.
        missing: bones that were not found, ``lower`` and ``upper``.
        likeness: correlation of the fixed and the warped moving radiograph, inside the bone where it is lower; NaN if a
            bone was not found.
        smallest_detectable_change_mm: smallest detectable change of the joint space; NaN where it was not looked up.
    """

    jsn_mm: float
    found: bool
    bones: Alignment = field(repr=False)
    mse: float
    method: str = NetworkRegistration.name
    refined: bool = False
    missing: Sequence[str] = ()
    likeness: float = math.nan
    smallest_detectable_change_mm: float = math.nan

    @property
    def exceeds(self) -> bool | None:
        """Whether the change of the joint space exceeds the smallest detectable one; None if either is unknown."""
        return exceeds_detectable(self.jsn_mm, self.smallest_detectable_change_mm)


def exceeds_detectable(change_mm: float | None, limit_mm: float) -> bool | None:
    """Return whether a change of the joint space exceeds the smallest detectable change; None if either is unknown."""
    change = math.nan if change_mm is None else abs(change_mm)
    return None if math.isnan(change) or math.isnan(limit_mm) else change > limit_mm


def read_pair(registration: Registration, fixed: Tensor, moving: Tensor, spacing: float) -> PairReading:
    """Measure the narrowing between two radiographs of a joint.

    For an antisymmetric method, such as the network, it is ``n(A, B) = (m(A, B) - m(B, A)) / 2``, with the masks of the
    moving radiograph if given: 0 for two equal radiographs, and exactly the opposite for the exchanged pair. The other
    methods ignore these masks.

    Args:
        registration: registration method.
        fixed: radiograph and bone masks, (3, H, W).
        moving: radiograph, (1, H, W), or radiograph and masks, (3, H, W).
        spacing: pixel size of both in mm.
    """
    method = registration.name
    shifts = registration(fixed[:1], fixed[1:], moving[:1], spacing, after_masks=moving[1:])
    missing = [bone for bone, shift in zip(("lower", "upper"), shifts, strict=True) if not shift.found]
    if missing:
        nothing = torch.full((1, 2, 4), torch.nan)
        bones = Alignment.from_parameters(nothing, nothing[..., 2:])
        return PairReading(math.nan, False, bones, math.nan, method, missing=missing)
    bones = of_shifts(shifts, bone_centers(fixed[1:], spacing).double())
    both = registration.antisymmetric
    jsn = _antisymmetric(bones, moving[1:], spacing) if both else float(narrowing(bones))
    refined = all(shift.refined for shift in shifts)
    warped = warp_bones(moving[None, :1], bones.to(fixed), spacing)
    likeness = min(correlations(fixed[:1], fixed[1:], warped))
    mse = _mse(bones.to(fixed), fixed, warped, spacing)
    return PairReading(jsn, True, bones.to(fixed), mse, method, refined, likeness=likeness)


def _antisymmetric(bones: Alignment, moving_masks: Tensor, spacing: float) -> float:
    """Return half the difference of the narrowing of bones (1, 2) and of their inverse, in mm.

    Both refer to the bone centres of the fixed radiograph or, with masks of the moving one, to the midpoints between
    these and the centres of the moving radiograph, mapped back.
    """
    if has_bones(moving_masks):
        center = bone_centers(moving_masks, spacing).to(bones.center)
        brought = bones.inverse()(center[None, :, None])[:, :, 0]
        bones = bones.about(0.5 * (bones.center + brought))
    return 0.5 * float(narrowing(bones) - narrowing(bones.inverse()))


def _mse(bones: Alignment, fixed: Tensor, warped: Tensor, spacing: float) -> float:
    """Return the registration MSE where the moving radiograph shows the bones."""
    seen = seen_places(bones, warped, spacing)
    return float(registration_mse(fixed[None, :1], warped, fixed[None, 1:], seen=seen).mean())
