"""Features of the files of a study, without looking at the joint, and a cheap classifier of them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from bundle.statistics import area_under_curve
from PIL import Image

GRID = 8
"""Size of JPEG's blocks."""


def chunks(data: bytes) -> list[tuple[bytes, int]]:
    """Kinds and lengths of the chunks of a PNG."""
    found, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        found.append((data[place + 4 : place + 8], length))
        place += length + 12
    return found


def grid_energy(pixels: np.ndarray) -> list[float]:
    """How much larger the steps between pixels are on each phase of a grid of 8 pixels than elsewhere."""
    steps = [np.abs(np.diff(pixels.astype(float), 2, axis=axis)).mean(axis=1 - axis) for axis in (0, 1)]
    means = [[step[phase::GRID].mean() for phase in range(GRID)] for step in steps]
    return [value / (np.mean(line) + 1e-9) for line in means for value in line]


def features(paths: list[Path]) -> np.ndarray:
    """Features (N, F) of files in the order of their names."""
    orders = [
        {kind: row for row, kind in enumerate(sorted({kind for kind, _ in chunks(path.read_bytes())}))}
        for path in paths
    ]
    rows = []
    for row, path in enumerate(paths):
        data, pixels = path.read_bytes(), np.asarray(Image.open(path).convert("L"))
        stats, parts = path.stat(), chunks(data)
        counts = np.bincount(pixels.ravel(), minlength=256) / pixels.size
        borders = [line.std() for line in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])]
        rows.append(
            [
                *(len(data), stats.st_mtime_ns / 1e9, stats.st_mode, row, row % 2, len(path.name)),
                *(len(parts), sum(length for _, length in parts), len(orders[row])),
                *np.bincount(np.frombuffer(data[:200], np.uint8) // 8, minlength=32),
                *counts.reshape(32, 8).sum(axis=1),
                *(float((counts[offset::4]).sum()) for offset in range(4)),
                float((counts == 0).mean()),
                *borders,
                *grid_energy(pixels[::4, ::4]),
                *grid_energy(pixels),
            ]
        )
    return np.array(rows, np.float64)


def classified(found: np.ndarray, labels: np.ndarray, strength: float = 10.0) -> np.ndarray:
    """Scores (N,) of a ridge classifier that has not seen the file it judges (leave one out)."""
    spread = found.std(axis=0)
    inputs = ((found - found.mean(axis=0)) / np.where(spread > 0, spread, 1.0))[:, spread > 0]
    scores = np.zeros(len(labels))
    for row in range(len(labels)):
        others = np.arange(len(labels)) != row
        given, wanted = inputs[others], labels[others] - labels[others].mean()
        weights = given.T @ np.linalg.solve(given @ given.T + strength * np.eye(len(given)), wanted)
        scores[row] = inputs[row] @ weights
    return scores


def largest_area(found: np.ndarray, labels: np.ndarray) -> float:
    """Area under the curve of the best single feature, in either direction."""
    areas = [area_under_curve(column, labels) for column in found.T if np.ptp(column) > 0]
    return max((max(area, 1.0 - area) for area in areas), default=0.5)
