"""Band-limited phase-only correlation (POC) of the bones of two radiographs: the classical baseline for the network.

Method of Ou et al. 2023 (arXiv 2205.09315). Scale and rotation of a bone follow from the log-polar amplitude spectra of
its partial images. Its translation follows from overlapping Hann-windowed blocks: their normalised cross-power spectra
are averaged, and the analytic peak of the correlation is fitted by least squares to the points around the highest one.
The height of the fitted peak decides whether the bone counts as found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from bundle.joint import LOWER, MCP, UPPER
from bundle.physics import attenuation
from bundle.registration.alignment import Alignment, bone_centers, warp
from bundle.registration.gauss_newton import BoneShift, check_pair, correlation_of
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.special import diric
from skimage.filters import window
from skimage.registration import phase_cross_correlation
from skimage.transform import warp_polar
from torch import Tensor
from torch.nn import functional as F

Array = NDArray[np.floating[Any]]
Block = tuple[slice, slice]

_ANGLES = 720
"""Rows of a polar spectrum over a full rotation."""

_POLAR_STEPS = 100
"""Steps per row and column of a polar spectrum to which its displacement is located."""


@dataclass(frozen=True)
class Peak:
    """Fitted peak of a phase-only correlation.

    Attributes:
        height: ``a`` of :func:`peak_model`: 1 for a pure shift, near 0 for unrelated images.
        x: displacement of the second image to the right, in pixels.
        y: displacement downwards, in pixels.
        doubt: standard error of the displacement from the residual of the fit, in pixels.
    """

    height: float = 0.0
    x: float = math.nan
    y: float = math.nan
    doubt: float = math.inf


def peak_model(
    rows: Array, columns: Array, peak: tuple[float, float, float], shape: tuple[int, int], band: tuple[int, int]
) -> Array:
    """Phase-only correlation of an image with its shifted copy near the peak.

    ``r(n1, n2) = a / (N1 N2) * sin(pi V1 (n1 + d1) / N1) / sin(pi (n1 + d1) / N1)
    * sin(pi V2 (n2 + d2) / N2) / sin(pi (n2 + d2) / N2)``, Ou et al. 2023, with ``V = 2 K + 1`` kept frequencies.

    Args:
        rows: ``n1``.
        columns: ``n2``, of the same shape.
        peak: ``a``, ``d1`` and ``d2``.
        shape: ``N1`` and ``N2``, the size of the images.
        band: ``K1`` and ``K2``, the highest kept frequencies in cycles per image.
    """
    height, *shift = peak
    value = np.full(np.shape(rows), height, dtype=float)
    for places, moved, size, highest in zip((rows, columns), shift, shape, band, strict=True):
        kept = 2 * highest + 1
        value *= kept / size * diric(2.0 * np.pi / size * (places + moved), kept)
    return value


def phase_correlation(fixed: Array, moving: Array, band: tuple[int, int]) -> Array:
    """Band-limited phase-only correlation, averaged over the images.

    It is the inverse DFT of the normalised cross-power spectrum ``F conj(G) / |F conj(G)|`` with the frequencies above
    ``band`` set to 0 (Ou et al. 2023).

    Args:
        fixed: images (..., N1, N2).
        moving: images of the same shape.
        band: ``K1`` and ``K2``, the highest kept frequencies in cycles per image.

    Returns:
        (N1, N2), with the displacement 0 at index 0.
    """
    cross = np.fft.fft2(fixed) * np.conj(np.fft.fft2(moving))
    size = np.abs(cross)
    phases = np.divide(cross, size, out=np.zeros_like(cross), where=size > 1e-12 * size.max(initial=0.0))
    mean = phases.reshape(-1, *phases.shape[-2:]).mean(axis=0)
    kept = [
        np.abs(np.fft.fftfreq(count, 1.0 / count)).round() <= highest
        for count, highest in zip(mean.shape, band, strict=True)
    ]
    correlation: Array = np.fft.ifft2(mean * kept[0][:, None] * kept[1]).real
    return correlation


def fit_peak(correlation: Array, band: tuple[int, int], reach: float = math.inf) -> Peak:
    """Fit :func:`peak_model` to a correlation by least squares, over the main lobe around its highest point.

    Args:
        correlation: as from :func:`phase_correlation`, (N1, N2).
        band: the kept frequencies ``K1`` and ``K2``.
        reach: largest displacement of the highest point in either direction, in pixels.
    """
    shape = (correlation.shape[0], correlation.shape[1])
    near = [np.abs(np.fft.fftfreq(size, 1.0 / size)) <= reach for size in shape]
    candidates = np.where(near[0][:, None] & near[1], correlation, -np.inf)
    top = np.unravel_index(int(candidates.argmax()), shape)
    spread = [max(size // (2 * highest + 1), 1) for size, highest in zip(shape, band, strict=True)]
    rows, columns = np.mgrid[-spread[0] : spread[0] + 1, -spread[1] : spread[1] + 1]
    values = correlation[(top[0] + rows) % shape[0], (top[1] + columns) % shape[1]]
    peak = _least_squares(rows.astype(float), columns.astype(float), values, shape, band)
    whole = [(place + size // 2) % size - size // 2 for place, size in zip(top, shape, strict=True)]
    return Peak(peak.height, peak.x - float(whole[1]), peak.y - float(whole[0]), peak.doubt)


def _least_squares(rows: Array, columns: Array, values: Array, shape: tuple[int, int], band: tuple[int, int]) -> Peak:
    """The peak (a, d1, d2) about the highest point, and its standard error."""
    highest = float(np.prod([(2 * kept + 1) / size for kept, size in zip(band, shape, strict=True)]))

    def residual(peak: Array) -> Array:
        given = (float(peak[0]), float(peak[1]), float(peak[2]))
        return (peak_model(rows, columns, given, shape, band) - values).ravel() / highest

    found = least_squares(residual, [float(values.max()) / highest, 0.0, 0.0], xtol=1e-12, ftol=1e-12)
    variance = 2.0 * found.cost / max(values.size - 3, 1)
    errors = variance * np.linalg.pinv(found.jac.T @ found.jac).diagonal()
    height, down, right = (float(value) for value in found.x)
    return Peak(height, right, down, float(np.sqrt(errors[1:].max())))


@dataclass(frozen=True, kw_only=True)
class PhaseCorrelation:
    """Registration of each bone of a radiograph, with its masks, to another radiograph; lengths in mm.

    The masks only place the partial images, as in :class:`bundle.registration.BoneRegistration`. A partial image is the
    high-passed attenuation of one bone, faded out towards its outline and towards the other bone.

    Attributes:
        pixel_mm: smallest pixel size of the reduced frames: a public frame of 256 pixels keeps its own.
        coarse_mm: sigma of the Gaussian whose result, the soft tissue, is subtracted.
        depth_mm: vertical extent of a partial image from the middle of the edge that faces the joint.
        fade_mm: sigma of the fading of a partial image towards its outline.
        block_mm: height and width of a block; blocks overlap by half.
        finest_mm: shortest kept wavelength.
        reach_mm: largest motion that counts as found.
        rounds: rounds of correction; each warps the moving radiograph by the previous motion.
        turns: whether to find rotations, up to ``largest_turn_deg``.
        scales: whether to find scales.
        largest_turn_deg: largest rotation in degrees.
        least_peak: lowest height of the fitted peak at which the bone counts as found.
        least_area_mm2: smallest partial image, in mm^2; 200 pixels of the public frames.
    """

    name: ClassVar[str] = "phase_correlation"
    antisymmetric: ClassVar[bool] = False

    pixel_mm: float = 0.08
    coarse_mm: float = 0.5
    depth_mm: float = 6.0
    fade_mm: float = 0.3
    block_mm: float = 5.2
    finest_mm: float = 0.5
    reach_mm: float = 2.5
    rounds: int = 3
    turns: bool = True
    scales: bool = False
    largest_turn_deg: float = 10.0
    least_peak: float = 0.25
    least_area_mm2: float = 200 * MCP.spacing_mm**2

    def __call__(
        self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, *, after_masks: Tensor | None = None
    ) -> tuple[BoneShift, BoneShift]:
        """Find the motion of both bones; see :class:`bundle.registration.BoneRegistration`."""
        check_pair(before, masks, after)
        bones = masks > 0.5
        if not (bool(after.isfinite().all()) and bool(bones.flatten(1).any(dim=1).all())):
            return BoneShift(), BoneShift()
        center = bone_centers(masks, spacing).double()
        shape = [max(round(side * min(spacing / self.pixel_mm, 1.0)), 1) for side in before.shape[-2:]]
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
        """Return the attenuation (H, W) without its smooth part."""
        values = attenuation(picture).numpy()
        return values - ndimage.gaussian_filter(values, self.coarse_mm / pixel, mode="nearest")

    def _region(self, masks: Tensor, bone: int, center: Tensor, pixel: float) -> Array:
        """Return the weights (H, W) of a partial image, 0 to 1."""
        rows = (np.arange(masks.shape[-2]) - (masks.shape[-2] - 1) / 2) * pixel
        near = np.abs(rows - float(center[1])) < self.depth_mm
        alone = ((masks[bone] > 0.5) & (masks[1 - bone] < 0.5)).numpy() & near[:, None]
        inside = ndimage.distance_transform_edt(np.pad(alone, 1))[1:-1, 1:-1] * pixel
        return 1.0 - np.exp(-0.5 * np.square(inside / self.fade_mm))

    def _find(self, fixed: Array, moving: Array, region: Array, center: Tensor, pixel: float) -> BoneShift:
        blocks = _blocks(region, 2 * max(round(0.5 * self.block_mm / pixel), 4))
        if (region > 0.5).sum() * pixel**2 < self.least_area_mm2 or not blocks:
            return BoneShift()
        found, part, peak = Alignment.still(center[None]), _partial(fixed, region), Peak()
        for turning in (self.turns or self.scales, False) * self.rounds:
            warped = _partial(_warped(moving, found, pixel), region)
            step = self._turn(part, warped) if turning else (1.0, 0.0)
            peak = peak if turning else self._peak(part, warped, blocks, pixel)
            shift = (0.0, 0.0) if turning else (pixel * peak.x, pixel * peak.y)
            values = torch.tensor([[*step, *shift]], dtype=torch.float64)
            found = Alignment.from_parameters(values, center[None]).then(found)
        seen = region > 0.5
        correlation = correlation_of(fixed[seen], _warped(moving, found, pixel)[seen])
        return self._judged(found, peak, correlation)

    def _peak(self, fixed: Array, moving: Array, blocks: Sequence[Block], pixel: float) -> Peak:
        """Return the peak of the correlation of partial images, averaged over their blocks."""
        size = blocks[0][0].stop - blocks[0][0].start
        highest = min(max(int(size * pixel / self.finest_mm), 1), (size - 1) // 2)
        fade = np.outer(*[window("hann", size)] * 2)
        cut = [np.stack([picture[block] for block in blocks]) * fade for picture in (fixed, moving)]
        reach = min(self.reach_mm / pixel, size // 2 - 1)
        return fit_peak(phase_correlation(cut[0], cut[1], (highest, highest)), (highest, highest), reach)

    def _turn(self, fixed: Array, moving: Array) -> tuple[float, float]:
        """Return scale and degrees, from the amplitude spectra, which shifts do not change."""
        radius = min(fixed.shape) // 2
        spectra = [_polar_spectrum(picture, radius) for picture in (fixed, moving)]
        way = phase_cross_correlation(*spectra, upsample_factor=_POLAR_STEPS, normalization=None)[0]
        degrees, scale = -float(way[0]) * 360.0 / _ANGLES, math.exp(float(way[1]) * math.log(radius) / radius)
        plausible = abs(degrees) <= self.largest_turn_deg and abs(scale - 1.0) <= 0.1
        if not plausible:
            return 1.0, 0.0
        return (scale if self.scales else 1.0), (degrees if self.turns else 0.0)

    def _judged(self, found: Alignment, peak: Peak, correlation: float) -> BoneShift:
        scale, degrees, x, y = (float(value) for value in found.parameters()[0])
        near = math.hypot(x, y) <= self.reach_mm and abs(degrees) <= self.largest_turn_deg
        if not (near and peak.height >= self.least_peak):
            return BoneShift(correlation=correlation)
        return BoneShift(x, y, degrees, correlation, True, scale)


def _blocks(region: Array, size: int) -> list[Block]:
    """Return square blocks that overlap by half and lie at least to a third in the region (H, W)."""
    rows, columns = (np.flatnonzero((region > 0.5).any(axis=axis)) for axis in (1, 0))
    if not len(rows) or min(region.shape) < size:
        return []
    starts = [
        _starts(int(found[0]), int(found[-1]) + 1, size, whole)
        for found, whole in ((rows, region.shape[0]), (columns, region.shape[1]))
    ]
    blocks = [(slice(row, row + size), slice(column, column + size)) for row in starts[0] for column in starts[1]]
    return [block for block in blocks if region[block].mean() >= 1.0 / 3.0]


def _starts(first: int, end: int, size: int, whole: int) -> list[int]:
    """Return starts of blocks that cover ``first`` to ``end`` evenly, overlap by at least half and lie in the frame."""
    steps = max(math.ceil((end - first - size) / (size // 2)), 0)
    last = max(end - size, first) if steps else first + (end - first - size) // 2
    places = np.linspace(first if steps else last, last, steps + 1).round().astype(int)
    return sorted({int(np.clip(place, 0, whole - size)) for place in places})


def _partial(picture: Array, region: Array) -> Array:
    """Return an image (H, W) inside a region, without its mean there."""
    return (picture - (picture * region).sum() / region.sum()) * region


def _warped(moving: Array, found: Alignment, pixel: float) -> Array:
    warped: Array = warp(torch.from_numpy(moving)[None, None], found, pixel, "bicubic")[0, 0].numpy()
    return warped


def _polar_spectrum(picture: Array, radius: int) -> Array:
    """Return half of the log-polar amplitude spectrum: angles by radii."""
    side = 2 * radius
    square = np.zeros((side, side))
    square[: min(side, picture.shape[0]), : min(side, picture.shape[1])] = picture[:side, :side]
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(square * window("hann", square.shape))))
    polar = warp_polar(np.log1p(amplitude), radius=radius, output_shape=(_ANGLES, radius), scaling="log", order=1)
    half: Array = polar[: _ANGLES // 2]
    return half - half.mean(axis=0)
