"""Measure E1: reconstruction of the radiograph from the layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from bundle.separation.metrics import (
    PixelRowFrechetDistance,
    ReconstructionMSE,
    ReconstructionPSNR,
    ReconstructionSSIM,
    SeparationMetric,
)
from bundle.statistics import Column, Measured, SeparatedJoints, bootstrap_interval
from numpy.typing import NDArray
from torch import Tensor

IDENTITY = ("name", "joint", "finger")
"""Leading columns of every table with one row per image."""
BATCH = 16


@dataclass(frozen=True, kw_only=True)
class ReconstructionQuality:
    """E1: MSE, PSNR and SSIM of f_r(L) against J in the visible region and over the frame (Table 1 of LSN).

    Results are means over the images with bootstrap intervals over joints, and ``psnr_lowest``, the PSNR of the worst
    image. The authors' pixel-row Frechet distance is for comparison with their tables only.

    Attributes:
        samples: number of bootstrap samples.
        level: confidence level of the intervals.
        seed: random seed of the bootstrap.
    """

    columns: ClassVar[Mapping[str, Sequence[Column]]] = {
        "E1": (
            Column("mse", "MSE", paper="2.19e-4"),
            Column("ssim", "SSIM", paper="0.9502"),
            Column("psnr", "PSNR (dB)", "> 90 for every image", "36.66"),
            Column("psnr_lowest", "lowest PSNR (dB)", "> 90"),
            Column("pixel_row_frechet_distance", "pixel-row Frechet distance (no FID)"),
        )
    }

    samples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __call__(self, test: SeparatedJoints) -> Measured:
        """Measure the joints; ``worst`` sorts them by ascending PSNR."""
        metrics: dict[str, SeparationMetric] = {
            "psnr": ReconstructionPSNR(),
            "mse": ReconstructionMSE(),
            "ssim": ReconstructionSSIM(),
            "frame_psnr": ReconstructionPSNR("frame"),
            "frame_mse": ReconstructionMSE("frame"),
            "frame_ssim": ReconstructionSSIM("frame"),
            "pixel_row_frechet_distance": PixelRowFrechetDistance(),
        }
        rows = identity(test).assign(**values_of(metrics, test.layers, test.images))
        figures = means(rows, list(metrics), self.samples, self.level, self.seed)
        worst = rows.sort_values("psnr", kind="stable")["name"]
        return Measured({**figures, "psnr_lowest": float(rows["psnr"].min())}, rows, worst=worst.tolist())


def identity(joints: SeparatedJoints) -> pd.DataFrame:
    """Create a table with one row per image: its name, joint and finger."""
    return pd.DataFrame([{key: item[key] for key in IDENTITY} for item in joints.items])


def values_of(metrics: Mapping[str, SeparationMetric], layers: Tensor, reference: Tensor) -> dict[str, Any]:
    """Compute each metric per image, (N,), from layers (N, 3, H, W) and the metrics' reference (N, C, H, W)."""
    for metric in metrics.values():
        metric.reset()
        for given, known in zip(layers.split(BATCH), reference.split(BATCH), strict=True):
            metric(given, known)
    return {name: torch.as_tensor(metric.get_buffer()).reshape(-1).numpy() for name, metric in metrics.items()}


def means(rows: pd.DataFrame, columns: list[str], samples: int, level: float, seed: int) -> dict[str, Any]:
    """Compute the mean of each column and its interval over joints (``<column>_interval``), ignoring NaN."""
    figures: dict[str, Any] = {}
    for column in columns:
        defined = rows[rows[column].notna()]
        values, joints = defined[column].to_numpy(dtype=np.float64), defined["joint"].tolist()
        figures[column] = _mean(values, np.arange(len(values)))
        if len(values):
            interval = bootstrap_interval(partial(_mean, values), joints, samples=samples, level=level, seed=seed)
            figures[f"{column}_interval"] = list(interval)
    return figures


def _mean(values: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    return float(values[rows].mean()) if len(rows) else math.nan
