"""Measured properties of a radiograph and its masks, for quality control."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from bundle.joint import BONES
from bundle.measurement import bone_shape, displacement, head_bays, joint_pose, outline_distance, outline_gap
from bundle.physics import attenuation
from bundle.quality.edges import Outline, edge_width, gradients, limited, outline_fit, straight_edge
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

Array = NDArray[np.float64]


INSIDE, OUTSIDE = 5.0, 9.0
"""Pixels inside and outside an outline in which its edge is searched, at :data:`ROWS` rows."""

FLOOR = 5e-4
"""Noise and detail below this intensity are not distinguished: the rounding of 8-bit images at :data:`ROWS` rows."""

ROWS = 128
"""Number of rows at which images are measured: a public pixel is then 0.16 mm, near the detector's 0.15 mm."""


PENUMBRA = 2.0
"""Pixels from the outline of a bone, annotated inside the penumbra, to its edge; also the softness of the edge."""


SHOULDER = 0.35
"""Depth below the end of a bone at which its sides begin, in mean widths of the bone."""


INSETS = np.arange(-3.0, 9.01, 0.5)
"""Candidate distances of an outline inside its edge in pixels, at :data:`ROWS` rows."""


OF_MCP = 0.75
"""Largest sum of both ratios of :class:`bundle.measurement.BoneShape`, less the width of the lower bone relative to the
upper one, at MCP joints: 1 % of the public ones exceed it, 79 % of PIP and 73 % of DIP joints of the training hands.

Without the relative width, as frames are judged (:attr:`bundle.measurement.BoneShape.fits_mcp`), more other joints
are found, but also four times as many MCP joints of another source."""


IN_LINE = 3.0
"""Largest displacement sideways of the upper bone on the lower one in mm in a joint that is not subluxed: all public
joints beyond it are subluxed by eye."""


SATURATED = 0.995
"""Lowest intensity of a saturated pixel."""


TAIL = 0.005
"""Fraction of the images beyond one spread of a property, on either side."""


class Property(NamedTuple):
    """A measured property of an image.

    Attributes:
        unit: displayed unit of the value.
        low: meaning of a value that is too low; None if impossible.
        high: meaning of a value that is too high; None if impossible.
        spread: smallest spread of a range on either side of the median.
        appearance: whether it describes the appearance of the radiograph, which differs between scanners, not its
            masks and geometry.
    """

    unit: str
    low: str | None
    high: str | None
    spread: float
    appearance: bool = False


_OFF = "the {bone} mask does not lie on a bone: its {side} edge follows no edge in the image"


_OUT_OF_LINE = "the bones are not in line: subluxed, or a mask is off its bone"

_SIDES = ("left", "right", "joint")


def _bone_properties(bone: str) -> dict[str, Property]:
    edges = {f"{bone}_{side}_edge": Property("", _OFF.format(bone=bone, side=side), None, 0.05) for side in _SIDES}
    name = f"the {bone} bone"
    return {
        **edges,
        f"{bone}_fit": Property("", f"the {bone} mask is shifted off its bone", None, 0.05),
        f"{bone}_width": Property(
            " mm",
            f"{name} is too narrow, or the pixel spacing is wrong",
            f"{name} is too wide, or the pixel spacing is wrong",
            0.5,
        ),
        f"{bone}_height": Property(" mm", f"{name} is too short", f"{name} is too long", 0.5),
        f"{bone}_end": Property(" mm", f"{name} has the wrong shape", f"{name} has the wrong shape", 0.3),
        f"{bone}_inset": Property(
            " mm", f"the {bone} mask is larger than its bone", f"the {bone} mask is smaller than its bone", 0.1
        ),
        f"{bone}_stray": Property("", None, f"the {bone} mask is not one whole bone", 0.005),
    }


PROPERTIES: dict[str, Property] = {
    "polarity": Property("", "the radiograph is inverted, or the masks do not lie on bones", None, 0.1),
    **_bone_properties("lower"),
    **_bone_properties("upper"),
    "lower_bays": Property("", None, "the lower mask leaves its bone: its head is not round", 0.01),
    "other_joint": Property("", None, "the bones have the shape of another joint than an MCP joint", 0.01),
    "order": Property(" mm", "the upper bone is not above the lower bone", "the bones are too far apart", 0.5),
    "sideways": Property(" mm", _OUT_OF_LINE, _OUT_OF_LINE, 0.5),
    "subluxation": Property(" mm", None, _OUT_OF_LINE, 0.01),
    "gap": Property(" mm", "the masks overlap too far", "the joint space is too wide", 0.3),
    "overlap": Property("", None, "the masks share too much", 0.05),
    "collimation": Property("", None, "a straight edge cuts the bones, as of a collimator", 0.05),
    "brightness": Property("", "the image is too dark", "the image is too bright", 0.03, appearance=True),
    "contrast": Property(
        "", "the image has too little contrast", "the image has too much contrast", 0.05, appearance=True
    ),
    "saturation": Property("", None, "too many pixels are saturated", 0.01, appearance=True),
    "noise": Property(
        " (log10)",
        "the image has too little noise: smoothed, compressed or of coarse pixels",
        "the image is too noisy",
        0.1,
        appearance=True,
    ),
    "edge_width": Property(" mm", None, "the image is blurred", 0.05, appearance=True),
    "detail": Property(
        " (log10)", "the image shows too little detail", "the image shows too much detail", 0.1, appearance=True
    ),
}


def measure(image: Tensor, spacing: float) -> dict[str, float]:
    """Measure the properties of one image.

    Args:
        image: radiograph and masks (lower, upper), (3, H, W).
        spacing: pixel size in mm.

    Returns:
        A value for each of :data:`PROPERTIES`; NaN if undefined. An empty mask has the width 0.
    """
    factor = image.shape[-2] / ROWS
    size = (ROWS, max(round(image.shape[-1] / factor), 1))
    small = F.interpolate(image[None].float().nan_to_num(), size=size, mode="area")[0]
    pitch = spacing * factor
    radiograph = small[0].double().numpy()
    lower, upper = (small[1:] > 0.5).numpy()
    absorbed = attenuation(small[0]).double().numpy()
    distance = {"lower": outline_distance(lower), "upper": outline_distance(upper)}
    outlines = (Outline(distance["lower"], distance["upper"]), Outline(distance["upper"], distance["lower"]))
    edges = {
        **_edges("lower", absorbed, distance["lower"], distance["upper"]),
        **_edges("upper", absorbed[::-1], distance["upper"][::-1], distance["lower"][::-1]),
    }
    return {
        "polarity": float(np.median(list(edges.values()))),
        **edges,
        **_fits(absorbed, outlines, pitch),
        **_extent("lower", lower, pitch),
        **_extent("upper", upper[::-1], pitch),
        "lower_inset": _inset(absorbed, distance["lower"], distance["upper"]) * pitch,
        "upper_inset": _inset(absorbed, distance["upper"], distance["lower"]) * pitch,
        "lower_stray": _stray(lower),
        "upper_stray": _stray(upper),
        "lower_bays": head_bays(lower, pitch),
        "other_joint": _other_joint(small[None, 1:], pitch),
        "subluxation": _subluxation(lower, upper, pitch),
        **_arrangement(small[1:], pitch),
        "collimation": _collimation(small, 2.0 * pitch),
        **_exposure(radiograph, lower | upper),
        "edge_width": edge_width(absorbed, outlines, pitch),
    }


def _other_joint(masks: Tensor, pitch: float) -> float:
    """Measure how far the shape of the bones exceeds :data:`OF_MCP`, 0 at MCP joints.

    At other finger joints, the head is as wide as its shaft, the shaft of the upper bone is not waisted, and the lower
    bone is narrower than the upper one.
    """
    shape = bone_shape(masks, joint_pose(masks, pitch))
    lower, upper = (masks[0] > 0.5).sum(dim=-1).amax(dim=-1).tolist()
    excess = float(shape.head + shape.shaft) - lower / max(upper, 1) - OF_MCP
    return excess if math.isnan(excess) else max(excess, 0.0)


def _subluxation(lower: NDArray[np.bool_], upper: NDArray[np.bool_], pitch: float) -> float:
    """Measure how far the displacement of the bones sideways exceeds :data:`IN_LINE` in mm, 0 in joints in line."""
    found = displacement(lower, upper, pitch)
    return found if math.isnan(found) else max(abs(found) - IN_LINE, 0.0)


def _fits(absorbed: Array, outlines: tuple[Outline, Outline], pitch: float) -> dict[str, float]:
    """Measure for each bone whether its mask lies where it follows the edges best."""
    gradient = limited(gradients(absorbed))
    return {f"{bone}_fit": outline_fit(gradient, outline, pitch) for bone, outline in zip(BONES, outlines, strict=True)}


def _collimation(image: Tensor, pitch: float) -> float:
    """Measure the straightest edge that limits a bone, at half the resolution; the pixel size is that of the result."""
    half = F.avg_pool2d(image[None], 2)[0]
    return straight_edge(half[0].double().numpy(), (half[1:] > 0.5).numpy(), pitch)


def _edges(bone: str, absorbed: Array, distance: Array, other: Array) -> dict[str, float]:
    """Correlate attenuation with depth inside the bone, for each side of an outline: how well it follows an edge.

    The joint is at the top of a bone (the upper one is given upside down). Pixels near the other bone are ignored.
    """
    band = (distance > -OUTSIDE) & (distance < INSIDE) & (other < -1.0)
    inside = distance > 0.0
    rows = np.flatnonzero(inside.any(axis=1))
    if not len(rows):
        return {f"{bone}_{side}_edge": math.nan for side in _SIDES}
    beside, widths = _beside(inside, rows)
    below = (np.arange(len(inside)) >= rows[0] + SHOULDER * widths.mean())[:, None]
    end = ~below & (np.abs(beside) < 0.25 * widths.max())
    regions = {"left": band & below & (beside < 0), "right": band & below & (beside > 0), "joint": band & end}
    depth = np.tanh((distance + PENUMBRA) / PENUMBRA)
    return {f"{bone}_{side}_edge": _correlation(absorbed, depth, region) for side, region in regions.items()}


def _beside(inside: NDArray[np.bool_], rows: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return pixels right of the mask's middle in its rows (elsewhere of the mean), and its width in these rows."""
    columns, widths = np.arange(inside.shape[1]), inside[rows].sum(axis=1)
    middle = np.full(len(inside), math.nan)
    middle[rows] = (inside[rows] * columns).sum(axis=1) / widths
    filled = np.where(np.isnan(middle), np.nanmean(middle), middle)
    return columns[None, :] - filled[:, None], widths


def _correlation(a: Array, b: Array, region: NDArray[np.bool_]) -> float:
    if region.sum() < 10:
        return math.nan
    x, y = a[region] - a[region].mean(), b[region] - b[region].mean()
    scale = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale > 1e-9 else 0.0


def _inset(absorbed: Array, distance: Array, other: Array) -> float:
    """Return the distance in pixels of an outline inside its best edge; negative outside, NaN without outline."""
    band = (distance > -OUTSIDE) & (distance < INSIDE) & (other < -1.0)
    places, values = distance[band], absorbed[band]
    whole = np.ones(places.shape, bool)
    found = [_correlation(values, np.tanh((places + inset) / PENUMBRA), whole) for inset in INSETS]
    return math.nan if np.isnan(found).any() else float(INSETS[int(np.argmax(found))])


def _stray(mask: NDArray[np.bool_]) -> float:
    """Return pixels outside the largest connected component of a mask, and holes in it, per pixel of the mask."""
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        return math.nan
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    whole = ndimage.binary_fill_holes(largest)
    return float((whole != mask).sum() / mask.sum())


def _extent(bone: str, mask: NDArray[np.bool_], pitch: float) -> dict[str, float]:
    """Measure largest width, height and roundness of the end (depth of its corners below its middle), in mm."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return {f"{bone}_width": 0.0, f"{bone}_height": 0.0, f"{bone}_end": math.nan}
    top = np.argmax(mask[:, columns], axis=0)
    count = len(columns)
    corners = np.r_[top[count // 8 : count // 4 + 1], top[-(count // 4) - 1 : count - count // 8]]
    middle = top[3 * count // 8 : count - 3 * count // 8]
    return {
        f"{bone}_width": float(mask.sum(axis=1).max()) * pitch,
        f"{bone}_height": len(rows) * pitch,
        f"{bone}_end": float(np.mean(corners) - np.mean(middle)) * pitch,
    }


def _arrangement(masks: Tensor, pitch: float) -> dict[str, float]:
    """Measure the relative position of the bones in mm, and the common fraction of the smaller mask."""
    lower, upper = (masks > 0.5).numpy()
    smaller = min(lower.sum(), upper.sum())
    if not smaller:
        return dict.fromkeys(("order", "sideways", "gap", "overlap"), math.nan)
    (y_lower, x_lower), (y_upper, x_upper) = ndimage.center_of_mass(lower), ndimage.center_of_mass(upper)
    return {
        "order": (y_lower - y_upper) * pitch,
        "sideways": (x_lower - x_upper) * pitch,
        "gap": float(outline_gap(masks[None], pitch)[0]),
        "overlap": float((lower & upper).sum() / smaller),
    }


def _exposure(radiograph: Array, bones: NDArray[np.bool_]) -> dict[str, float]:
    """Measure grey levels, noise and detail of the radiograph; noise by Immerkaer (1996), detail from 0.3 to 1 mm."""
    low, high = np.quantile(radiograph, [0.05, 0.95])
    ripple = ndimage.convolve(radiograph, np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0]))
    noise = 1.4826 * float(np.median(np.abs(ripple))) / 6.0
    detail = ndimage.gaussian_filter(radiograph, 1.0) - ndimage.gaussian_filter(radiograph, 3.0)
    return {
        "brightness": float(radiograph.mean()),
        "contrast": float(high - low),
        "saturation": float((radiograph >= SATURATED).mean()),
        "noise": math.log10(max(noise, FLOOR)),
        "detail": math.log10(max(float(detail[bones].std()), FLOOR)) if bones.any() else math.nan,
    }
