"""E1, reconstruction: errors of the radiograph that the layers compose to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bundle.separation import (
    PixelRowFrechetDistance,
    ReconstructionMSE,
    ReconstructionPSNR,
    ReconstructionSSIM,
    SeparationMetric,
    values_of,
)
from bundle.statistics import Column, Measured, SeparatedJoints, identity, means


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
            Column("pixel_row_frechet_distance", "pixel-row Frechet distance (not FID)"),
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
