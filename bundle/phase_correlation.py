"""Phase-only correlation of the bones of two radiographs: the classical way to the narrowing of a joint space.

After Ou et al. 2023 (arXiv 2205.09315), who correlate partial images, one of each bone. Rotation (and scale) are found
by the logarithmic polar amplitude spectra of these, the shift by their phases, to a hundredth of a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import window
from skimage.registration import phase_cross_correlation
from skimage.transform import warp_polar
from torch import Tensor
from torch.nn import functional as F

from bundle.alignment import Alignment, bone_centers, warp
from bundle.radiograph import attenuation
from bundle.registration import LOWER, UPPER, BoneShift, check_pair

Array = NDArray[np.floating[Any]]

_ANGLES = 720
"""Rows of a polar spectrum over a full turn."""


@dataclass(frozen=True, kw_only=True)
class PhaseCorrelation:
    """Find the motion of each bone from one radiograph, with its masks, to another; lengths in mm.

    The masks say only where to look, as in :class:`bundle.registration.BoneRegistration`. A partial image is the
    attenuation less its smooth part, faded out towards the outline of the bone and where the other bone lies.

    Attributes:
        pixel: frames are reduced to pixels of at least this size: a public frame of 256 pixels shows 140.
        coarse: sigma of the Gaussian whose result, the tissue, is taken away.
        depth: a bone is compared up to so far, vertically, from the middle of its edge that faces the joint.
        fade: sigma of the fading of a partial image towards its outline.
        reach: largest motion that counts as found.
        upsampling: places are found to this part of a pixel.
        rounds: the second one on is left to correct what the one before has found.
        turns: find rotations, up to ``largest_turn``.
        scales: find scales, too.
        largest_turn: in degrees.
        least_correlation: of the partial images, moved onto each other; below, the bone counts as not found.
        least_pixels: so many pixels must be left to compare.
    """

    pixel: float = 0.15
    coarse: float = 0.5
    depth: float = 6.0
    fade: float = 0.3
    reach: float = 2.5
    upsampling: int = 100
    rounds: int = 3
    turns: bool = True
    scales: bool = False
    largest_turn: float = 10.0
    least_correlation: float = 0.3
    least_pixels: int = 200

    def __call__(self, before: Tensor, masks: Tensor, after: Tensor, spacing: float) -> tuple[BoneShift, BoneShift]:
        """Find the motion of both bones, as :class:`bundle.registration.BoneRegistration` is asked for it."""
        check_pair(before, masks, after)
        bones = masks > 0.5
        if not (bool(after.isfinite().all()) and bool(bones.flatten(1).any(dim=1).all())):
            return BoneShift(), BoneShift()
        center = bone_centers(masks, spacing).double()
        shape = [max(round(side * min(spacing / self.pixel, 1.0)), 1) for side in before.shape[-2:]]
        pixel = spacing * before.shape[-1] / shape[1]
        small = F.interpolate(torch.cat([before, after, masks])[None].double(), shape, mode="bilinear", antialias=True)[
            0
        ]
        fixed, moving = (self._details(picture, pixel) for picture in small[:2])
        lower, upper = (
            self._find(fixed, moving, self._region(small[2:], bone, center[bone], pixel), center[bone], pixel)
            for bone in (LOWER, UPPER)
        )
        return lower, upper

    def _details(self, picture: Tensor, pixel: float) -> Array:
        """Attenuation (H, W) less its smooth part."""
        values = attenuation(picture).numpy()
        return values - ndimage.gaussian_filter(values, self.coarse / pixel, mode="nearest")

    def _region(self, masks: Tensor, bone: int, center: Tensor, pixel: float) -> Array:
        """Weights (H, W) of a partial image, 0 to 1."""
        rows = (np.arange(masks.shape[-2]) - (masks.shape[-2] - 1) / 2) * pixel
        near = np.abs(rows - float(center[1])) < self.depth
        alone = ((masks[bone] > 0.5) & (masks[1 - bone] < 0.5)).numpy() & near[:, None]
        inside = ndimage.distance_transform_edt(np.pad(alone, 1))[1:-1, 1:-1] * pixel
        return 1.0 - np.exp(-0.5 * np.square(inside / self.fade))

    def _find(self, fixed: Array, moving: Array, region: Array, center: Tensor, pixel: float) -> BoneShift:
        if (region > 0.5).sum() < self.least_pixels:
            return BoneShift()
        found = Alignment.still(center[None])
        part = _partial(fixed, region)
        for turning in (self.turns or self.scales, False) * self.rounds:
            warped = _warped(moving, found, pixel)
            step = self._turn(part, _partial(warped, region)) if turning else (1.0, 0.0)
            shift = (0.0, 0.0) if turning else self._shift(part, _partial(warped, region))
            values = torch.tensor([[*step, *(pixel * way for way in shift)]], dtype=torch.float64)
            found = Alignment.from_parameters(values, center[None]).then(found)
        seen = region > 0.5
        correlation = float(np.corrcoef(fixed[seen], _warped(moving, found, pixel)[seen])[0, 1])
        return self._judged(found, correlation)

    def _shift(self, fixed: Array, moving: Array) -> tuple[float, float]:
        """How far (x, y) in pixels the bone has moved."""
        way = phase_cross_correlation(fixed, moving, upsample_factor=self.upsampling, normalization="phase")[0]
        return -float(way[1]), -float(way[0])

    def _turn(self, fixed: Array, moving: Array) -> tuple[float, float]:
        """Scale and degrees, from the amplitudes of the spectra, which shifts do not change."""
        radius = min(fixed.shape) // 2
        spectra = [_polar_spectrum(picture, radius) for picture in (fixed, moving)]
        way = phase_cross_correlation(*spectra, upsample_factor=self.upsampling, normalization=None)[0]
        degrees, scale = -float(way[0]) * 360.0 / _ANGLES, math.exp(float(way[1]) * math.log(radius) / radius)
        plausible = abs(degrees) <= self.largest_turn and abs(scale - 1.0) <= 0.1
        if not plausible:
            return 1.0, 0.0
        return (scale if self.scales else 1.0), (degrees if self.turns else 0.0)

    def _judged(self, found: Alignment, correlation: float) -> BoneShift:
        scale, degrees, x, y = (float(value) for value in found.parameters()[0])
        near = math.hypot(x, y) <= self.reach and abs(degrees) <= self.largest_turn
        if not (near and correlation >= self.least_correlation):
            return BoneShift(correlation=correlation)
        return BoneShift(x, y, degrees, correlation, True, scale)


def _partial(picture: Array, region: Array) -> Array:
    """A picture (H, W) inside a region, without its mean there."""
    return (picture - (picture * region).sum() / region.sum()) * region


def _warped(moving: Array, found: Alignment, pixel: float) -> Array:
    warped: Array = warp(torch.from_numpy(moving)[None, None], found, pixel, "bicubic")[0, 0].numpy()
    return warped


def _polar_spectrum(picture: Array, radius: int) -> Array:
    """Half of the amplitude spectrum in logarithmic polar coordinates: angles by radii."""
    side = 2 * radius
    square = np.zeros((side, side))
    square[: min(side, picture.shape[0]), : min(side, picture.shape[1])] = picture[:side, :side]
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(square * window("hann", square.shape))))
    polar = warp_polar(np.log1p(amplitude), radius=radius, output_shape=(_ANGLES, radius), scaling="log", order=1)
    half: Array = polar[: _ANGLES // 2]
    return half - half.mean(axis=0)
