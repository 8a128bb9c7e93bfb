"""Sub-pixel registration of the two bones of a joint between two radiographs, from the images alone.

Attenuations add, so static soft tissue and a moving bone are a sum of two images of which only one moves. A band-pass
in the attenuation domain leaves the outline and trabeculae of the bone and little of the tissue, which is smooth. Each
bone is located by masked correlation and then fitted by Gauss-Newton. In the second fit the region extends to the edge
that faces the joint, as far as the other bone covers it in neither image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from bundle.joint import LOWER, MCP, UPPER
from bundle.measurement import Region, facing_edges, outline_distance
from bundle.physics import attenuation
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation
from torch import Tensor

Array = NDArray[np.floating[Any]]

_BORDER = 3
"""Pixels at the frame's border that are not compared: filters and splines lack support there."""

_BEYOND_MM = 64 * MCP.spacing_mm
"""Continuation of the bones beyond the frame, so that no outline runs along its border: 5.25 mm."""


@dataclass(frozen=True)
class BoneShift:
    """Motion of a bone between two radiographs.

    Attributes:
        x: mm to the right, of the middle of the edge that faces the joint.
        y: mm downwards, of the same point.
        rotation: degrees, positive from x to y, about that point.
        correlation: correlation of the two band-passed images of the aligned bone; NaN if they were not compared.
        found: whether the fit converged, within reach, on images that correlate. If not, x, y and rotation are NaN.
        scale: size in the second radiograph relative to the first; 1 if it is not estimated.
        refined: whether a fit at full resolution has refined a network's result.
    """

    x: float = math.nan
    y: float = math.nan
    rotation: float = math.nan
    correlation: float = math.nan
    found: bool = False
    scale: float = 1.0
    refined: bool = False


@dataclass(frozen=True, kw_only=True)
class BoneRegistration:
    """Registration of each bone of a radiograph, with its masks, to another radiograph; lengths in mm.

    The masks only select the region: their outlines are never compared, and the second radiograph needs none.

    Attributes:
        fine_mm: sigma of the Gaussian against noise texture.
        coarse_mm: sigma of the Gaussian whose result, the tissue, is subtracted.
        reach_mm: largest motion, of a bone and of the bones relative to each other, that can be found.
        depth_mm: vertical extent of the compared region beyond the middles of both bones' edges that face the joint: of
            bones with a large overlap, each shows alone only beyond the edge of the other.
        rim_mm: distance of the region of the first fit inside the annotated outline.
        penumbra_mm: extent of the region of the second fit outside it.
        clearance_mm: distance of the region of the second fit to the other bone's outline, in both radiographs.
        iterations: maximum number of steps of a fit.
        tolerance_mm: a fit has converged when its step moves no point of the bone by more, or when the step is below
            ``certainty`` standard errors of the fitted motion.
        certainty: fraction of the standard error at which a fit stops. A fit that ends by ``iterations`` has converged
            if its last step is below one standard error.
        least_correlation: lowest correlation at which the bone counts as found.
        least_area_mm2: smallest area to compare, in mm^2; 300 pixels of the public frames.
    """

    name: ClassVar[str] = "gauss_newton"
    antisymmetric: ClassVar[bool] = False

    fine_mm: float = 0.08
    coarse_mm: float = 0.33
    reach_mm: float = 1.6
    depth_mm: float = 6.0
    rim_mm: float = 0.33
    penumbra_mm: float = 0.16
    clearance_mm: float = 0.65
    iterations: int = 40
    tolerance_mm: float = 1e-5
    certainty: float = 0.1
    least_correlation: float = 0.5
    least_area_mm2: float = 300 * MCP.spacing_mm**2

    def __call__(
        self,
        before: Tensor,
        masks: Tensor,
        after: Tensor,
        spacing: float,
        *,
        after_masks: Tensor | None = None,
        start: Sequence[BoneShift] | None = None,
    ) -> tuple[BoneShift, BoneShift]:
        """Find the motion of the lower and of the upper bone.

        Args:
            before: radiograph (1, H, W) in [0, 1].
            masks: its bone masks, lower and upper, (2, H, W).
            after: other radiograph, like ``before``.
            spacing: pixel size of both in mm.
            after_masks: ignored.
            start: initial motion of both bones; skips the search by correlation.

        Raises:
            ValueError: the shapes do not agree.
        """
        check_pair(before, masks, after)
        bones = masks.numpy() > 0.5
        if not (bool(after.isfinite().all()) and all(bone.any() for bone in bones)):
            return BoneShift(), BoneShift()
        known = [
            _Fit(place, *_in_pixels(shift, spacing))
            for place, shift in zip(facing_edges(bones), start or (), strict=False)
        ]
        fits = self._fit_both(self._details(before, spacing), self._details(after, spacing), bones, spacing, known)
        return self._judged(fits[LOWER], spacing), self._judged(fits[UPPER], spacing)

    def _details(self, image: Tensor, spacing: float) -> Array:
        """Return the band-passed attenuation (H, W)."""
        values = attenuation(image[0].double()).numpy()
        smooth = [
            ndimage.gaussian_filter(values, sigma / spacing, mode="nearest") for sigma in (self.fine_mm, self.coarse_mm)
        ]
        return smooth[0] - smooth[1]

    def _fit_both(
        self, before: Array, after: Array, bones: Region, spacing: float, known: Sequence[_Fit] = ()
    ) -> list[_Fit]:
        beyond = round(_BEYOND_MM / spacing)
        distance = np.stack([outline_distance(bone, offset=0.0, continued=beyond) for bone in bones]) * spacing
        places = facing_edges(bones)
        heights = [float(place[1]) for place in places]
        first_row, last_row = min(heights) - self.depth_mm / spacing, max(heights) + self.depth_mm / spacing
        rows = np.arange(before.shape[0])[:, None]
        near = (rows > first_row) & (rows < last_row)
        apart = self.reach_mm + self.rim_mm
        first = []
        for bone, place in enumerate(places):
            region = near & (distance[bone] > self.rim_mm) & (distance[1 - bone] < -apart)
            found = self._fit(before, after, region, known[bone], spacing) if known else None
            first.append(found or self._search(before, after, region, place, spacing))
        if not all(fit.converged for fit in first):
            return first
        return [
            self._fit(before, after, near & self._free(distance, first, bone, spacing), first[bone], spacing)
            for bone in (LOWER, UPPER)
        ]

    def _free(self, distance: Array, fits: list[_Fit], bone: int, spacing: float) -> Region:
        """Return the region in which the bone with its penumbra is free of the other one in both radiographs."""
        other = distance[1 - bone]
        relative = fits[1 - bone].shift - fits[bone].shift
        moved = ndimage.shift(other, relative[::-1], order=1, mode="nearest")
        return (distance[bone] > -self.penumbra_mm) & (np.maximum(other, moved) < -self.clearance_mm)

    def _search(self, before: Array, after: Array, region: Region, place: Array, spacing: float) -> _Fit:
        """Locate the bone to ``2 fine`` by masked correlation, then fit it."""
        start = _Fit(place)
        seen = _inner(region)
        if seen.sum() * spacing**2 < self.least_area_mm2:
            return start
        step = max(round(2.0 * self.fine_mm / spacing), 1)
        few = (slice(None, None, step), slice(None, None, step))
        everywhere = np.ones_like(seen)[few]
        shift = phase_cross_correlation(
            before[few], after[few], reference_mask=seen[few], moving_mask=everywhere, overlap_ratio=0.5
        )[0]
        return self._fit(before, after, region, _Fit(place, -float(step) * np.array([shift[1], shift[0]])), spacing)

    def _fit(self, before: Array, after: Array, region: Region, start: _Fit, spacing: float) -> _Fit:
        seen = _inner(region)
        if seen.sum() * spacing**2 < self.least_area_mm2:
            return _Fit(start.place)
        pair = _Pair(before, after, seen, start.place)
        texture = max(4.0 * math.pi * (self.fine_mm / spacing) ** 2, 1.0)
        return pair.fit(start, _Limits(self.iterations, self.tolerance_mm / spacing, self.certainty, texture))

    def _judged(self, fit: _Fit, spacing: float) -> BoneShift:
        shift = fit.shift * spacing
        found = fit.converged and np.hypot(*shift) <= self.reach_mm and fit.correlation >= self.least_correlation
        if not found:
            return BoneShift(correlation=fit.correlation)
        return BoneShift(float(shift[0]), float(shift[1]), math.degrees(fit.angle), fit.correlation, True)


def check_pair(before: Tensor, masks: Tensor, after: Tensor) -> None:
    """Refuse anything but two radiographs (1, H, W) and the masks of the first, (2, H, W)."""
    if before.dim() != 3 or len(before) != 1 or before.shape != after.shape or masks.shape != (2, *before.shape[1:]):
        shapes = [tuple(given.shape) for given in (before, masks, after)]
        msg = f"expected radiographs (1, H, W) and masks (2, H, W), got {shapes}"
        raise ValueError(msg)


def _in_pixels(shift: BoneShift, spacing: float) -> tuple[Array, float]:
    """Return the shift in pixels and the angle in radians."""
    return np.array([shift.x, shift.y]) / spacing, math.radians(shift.rotation)


@dataclass(frozen=True)
class _Fit:
    """A rigid motion about ``place``, in pixels (x, y) and radians; not converged by default."""

    place: Array
    shift: Array = field(default_factory=lambda: np.zeros(2))
    angle: float = 0.0
    correlation: float = math.nan
    converged: bool = False

    def warped(self, points: Array) -> Array:
        """Return the moved points (N, 2)."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return (points - self.place) @ np.array([[cosine, sine], [-sine, cosine]]) + self.place + self.shift


@dataclass(frozen=True)
class _Limits:
    """Stopping criteria of a fit: steps, pixels, standard errors, and the correlation area of the noise in pixels."""

    iterations: int
    tolerance: float
    certainty: float
    texture: float


class _Pair:
    """Two images; some pixels of the first are compared with the second at their moved positions."""

    def __init__(self, before: Array, after: Array, seen: Region, place: Array) -> None:
        rows, columns = np.nonzero(seen)
        self._points = np.stack([columns, rows], axis=1).astype(float)
        self._values = before[rows, columns]
        self._slopes = _slopes(before)[:, rows, columns]
        self._after = [ndimage.spline_filter(picture, order=3, mode="mirror") for picture in (after, *_slopes(after))]
        self._size = np.array(after.shape[::-1])
        self._radius = float(np.abs(self._points - place).max())

    def fit(self, fit: _Fit, limits: _Limits) -> _Fit:
        """Fit by Gauss-Newton least squares with the mean of both images' slopes, from a start."""
        for remaining in reversed(range(limits.iterations)):
            targets = fit.warped(self._points)
            inside = ((targets >= _BORDER) & (targets <= self._size - 1 - _BORDER)).all(axis=1)
            if inside.sum() <= 3:
                return _Fit(fit.place)
            sampled, slopes = self._sample(targets)
            arm = targets - fit.place - fit.shift
            system = np.column_stack([slopes.T, slopes[1] * arm[:, 0] - slopes[0] * arm[:, 1]])[inside]
            difference = (self._values - sampled)[inside]
            step = np.linalg.lstsq(system, difference, rcond=None)[0]
            correlation = correlation_of(sampled[inside], self._values[inside])
            certain = _standard_errors(system, difference, step, limits.texture)
            small = self._is_small(step, limits.tolerance)
            converged = small or certain < (limits.certainty if remaining else float(limits.certainty > 0))
            fit = _Fit(fit.place, fit.shift + step[:2], fit.angle + float(step[2]), correlation, converged)
            if converged:
                break
        return fit

    def _is_small(self, step: Array, tolerance: float) -> bool:
        """Whether a step moves no point by more than ``tolerance`` pixels."""
        return bool(max(np.hypot(*step[:2]), abs(step[2]) * self._radius) < tolerance)

    def _sample(self, targets: Array) -> tuple[Array, Array]:
        """Return the second image at targets (N, 2), and the mean of both images' slopes there, (2, N)."""
        places = targets[:, ::-1].T
        values, *slopes = (
            ndimage.map_coordinates(picture, places, order=3, mode="mirror", prefilter=False) for picture in self._after
        )
        return values, 0.5 * (self._slopes + np.stack(slopes))


def correlation_of(one: Array, other: Array) -> float:
    """Compute the correlation of two sets of values; NaN if one of them is constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.corrcoef(one, other)[0, 1])


def _slopes(picture: Array) -> Array:
    """Return the slopes along x and y, (2, H, W), of the cubic spline through the pixels of an image (H, W).

    Differences of the pixels themselves are too small for details of few pixels, ``sin(w) / w`` of the slope of a wave
    of ``w`` per pixel: the steps become too long and the fit may not converge. Differences of the spline coefficients
    are its slopes.
    """
    return np.stack(
        [np.gradient(ndimage.spline_filter1d(picture, 3, axis, mode="mirror"), axis=axis) for axis in (1, 0)]
    )


def _standard_errors(system: Array, difference: Array, step: Array, texture: float) -> float:
    """Return the length of a Gauss-Newton step ``d`` in standard errors of the parameters, ``sqrt(d' C^-1 d / 3)``.

    ``C = s^2 A (J' J)^-1`` is the covariance of the parameters: ``J`` the system, ``s^2`` the variance of the residual
    after the step, and ``A`` the correlation area of the noise: white noise after a Gaussian of sigma ``g`` has the
    autocorrelation ``exp(-r^2 / (4 g^2))``, of area ``4 pi g^2``.
    """
    change = system @ step
    variance = float(np.square(difference - change).sum()) / (len(system) - len(step))
    explained = float(change @ change)
    return math.sqrt(explained / (len(step) * texture * variance)) if variance > 0.0 else math.inf


def _inner(region: Region) -> Region:
    inner = np.zeros_like(region)
    frame = (slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    inner[frame] = region[frame]
    return inner
