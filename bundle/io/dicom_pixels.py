"""Intensities from the stored values of a DICOM radiograph: padding, tables, windows and the detector response."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from skimage.draw import disk, polygon2mask

try:
    from pydicom.pixels.processing import apply_modality_lut, apply_windowing
except ImportError:  # pydicom before 3
    from pydicom.pixel_data_handlers.util import apply_modality_lut, apply_windowing  # type: ignore[no-redef]

LOG_SPAN = 3.0
"""Attenuation between black and white of a radiograph from a logarithmic detector; its window hides the true one."""

_EDGES = ("LeftVerticalEdge", "RightVerticalEdge", "UpperHorizontalEdge", "LowerHorizontalEdge")


def not_padding(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the image pixels, bool (H, W): all but those of the padding value."""
    if dataset.get("PixelPaddingValue") is None:
        return np.ones(stored.shape, bool)
    ends = [int(dataset.PixelPaddingValue), int(dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue))]
    return (stored < min(ends)) | (stored > max(ends))


def within(dataset: Dataset, shape: tuple[int, ...], what: str) -> NDArray[np.bool_]:
    """Mark the pixels inside the shutter or the collimator (PS3.3 C.7.6.11, C.8.7.3); edges count from 1, inclusive."""
    shapes = dataset.get(f"{what}Shape") or []
    inside = np.ones(shape, bool)
    for kind in [shapes] if isinstance(shapes, str) else shapes:
        if kind in _SHAPES:
            inside &= _SHAPES[kind](dataset, shape, what)
    return inside


def _rectangle(dataset: Dataset, shape: tuple[int, ...], what: str) -> NDArray[np.bool_]:
    left, right, upper, lower = (int(dataset.get(f"{what}{edge}")) for edge in _EDGES)
    inside = np.zeros(shape, bool)
    inside[max(upper - 1, 0) : lower, max(left - 1, 0) : right] = True
    return inside


def _circle(dataset: Dataset, shape: tuple[int, ...], what: str) -> NDArray[np.bool_]:
    row, column = (int(value) - 1 for value in dataset.get(f"CenterOfCircular{what}"))
    inside = np.zeros(shape, bool)
    inside[disk((row, column), int(dataset.get(f"RadiusOfCircular{what}")) + 0.5, shape=shape)] = True
    return inside


def _polygon(dataset: Dataset, shape: tuple[int, ...], what: str) -> NDArray[np.bool_]:
    corners = np.array(dataset.get(f"VerticesOfThePolygonal{what}"), float).reshape(-1, 2) - 1.0
    inside: NDArray[np.bool_] = polygon2mask(shape, corners)
    return inside


_SHAPES = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon}


def presented(dataset: Dataset, stored: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the presentation values in [0, 1], bone bright, (H, W)."""
    values = _rescaled(dataset, stored)
    shown = _presentation_lut(dataset, _windowed(dataset, values, valid))
    return shown if _bone_is_bright(dataset) else 1.0 - shown


def _table(dataset: Dataset, item: Dataset) -> tuple[NDArray[np.int64], int]:
    """Entries of a look-up table, stored in 8 or 16 bits, and the number of bits used."""
    count, _, bits = (int(value) for value in item.LUTDescriptor)
    data, count = item["LUTData"].value, count or 2**16
    if isinstance(data, bytes):
        order = ">" if dataset.original_encoding[1] is False else "<"
        data = np.frombuffer(data, "u1" if len(data) == count + count % 2 else f"{order}u2")
        data = data[:count] if data.itemsize == 1 else data
    entries = np.asarray(data, np.int64)
    if not 8 <= bits <= 16 or len(entries) != count or entries.min() < 0 or entries.max() >= 2**bits:
        msg = f"a look-up table of {count} entries of {bits} bits has {len(entries)}, up to {entries.max(initial=0)}"
        raise ValueError(msg)
    return entries, bits


def _looked_up(values: NDArray[Any], entries: NDArray[np.int64], item: Dataset) -> NDArray[np.float64]:
    """Values mapped by a table, whose descriptor states the first input value; the ends extend beyond it."""
    place = np.rint(values).astype(np.int64) - int(item.LUTDescriptor[1])
    return entries[place.clip(0, len(entries) - 1)].astype(float)


def _rescaled(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.float64]:
    """Values after the modality LUT or the rescale."""
    if dataset.get("ModalityLUTSequence"):
        item = dataset.ModalityLUTSequence[0]
        return _looked_up(stored, _table(dataset, item)[0], item)
    return np.asarray(apply_modality_lut(stored, dataset), float)


def _windowed(dataset: Dataset, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values in [0, 1] after the first VOI LUT or window; without one, from the lowest to the highest valid value."""
    if dataset.get("VOILUTSequence"):
        item = dataset.VOILUTSequence[0]
        entries, bits = _table(dataset, item)
        return _looked_up(values, entries, item) / (2.0**bits - 1.0)
    if dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
        with np.errstate(over="ignore"):
            low, high = apply_windowing(np.array([-1e12, 1e12]), dataset)
            return np.clip((apply_windowing(values, dataset) - low) / (high - low), 0.0, 1.0)
    low, high = float(values[valid].min()), float(values[valid].max())
    return np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)


def _presentation_lut(dataset: Dataset, shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values in [0, 1] after the Presentation LUT Sequence; the Presentation LUT Shape only repeats the polarity."""
    if not dataset.get("PresentationLUTSequence"):
        return shown
    entries, bits = _table(dataset, dataset.PresentationLUTSequence[0])
    table = entries / (2.0**bits - 1.0)
    return table[np.round(shown * (len(table) - 1)).astype(int)]


def _bone_is_bright(dataset: Dataset) -> bool:
    """Whether high values after the rescale are bone, by the detector's sign, or are displayed bright."""
    sign = dataset.get("PixelIntensityRelationshipSign")
    if sign is not None:
        return (int(sign) == -1) == (float(dataset.get("RescaleSlope") or 1.0) > 0.0)
    return bool(dataset.PhotometricInterpretation == "MONOCHROME2")


def by_detector(dataset: Dataset, shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert presentation values to the absorbed fraction: unchanged for a linear detector, from attenuation else."""
    if str(dataset.get("PixelIntensityRelationship") or "").upper().startswith("LOG"):
        return -np.expm1(-LOG_SPAN * shown)
    return shown
